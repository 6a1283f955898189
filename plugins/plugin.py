"""What a custom op is: its name, its function body, its reference, its kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray
Attributes = Mapping[str, int]


Buffers = tuple[tuple[tuple[int, ...], np.dtype], ...]
"""A shape and dtype for each."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A kernel and its grid; ``blocks`` and ``threads`` lie in one dimension."""

    entry: str
    blocks: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Launch(Step):
    """How an op is launched: one step, or several that follow each other on one stream.

    All have the parameters ``extern "C" entry(inputs..., int numbers..., outputs..., scratch...)``.

    Attributes:
        numbers: between inputs and outputs.
        outputs: what is written.
        scratch: memory that only the steps know, without a value at first.
        then: the steps after the first.
    """

    numbers: tuple[int, ...]
    outputs: Buffers
    scratch: Buffers = ()
    then: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return (self, *self.then)


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
        register: makes it a plugin of TensorRT in this process, given PTX of its kernels; None: it
            stands alone, around engines and not in them.
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
