"""Call NVIDIA's builders in a child process.

The builders are native code that can abort on a bad graph. Then only the child process ends, and
this module raises an error.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from ...common.child_python import python_command
from ...common.error_text import cause
from ...common.onnx_files import as_file
from ...errors import EngineBuildError, InputFileError, TargetMissingError
from ..refusal import refusal_error
from .builder_child import MISSING, NOT_WRITTEN, WRONG_INPUT
from .options import NvidiaOptions

_TIMEOUT = 3600  # seconds
_CHILD = "ocr_trt.engines.nvidia.builder_child"


def _in_child(order: dict[str, object], child: str = _CHILD) -> subprocess.CompletedProcess[str]:
    """Run the child module on an order and wait until it ends."""
    command = python_command(child, json.dumps(order))
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise EngineBuildError(
            f"{order['module']}: the builder took longer than {_TIMEOUT} s and was stopped"
        ) from None


@dataclass(frozen=True, kw_only=True)
class Builder:
    """One of NVIDIA's builders, and its settings for one build.

    Attributes:
        module: "tensorrt" or "tensorrt_rtx".
        max_batch: images that the plan accepts at once.
        options: build options.
        can_load: whether the plan can be loaded on this machine. If so, its layers are written to
            ``<stem of the plan>.layers.json`` in the same folder.
        timing_cache: key of the kernel times in the cache; None: kernels are not timed.
    """

    module: str
    max_batch: int = 1
    options: NvidiaOptions = field(default_factory=NvidiaOptions)
    can_load: bool = False
    timing_cache: str | None = None


def build_in_child(builder: Builder, model: onnx.ModelProto, plan: Path) -> None:
    """Build a plan in a child process.

    Args:
        builder: the builder and its settings.
        model: quantized graph with its functions.
        plan: the file to write.

    Raises:
        EngineBuildError: the builder refused the graph, logged an error, crashed or took an hour.
        OSError: the plan cannot be written.
    """
    plugins = 0
    if builder.options.plugins:
        from .mark_plugins import mark_plugins  # imports onnx_ir, which takes half a second

        model, plugins = mark_plugins(model)
    with as_file(model) as path:
        try:
            order_in_child(builder, {"model": str(path), "plugins": plugins}, plan)
        except EngineBuildError as error:
            # The parser names the node, and a message of the builder may contain several.
            refused = refusals_in_child(builder.module, model) if not plugins else {}
            if not refused:
                raise
            target = builder.module.replace("_", "-")
            raise refusal_error(target, model, refused) from error


def order_in_child(
    builder: Builder, content: dict[str, object], plan: Path, *, child: str = _CHILD
) -> None:
    """Build a plan in a child process from a network that the child creates from ``content``.

    ``child``: a module that calls :func:`.builder_child.main`.

    Raises:
        InputFileError: the weights do not match the network.
        TargetMissingError: the builder's module cannot be loaded.
        EngineBuildError, OSError: as for :func:`build_in_child`.
    """
    order: dict[str, object] = {
        "module": builder.module,
        "plan": str(plan),
        "max_batch": builder.max_batch,
        "options": builder.options.model_dump(),
        "can_load": builder.can_load,
        "timing_cache": builder.timing_cache,
    }
    done = _in_child(order | content, child)
    # The child reports its errors by exit codes; the last line on stderr has the details.
    if done.returncode == NOT_WRITTEN:
        number = int(done.stderr.split()[-1])
        raise OSError(number, os.strerror(number), str(plan))
    if done.returncode == MISSING:
        raise TargetMissingError(_reason(done))
    if done.returncode == WRONG_INPUT:
        raise InputFileError(_reason(done))
    if done.returncode:
        raise EngineBuildError(
            f"{builder.module} refuses the graph: {_cause(done)}"
        ) from RuntimeError(done.stderr)


def refusals_in_child(module: str, model: onnx.ModelProto) -> dict[str, str]:
    """Parse a graph in a child process; return the nodes that are refused, with the reasons.

    If the parser crashes, the reason is under the key "".
    """
    if not all(node.name for node in model.graph.node):  # the parser reports nodes by name
        model = copy.deepcopy(model)
        for node in model.graph.node:
            node.name = node.name or node.output[0]
    with as_file(model) as path:
        done = _in_child({"module": module, "plan": None, "model": str(path)})
    if done.returncode:
        return {"": _reason(done)}
    return {node: cause(text) for node, text in json.loads(done.stdout).items()}


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    """Return the cause that a builder states; of several messages each, in one line."""
    text = _reason(done)
    return "; ".join(dict.fromkeys(cause(part) for part in text.split("; ") if part.strip()))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return why a child failed: its signal, or the last lines that it wrote to stderr."""
    if done.returncode < 0:  # the number of the signal, negative
        return f"its builder crashed with signal {-done.returncode}: {done.stderr.strip()[-300:]}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(lines[-3:]) if lines else f"exit code {done.returncode} without a message"
