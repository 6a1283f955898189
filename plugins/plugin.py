"""The description of a custom op: name, NumPy reference, CUDA kernels, launches and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray
Attributes = Mapping[str, int]


Buffers = tuple[tuple[tuple[int, ...], np.dtype], ...]
"""The shape and dtype of each buffer."""


@dataclass(frozen=True, kw_only=True)
class KernelStep:
    """One kernel launch: the kernel's name and a one-dimensional grid of blocks and threads."""

    entry: str
    blocks: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Launch(KernelStep):
    """All launches that compute an op: one, or several in sequence on the same stream.

    All kernels of an op have the same parameters:
    ``extern "C" entry(inputs..., int numbers..., outputs..., scratch...)``.

    Attributes:
        numbers: the integer parameters between inputs and outputs.
        outputs: the buffers that the kernels write.
        scratch: device memory that only the kernels use; its initial content is undefined.
        then: the launches after the first.
    """

    numbers: tuple[int, ...]
    outputs: Buffers
    scratch: Buffers = ()
    then: tuple[KernelStep, ...] = ()

    @property
    def steps(self) -> tuple[KernelStep, ...]:
        """All launches, in order."""
        return (self, *self.then)


@dataclass(frozen=True, kw_only=True)
class Example:
    """Inputs to verify an op on. ``kernel_only``: the function body is undefined on them (NaN)."""

    name: str
    inputs: tuple[Array, ...]
    attributes: Attributes
    kernel_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A custom op of the domain ``ocr_trt``.

    Attributes:
        name: the op type.
        reference: inputs and attributes -> outputs, in NumPy.
        source: the file with the kernels, CUDA C++.
        entries: the names of the kernels.
        launch: inputs and attributes -> the kernel launches; raises ValueError for shapes and
            dtypes that the op does not accept.
        examples: returns the inputs that the op is verified on, the same at each call.
        tolerance: the largest accepted difference of floats from the reference, as a share of
            1 + their absolute value; 0 requires equal values, with NaN at the same places.
        body: the function body, as ONNX text; None for an op that runs before or after an engine
            and is never a node of a graph.
        register: registers the op with TensorRT in this process, given the PTX of its kernels;
            None for an op that is never a node of a graph.
        launch_hwc8: the launches for TensorRT's format HWC8, on packed arrays (see hwc8.py); None
            if the op has no kernels for it.
    """

    name: str
    reference: Callable[[Sequence[Array], Attributes], tuple[Array, ...]]
    source: Path
    entries: tuple[str, ...]
    launch: Callable[[Sequence[Array], Attributes], Launch]
    examples: Callable[[], list[Example]]
    tolerance: float = 0.0
    body: str | None = None
    register: Callable[[bytes], None] | None = None
    launch_hwc8: Callable[[Sequence[Array], Attributes], Launch] | None = None


def blocks_for(work: int, threads: int) -> int:
    """Return how many blocks give each work item a thread; at least 1, as CUDA requires."""
    return max(1, -(-work // threads))
