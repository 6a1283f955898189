"""Functions that damage the content of a file; a random generator alone decides how."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_NUMBERS = (0, 1, 2, 4, 127, 128, 255, 256, 32767, 65535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1)
_TEXTS = (
    "", "x" * 3000, "../x", "/etc/passwd", "a\0b", "[" * 500, "{" * 500, "&a [*a]", "!!str x",
    "null", "true", ".inf", ".nan", "1e999", "-1", "0x10", "1:30:00", "2020-01-01", "9" * 400,
    "\u202e", "\t", "---", "- - - -",
    "? :", "|", ">", "'", '"', "<<: {}", "%YAML 9.9", "\x85", "\ufeff",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 1 << 63, 1 << 200, -0.5, 1e308, float("nan"), float("inf"), "",
    "x" * 3000, "../x", "/etc/passwd", "a\0b", "\ud800", [], {}, [[]], {"a": 1}, [1, 2, 3], ["a"],
    "0" * 64, "int8", {"path": "/"},
)  # fmt: skip


_OPS = ("Relu", "Conv", "Add", "MatMul", "Reshape", "Loop", "Concat", "Resize", "Softmax", "LSTM")


def damaged(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """Return bytes with one to eight changes, half of them near the beginning."""
    content = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        if not content:
            break
        end = min(len(content), 128) if rng.random() < 0.5 else len(content)
        at, size = int(rng.integers(end)), int(rng.integers(1, 1 + min(64, len(content))))
        match rng.integers(8):
            case 0:
                content[at] ^= 1 << rng.integers(8)
            case 1:
                content[at] = rng.integers(256)
            case 2 | 3:
                width = int(rng.choice([1, 2, 4]))
                number = int(rng.choice(_NUMBERS)) % (1 << (8 * width))
                order = "little" if rng.random() < 0.5 else "big"
                content[at : at + width] = number.to_bytes(width, order)
            case 4:
                del content[at : at + size]
            case 5:
                content[at:at] = content[at : at + size]
            case 6:
                other = others[rng.integers(len(others))]
                start = int(rng.integers(len(other)))
                content[at:at] = other[start : start + size]
            case _:
                if rng.random() < 0.3:
                    del content[at:]
                else:
                    content[at:at] = rng.bytes(size)
    return bytes(content)


def with_checksums(data: bytes) -> bytes:
    """Return a PNG with correct checksums in all chunks that can be identified."""
    content, at = bytearray(data), 8
    while at + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        end = at + 8 + size
        if end + 4 > len(content):
            break
        struct.pack_into(">I", content, end, zlib.crc32(content[at + 4 : end]))
        at = end + 4
    return bytes(content)


def edited_text(text: str, rng: np.random.Generator) -> str:
    """Return a text with lines, words and letters changed."""
    lines = text.split("\n")
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, other = (int(rng.integers(len(lines))) for _ in range(2))
        word = _TEXTS[rng.integers(len(_TEXTS))]
        match rng.integers(6):
            case 0:
                lines[at] = lines[other]
            case 1:
                lines[at] = ""
            case 2:
                lines[at] = " " * int(rng.integers(4)) + lines[at]
            case 3:
                lines[at] = lines[at].partition(":")[0] + ": " + word
            case 4:
                cut = int(rng.integers(len(lines[at]) + 1))
                lines[at] = lines[at][:cut] + word + lines[at][cut:]
            case _:
                lines.insert(at, lines[other] + word)
    return "\n".join(lines)


def edited_tree(tree: Any, rng: np.random.Generator) -> Any:
    """Return a JSON value in which one to three values or keys are replaced."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        place: Any = tree
        while place:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = keys[int(rng.integers(len(keys)))]
            if rng.random() < 0.6 and isinstance(place[key], (dict, list)) and place[key]:
                place = place[key]
                continue
            match rng.integers(4):
                case 0:
                    del place[key]
                case 1 if isinstance(place, dict):
                    place[str(_TEXTS[rng.integers(len(_TEXTS))])] = place[key]
                case _:
                    place[key] = _VALUES[rng.integers(len(_VALUES))]
            break
    return tree


def _edited_field(message: Any, descriptor: Any, rng: np.random.Generator) -> None:
    """Give one field, or one item of it, another value."""
    value = getattr(message, descriptor.name)
    is_one = isinstance(value, (bool, int, float, str, bytes))
    at = -1 if is_one else int(rng.integers(len(value)))
    item = value if at < 0 else value[at]
    if isinstance(item, bytes):
        new: Any = damaged(item, rng, [item]) if item else b"x"
    elif isinstance(item, str):
        word = _TEXTS[rng.integers(len(_TEXTS))].replace("\0", "")
        names = (*"abcdefhiqsx", "image", "map", "w0", "w1", "w2", "g0", *_OPS, word)
        new = names[rng.integers(len(names))]
    else:
        numbers = (*range(-3, 20), *_NUMBERS)
        new = type(item)(numbers[rng.integers(len(numbers))] % (1 << 31))
        new = -new if rng.random() < 0.2 else new
    with contextlib.suppress(ValueError):  # an enum has no such member
        if at < 0:
            setattr(message, descriptor.name, new)
        else:
            value[at] = new


def edited_message(message: Any, rng: np.random.Generator) -> None:
    """Change one field, somewhere below a protobuf message."""
    while fields := message.ListFields():
        descriptor, value = fields[rng.integers(len(fields))]
        if descriptor.message_type is None:
            _edited_field(message, descriptor, rng)
            return
        if hasattr(value, "ListFields"):  # one message, not a repeated field
            message = value
            continue
        at: Any = int(rng.integers(len(value)))
        if hasattr(value, "keys"):  # a map, such as the attributes of a TensorFlow node
            at = sorted(value.keys())[at]
            if not hasattr(value[at], "ListFields"):
                return
        if rng.random() < 0.1:
            del value[at]
            return
        message = value[at]
