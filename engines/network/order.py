"""A network as it is ordered from the child process that builds it."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ...errors import InputFileError
from ..nvidia.builder_child import main
from .named_weights import named_weights
from .network import Network, Type


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What is written, in which type, and for which images."""

    shape: tuple[int, int, int]
    """(C, H, W) of one image."""
    type: Type = "fp32"
    """Of what the network does not itself cast to another."""
    definition: str = "ocr_trt.engines.network.recognizer:define"
    """A function of a :class:`Network` and ``shape``, as "module:function". It is imported, from
    the current folder too, and called in the child process."""


def network_order(settings: NetworkSettings, weights: Path) -> dict[str, object]:
    """Return an order for :func:`define_network`; ``weights`` is an .npz file."""
    return {"model": None, "plugins": 0, "network": asdict(settings) | {"weights": str(weights)}}


def define_network(trt: Any, definition: Any, order: dict[str, Any]) -> Network:
    """Write an ordered network into an empty definition. It must live until the plan is built.

    Raises:
        InputFileError: there is no such function, or its weights are not those of the file.
        EngineBuildError: TensorRT refuses a layer.
    """
    network = Network(trt, definition, named_weights(Path(order["weights"])), order["type"])
    write = _function(order["definition"])
    write(network, tuple(order["shape"]))
    network.check_all_used()
    return network


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputFileError(
            f"definition {name!r} cannot be imported: {error}; it must be module:function, its "
            "module installed or in the current folder"
        ) from None


def _fill(trt: Any, definition: Any, order: dict[str, Any]) -> Network:
    return define_network(trt, definition, order["network"])


if __name__ == "__main__":  # the child process that ``plan_from_network`` starts
    sys.exit(main(_fill))
