"""What a custom op is: its name, its function body, its reference, its kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray
Attributes = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One launch of a kernel, ``extern "C" entry(inputs..., int numbers..., outputs...)``.

    ``blocks`` and ``threads`` lie in one dimension. ``outputs``: a shape and dtype for each.
    """

    entry: str
    blocks: int
    threads: int
    numbers: tuple[int, ...]
    outputs: tuple[tuple[tuple[int, ...], np.dtype], ...]


@dataclass(frozen=True, kw_only=True)
class Example:
    """Inputs that an op is tried on. ``kernel_only``: its body says nothing about them (NaN)."""

    name: str
    inputs: tuple[Array, ...]
    attributes: Attributes
    kernel_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A custom op of the domain ``ocr_trt``.

    Attributes:
        name: the op type.
        body: the function body, as ONNX text.
        reference: inputs and attributes -> outputs, in NumPy.
        source: the kernels, CUDA C++.
        entries: their names.
        launch: inputs and attributes -> how they are launched; raises ValueError for shapes and
            dtypes that the op does not take.
        examples: what it is verified on, the same every time.
        tolerance: how far floats may be from the reference's, as a share of 1 + their size; 0:
            equal, NaN where it has NaN.
        register: makes it a plugin of TensorRT in this process, given PTX of its kernels. None: it
            is used by itself, before or after an engine, never inside one.
    """

    name: str
    body: str
    reference: Callable[[Sequence[Array], Attributes], tuple[Array, ...]]
    source: Path
    entries: tuple[str, ...]
    launch: Callable[[Sequence[Array], Attributes], Launch]
    examples: Callable[[], list[Example]]
    tolerance: float = 0.0
    register: Callable[[bytes], None] | None = None


def blocks_for(work: int, threads: int) -> int:
    """Return how many blocks have a thread for each piece of work; a grid has one at least."""
    return max(1, -(-work // threads))
