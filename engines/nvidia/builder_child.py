"""The child process that calls TensorRT's builder; ``builder.build_in_child`` starts it.

The setters of TensorRT's builder config log errors and do not raise them. Therefore every message
of level ERROR fails the build.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ...common.cache import named_cache
from ...errors import InputFileError, OcrTrtError
from ...plugins.registration import register_plugins
from .features import features_of
from .logger import errors_since, logger_of
from .options import NvidiaOptions
from .plan_layers import LAYERS_SUFFIX, inspected

_MIB = 1 << 20
# Compute capability, times ten, that plugins are compiled for; their PTX runs on later GPUs too.
_FLOOR = 75
REFUSED, NOT_WRITTEN, WRONG_INPUT, MISSING = 1, 3, 4, 5
"""Exit codes; the last line on stderr is the reason, or the errno."""


class _BuildError(Exception):
    pass


def _set_compute_capabilities(trt: Any, config: Any, capabilities: Sequence[str]) -> None:
    if not capabilities:
        return
    if not features_of(trt).names_gpus:
        raise _BuildError(
            "this TensorRT builds for the GPU it runs on; leave option compute-capability out"
        )
    config.num_compute_capabilities = len(capabilities)
    for index, name in enumerate(capabilities):
        member = getattr(trt.ComputeCapability, f"SM{name.replace('.', '')}", None)
        if member is None:
            known = [m[2:] for m in dir(trt.ComputeCapability) if m.startswith("SM")]
            listed = ", ".join(known)
            raise _BuildError(
                f"compute capability {name} is not supported; this builder supports (times ten) "
                f"{listed}"
            )
        if not config.set_compute_capability(member, index):
            raise _BuildError(f"the builder refuses compute capability {name}")


def _set_options(trt: Any, config: Any, options: NvidiaOptions) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace * _MIB)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = options.optimization
    # Flags by name: the numbers of enum members differ between TensorRT 10 and 11.
    flags = {
        "REFIT": options.refit,
        # Weights that are left out come back unchanged, so the builder may use their values.
        "REFIT_IDENTICAL": options.strip and not options.refit,
        "STRIP_PLAN": options.strip,
        "SPARSE_WEIGHTS": options.sparse,
        "VERSION_COMPATIBLE": options.version_compatible,
    }
    for name, is_set in flags.items():
        if is_set:
            config.set_flag(getattr(trt.BuilderFlag, name))
    if options.hardware != "same-gpu":
        level = options.hardware.replace("-", "_").upper()
        config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, level)


def _add_profiles(builder: Any, network: Any, config: Any, max_batch: int) -> None:
    """Add a profile for a single image, and one for more images, tuned for the largest batch.

    All axes but the first are fixed.
    """
    image = network.get_input(0)
    shape = list(image.shape)
    if -1 not in shape:  # a fixed batch needs no profile
        return
    for low, high in [(1, 1), (2, max_batch)] if max_batch > 1 else [(1, 1)]:
        smallest, largest = ([size if d == -1 else d for d in shape] for size in (low, high))
        profile = builder.create_optimization_profile()
        profile.set_shape(image.name, smallest, largest, largest)  # smallest, optimal, largest
        config.add_optimization_profile(profile)


@contextmanager
def _timing_cache(config: Any, logger: Any, key: str | None) -> Iterator[None]:
    """Use the kernel times of earlier builds; add those of this build to the cache if it succeeds.

    Times from another version or GPU, which TensorRT refuses, are replaced.
    """
    if key is None:
        yield
        return
    count = len(logger.errors)
    cache = named_cache("timing")
    known = config.create_timing_cache(cache.read(key) or b"")
    # False: do not accept times of another GPU or version.
    if known is None or not config.set_timing_cache(known, False):
        known = config.create_timing_cache(b"")
        config.set_timing_cache(known, False)
    del logger.errors[count:]  # a refused cache must not fail the build
    yield
    data = known.serialize()
    if data is not None:
        cache.write(key, bytes(data))


def _empty_network(trt: Any, builder: Any) -> Any:
    return builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))


def _parse(trt: Any, logger: Any, network: Any, path: str) -> tuple[Any, list[tuple[str, str]]]:
    """Return the parser, which must outlive the build, and (node, reason) of each error."""
    parser = trt.OnnxParser(network, logger)
    errors = []
    if not parser.parse_from_file(path):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        if not errors:
            return parser, [("", "the parser refuses the graph without a reason")]
    return parser, [(error.node_name(), error.desc()) for error in errors]


def _module(order: dict[str, Any]) -> Any:
    try:
        return import_module(order["module"])
    except (ImportError, OSError) as error:
        print(f"{order['module']} cannot be loaded: {error}", file=sys.stderr)
        sys.exit(MISSING)


def _refusals(order: dict[str, Any]) -> dict[str, str]:
    trt = _module(order)
    logger = logger_of(trt)
    builder = trt.Builder(logger)  # must outlive its network
    _, errors = _parse(trt, logger, _empty_network(trt, builder), order["model"])
    return dict(reversed(errors))  # of several reasons for a node, the first is kept


def _register_plugins() -> None:
    try:
        register_plugins(_FLOOR)
    except OcrTrtError as error:
        raise _BuildError(f"plugins: {error}") from None


def _check_plugins(trt: Any, network: Any, expected: int) -> None:
    """Refuse a network in which TensorRT used a function body in place of a requested kernel."""
    kinds = [network.get_layer(index).type for index in range(network.num_layers)]
    used = kinds.count(trt.LayerType.PLUGIN_V3)
    if used != expected:
        raise _BuildError(
            f"plugins: TensorRT uses {used} of {expected} kernels; leave option plugins out"
        )


Fill = Callable[[Any, Any, dict[str, Any]], Any]
"""Adds layers to a network: (trt, network, order) -> an object that must outlive the build."""


def _fill_from_onnx(trt: Any, network: Any, order: dict[str, Any]) -> Any:
    parser, errors = _parse(trt, logger_of(trt), network, order["model"])
    if errors:
        raise _BuildError("; ".join(f"{node}: {reason}" for node, reason in errors))
    if order["plugins"]:
        _check_plugins(trt, network, order["plugins"])
    return parser


def _build(order: dict[str, Any], fill: Fill) -> tuple[bytes, str | None]:
    """Return the plan, and its layers as JSON if it can be loaded on this machine."""
    trt = _module(order)
    if order["plugins"]:
        _register_plugins()
    logger = logger_of(trt)
    builder = trt.Builder(logger)
    network = _empty_network(trt, builder)
    _held = fill(trt, network, order)  # TensorRT keeps pointers into it
    config = builder.create_builder_config()
    options = NvidiaOptions.model_validate(order["options"])
    _set_options(trt, config, options)
    _set_compute_capabilities(trt, config, options.compute_capability)
    _add_profiles(builder, network, config, order["max_batch"])
    with _timing_cache(config, logger, order["timing_cache"]):
        plan = builder.build_serialized_network(network, config)
        if plan is None or logger.errors:
            reasons = errors_since(logger, 0)
            raise _BuildError(reasons or "the builder returned no plan and gave no reason")
    plan = bytes(plan)
    return plan, inspected(trt, plan) if order["can_load"] else None


def main(fill: Fill = _fill_from_onnx) -> int:
    """Carry out the order in the first argument, a JSON text; errors go to stderr.

    Without a plan to write it only parses the graph and prints the refused nodes as JSON.

    Args:
        fill: adds layers to the empty network.

    Returns:
        The exit code.
    """
    order = json.loads(sys.argv[1])
    if order["plan"] is None:
        print(json.dumps(_refusals(order)))
        return 0
    try:
        plan, layers = _build(order, fill)
    except (_BuildError, OcrTrtError) as error:
        print(error, file=sys.stderr)
        return WRONG_INPUT if isinstance(error, InputFileError) else REFUSED
    path = Path(order["plan"])
    try:
        path.write_bytes(plan)
        if layers is not None:
            path.with_suffix(LAYERS_SUFFIX).write_text(layers, "utf-8")
    except OSError as error:
        print(error.errno, file=sys.stderr)
        return NOT_WRITTEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
