"""The child process that calls a TensorRT builder; ``trt_common.build_in_child`` starts it.

Enum members are looked up by name: their numbers differ between TensorRT 10 and 11. Setters of the
builder config do not raise, they log, so every message of level ERROR fails the build.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ...errors import InputFileError, OcrTrtError
from ...plugins.registration import register_plugins

_WORKSPACE = 4 << 30  # bytes
_FLOOR = 75  # of the plugins' kernels, which use nothing that later GPUs have
REFUSED, NOT_WRITTEN, WRONG_INPUT = 1, 3, 4
"""Exit codes; the last line on stderr is the reason, or the errno."""


class _BuildError(Exception):
    pass


def _logger(trt: Any, errors: list[str]) -> Any:
    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                errors.append(message)

    return Logger()


def _set_compute_capabilities(trt: Any, config: Any, wanted: list[str]) -> None:
    if not wanted:
        return
    if not hasattr(config, "set_compute_capability"):
        raise _BuildError(
            "this TensorRT builds for the GPU it runs on; leave compute capabilities out"
        )
    config.num_compute_capabilities = len(wanted)
    for index, name in enumerate(wanted):
        member = getattr(trt.ComputeCapability, f"SM{name.replace('.', '')}", None)
        if member is None:
            known = [m[2:] for m in dir(trt.ComputeCapability) if m.startswith("SM")]
            listed = ", ".join(known)
            raise _BuildError(f"no compute capability {name}; this builder knows {listed}")
        if not config.set_compute_capability(member, index):
            raise _BuildError(f"the builder refuses compute capability {name}")


def _add_profile(builder: Any, network: Any, config: Any, max_batch: int) -> None:
    """One profile: batch 1 to ``max_batch``, tuned for ``max_batch``; all else is fixed."""
    image = network.get_input(0)
    shape = list(image.shape)
    if -1 not in shape:
        return
    profile = builder.create_optimization_profile()
    low, high = ([size if d == -1 else d for d in shape] for size in (1, max_batch))
    profile.set_shape(image.name, low, high, high)
    config.add_optimization_profile(profile)


def _empty_network(trt: Any, builder: Any) -> Any:
    return builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))


def _parse(trt: Any, logger: Any, network: Any, path: str) -> tuple[Any, list[tuple[str, str]]]:
    """Return the parser (which must live on), and (node, reason) of each error."""
    parser = trt.OnnxParser(network, logger)
    found = []
    if not parser.parse_from_file(path):
        found = [parser.get_error(i) for i in range(parser.num_errors)]
    return parser, [(error.node_name(), error.desc()) for error in found]


def _refusals(order: dict[str, Any]) -> dict[str, str]:
    trt = import_module(order["module"])
    logger = _logger(trt, [])
    builder = trt.Builder(logger)  # must live on
    _, found = _parse(trt, logger, _empty_network(trt, builder), order["model"])
    return dict(reversed(found))  # of several reasons for a node the first


def _register_plugins() -> None:
    try:
        register_plugins(_FLOOR)
    except OcrTrtError as error:
        raise _BuildError(f"plugins: {error}") from None


def _check_plugins(trt: Any, network: Any, wanted: int) -> None:
    """Refuse to go on with function bodies where kernels were asked for."""
    kinds = [network.get_layer(index).type for index in range(network.num_layers)]
    taken = kinds.count(trt.LayerType.PLUGIN_V3)
    if taken != wanted:
        raise _BuildError(
            f"plugins: TensorRT took {taken} of {wanted} kernels; leave --plugins out"
        )


def _fill(trt: Any, logger: Any, network: Any, order: dict[str, Any]) -> Any:
    """Put into a network what is ordered; return what must live until it is built."""
    if order["model"] is None:
        from ..network.order import define_network  # a parser has no need of what it imports

        return define_network(trt, network, order["network"])
    parser, found = _parse(trt, logger, network, order["model"])
    if found:
        raise _BuildError("; ".join(f"{node}: {reason}" for node, reason in found))
    if order["plugins"]:
        _check_plugins(trt, network, order["plugins"])
    return parser


def _build(order: dict[str, Any]) -> bytes:
    trt = import_module(order["module"])
    if order["plugins"]:
        _register_plugins()
    errors: list[str] = []
    logger = _logger(trt, errors)
    builder = trt.Builder(logger)
    network = _empty_network(trt, builder)
    _held = _fill(trt, logger, network, order)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _set_compute_capabilities(trt, config, order["compute_capabilities"])
    _add_profile(builder, network, config, order["max_batch"])
    plan = builder.build_serialized_network(network, config)
    if plan is None or errors:
        raise _BuildError("; ".join(errors) or "the builder returned nothing and said nothing")
    return bytes(plan)


def main() -> int:
    """Do what the first argument, a JSON text, orders; errors go to stderr.

    Without a plan to write it only parses the graph, and prints what is refused as JSON.
    """
    order = json.loads(sys.argv[1])
    if order["plan"] is None:
        print(json.dumps(_refusals(order)))
        return 0
    try:
        plan = _build(order)
    except (_BuildError, OcrTrtError) as error:
        print(error, file=sys.stderr)
        return WRONG_INPUT if isinstance(error, InputFileError) else REFUSED
    try:
        Path(order["plan"]).write_bytes(plan)
    except OSError as error:
        print(error.errno, file=sys.stderr)
        return NOT_WRITTEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
