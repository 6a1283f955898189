"""Limits on models and files of any origin, and the errors about them.

They are far above what models need: an OCR model has a few thousand nodes, and a graph of as many
nodes as are allowed converts within the time limit (docs/limits.md). What exceeds a limit is
refused before a library parses, inlines or runs it.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputFileError

LARGEST_NODES = 100_000
"""Nodes of a graph after all calls of functions are inlined, including those of inner graphs."""
FREE_NODES, LARGEST_EXPANSION = 10_000, 100
"""Inlining may give a graph so many nodes in any case, and so many for each node in the file. A
network that calls one function for each of its layers stays far below."""
LARGEST_EDGES = 1_000_000
"""Inputs and outputs of all these nodes."""
LARGEST_WEIGHTS = 200_000
"""Weights of a graph, each of which is one tensor of any size."""
LARGEST_SHAPE_VALUES = 4_000_000
"""Numbers in lists that Concat nodes join, such as shapes: ONNX's shape inference takes about 240
bytes for each."""
LARGEST_CALL_DEPTH = 64
"""Functions that call each other, and inner graphs (branches, loops) within each other."""
LARGEST_MODEL_FILE = (1 << 31) - 1
"""Bytes of a file that is one protobuf or flatbuffer message, without external weights."""
LARGEST_NESTING = 100
"""Lists, mappings or elements within each other in JSON and XML."""
LARGEST_YAML_NESTING = 20
"""The same in YAML, whose parser is slower; a spec needs 3."""
LARGEST_JSON_VALUES = 5_000_000
"""Values of a JSON file."""
LARGEST_MANIFEST_VALUES = 2 * LARGEST_NODES
"""Values of a manifest, most of which are ranges of tensors. pydantic describes each wrong one."""
LARGEST_PLAN_TEXT = 256 << 20
"""Bytes of the text of an OpenVINO plan; its weights are in another file."""
LARGEST_XML_ATTRIBUTE = 1 << 20
"""Characters of an attribute of an OpenVINO plan."""
LARGEST_XML_ELEMENTS = 20 * LARGEST_NODES
"""Elements of an OpenVINO plan: layers, ports, dimensions, edges."""
SIMPLIFY = "simplify the model in the program that exported it"
"""What to do about a graph that is too large."""
COUNTED_UP_TO = 10**15
"""Numbers of nodes are not counted beyond this one, which 50 functions that double can exceed."""


def bytes_text(count: float) -> str:
    """Return a number of bytes for a message, such as "15.2 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"


def too_large(
    origin: Path | str, what: str, seen: int, allowed: int, advice: str
) -> InputFileError:
    """Return the error about a number that exceeds a limit.

    Args:
        origin: the file.
        what: what was counted, such as "nodes after its functions are inlined".
        seen: the number found.
        allowed: the limit.
        advice: what to do next.
    """
    more = "at least " if seen >= COUNTED_UP_TO else ""
    return InputFileError(
        f"{origin}: has {more}{seen:,} {what}, but at most {allowed:,} are allowed; {advice}"
    )


def check_limit(origin: Path | str, what: str, seen: int, allowed: int, advice: str) -> None:
    """Check a number; the arguments are those of :func:`too_large`.

    Raises:
        InputFileError: it exceeds its limit.
    """
    if seen > allowed:
        raise too_large(origin, what, seen, allowed, advice)


def check_nodes(origin: Path | str, whole: int, stated: int) -> None:
    """Check the number of nodes of a model.

    Args:
        origin: the file.
        whole: nodes after all calls of functions are inlined.
        stated: nodes in the file, including those in its functions.

    Raises:
        InputFileError: there are too many, or too many of them come from inlining.
    """
    check_limit(origin, "nodes in its graph", min(whole, stated), LARGEST_NODES, SIMPLIFY)
    allowed = min(LARGEST_NODES, max(FREE_NODES, LARGEST_EXPANSION * stated))
    inlined = f"nodes after its functions are inlined ({stated:,} before)"
    check_limit(origin, inlined, whole, allowed, SIMPLIFY)


def check_model_file(path: Path, *, is_message: bool = True) -> None:
    """Check that a model is a regular file of a size that its parser supports, before it is read.

    A pipe or a device could block or never end. ``is_message``: the file is one protobuf or
    flatbuffer message.

    Raises:
        InputFileError: it is not, or it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputFileError(f"{path}: not a regular file; name the file of a model")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read: {error}") from None
    if is_message:
        advice = "keep its weights in other files, or use another format"
        check_limit(path, "bytes", size, LARGEST_MODEL_FILE, advice)
