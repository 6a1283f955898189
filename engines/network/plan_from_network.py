"""Build plans of networks that are written with TensorRT's API."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ...common.files import check_file_destination, write_whole
from ...convert.sources.large_weights import Weights
from ...errors import OutputError, UserError
from ..base import BuildSettings
from ..build_options import check_options, parse_options
from ..nvidia.builder import Builder, order_in_child
from ..nvidia.options import NvidiaOptions
from ..targets import backend
from . import network_child
from .named_weights import write_npz
from .network_child import NetworkSettings, network_order

_MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


def plan_from_network(
    target: str, weights: Weights, plan: Path, network: NetworkSettings, settings: BuildSettings
) -> None:
    """Define a network with TensorRT's API and build its plan, in a child process.

    Args:
        target: "tensorrt" or "tensorrt-rtx".
        weights: as :func:`~.named_weights.named_weights` reads them.
        plan: the file to write, whole or not at all.
        network: the function that defines the network, and the shape of its images.
        settings: batch sizes and GPUs to build for.

    Raises:
        UserError: the target is not one of NVIDIA's, or ``settings`` contain an option that it
            does not have or that requires an ONNX graph.
        TargetMissingError: the target cannot build here.
        InputFileError: the weights belong to another network, or the function cannot be imported.
        EngineBuildError: the builder refused the network, logged an error, crashed or took an hour.
        OutputError: the plan cannot be written.
    """
    if target not in _MODULES:
        raise UserError(
            f"target {target} cannot build a network written with TensorRT's API; choose one of: "
            f"{', '.join(_MODULES)}"
        )
    options = parse_options(NvidiaOptions, settings.options)
    if options.plugins:
        raise UserError(
            "option plugins replaces functions of an ONNX graph, but a network has no ONNX graph; "
            "leave the option out"
        )
    if options.strip:
        raise UserError(
            "option strip: a stripped plan reads its weights from an ONNX graph, but a network "
            "has none; leave the option out"
        )
    check_options([backend(target)], settings.options)
    backend(target).check_can_build()
    check_file_destination(plan)
    with tempfile.TemporaryDirectory() as scratch:
        file, built = Path(scratch) / "weights.npz", Path(scratch) / "plan"
        try:
            # The child always reads .npz, from whatever file format the weights came.
            write_npz(file, weights)
            builder = Builder(
                module=_MODULES[target], max_batch=settings.max_batch, options=options
            )
            order_in_child(
                builder, network_order(network, file), built, child=network_child.__name__
            )
        except OSError as error:
            raise OutputError(f"{scratch}: cannot be written: {error.strerror or error}") from None
        write_whole(plan, built.read_bytes())
