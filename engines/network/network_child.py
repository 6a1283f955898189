"""The child process that defines and builds a network with TensorRT's API; its settings."""

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
    """The network to build."""

    shape: tuple[int, int, int]
    """(C, H, W) of one image."""
    type: Type = "fp32"
    """The type of all layers, except where the network casts to another type."""
    definition: str
    """A function of a :class:`Network` and ``shape``, as "module:function". The child process
    imports the module, from the current folder too, and calls the function."""


def network_order(settings: NetworkSettings, weights: Path) -> dict[str, object]:
    """Return the part of the order that describes the network; ``weights`` is an .npz file."""
    return {"model": None, "plugins": 0, "network": asdict(settings) | {"weights": str(weights)}}


def define_network(trt: Any, definition: Any, order: dict[str, Any]) -> Network:
    """Define the network of an order in an empty definition.

    The result must exist until the plan is built: TensorRT keeps pointers into its arrays.

    Raises:
        InputFileError: the function cannot be imported, or the file lacks a weight or has others.
        EngineBuildError: TensorRT refuses a layer.
    """
    network = Network(trt, definition, named_weights(Path(order["weights"])), order["type"])
    define = _function(order["definition"])
    define(network, tuple(order["shape"]))
    network.check_all_used()
    return network


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    # The user named the module, so its folder may be searched too: last, so that its other files
    # cannot replace modules of libraries.
    sys.path.append(str(Path.cwd()))
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
