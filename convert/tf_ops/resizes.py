"""Resize images: (N, h, w, C) -> (N, H, W, C).

    ResizeNearestNeighbor  ->  Resize<nearest>, or Slice or Gather with TensorFlow's own indices
    ResizeBilinear         ->  Resize<linear>
    ResizeBicubic          ->  A x B        A (H, h) and B (w, W) are constant, for each channel
    ResizeArea             ->  A x B, or AveragePool if the sizes shrink by whole factors
    ScaleAndTranslate      ->  A x B        tf.image.resize: lanczos, gaussian, antialias, ...

ONNX has no op for the last two, and not the weights of TensorFlow's bicubic, which come from a
table of 1024 entries; OpenVINO also ignores how ONNX treats the border (exclude_outside). The
matrices are exact for any method: TensorFlow itself resizes an identity matrix. They cost
2 N C w H (h + W) operations and 4 (H h + w W) bytes.

Results of all ops but nearest are float32 for any input type, as TensorFlow has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..analysis.resizes import Centers, is_safe, repeats, step_of
from .emitter import Emitter, RefusalError, Rule, Tensor
from .static_values import static_value

Array = npt.NDArray[np.float32]
_LARGEST = 1 << 26
"""Most elements of a matrix: 8192 x 8192, 256 MiB."""


def _centers(e: Emitter) -> Centers:
    if e.attribute("align_corners", 0):
        return "align_corners"
    return "half_pixel" if e.attribute("half_pixel_centers", 0) else "asymmetric"


def _old_size(e: Emitter) -> tuple[int, int] | None:
    """Return (h, w); None if they are not known."""
    shape = e.graph.get_shape(e[0].name)
    if shape is None or len(shape) != 4 or min(shape[1:3]) < 0:
        return None
    return shape[1], shape[2]


def _new_size(e: Emitter) -> tuple[int, int] | None:
    """Return (H, W); None if they are not known."""
    size = static_value(e.graph, e[1].name)
    return None if size is None else (int(size[0]), int(size[1]))


def _sizes(e: Emitter) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (h, w) and (H, W).

    Raises:
        RefusalError: one of them depends on the image, or is too large for a matrix.
    """
    old, new = _old_size(e), _new_size(e)
    if old is None or new is None:
        raise RefusalError(
            "this kind of resize must have sizes that are known during the conversion; give "
            "it constant sizes, or use bilinear or nearest"
        )
    if max(a * b for a, b in zip(old, new, strict=True)) > _LARGEST:
        raise RefusalError(
            f"a resize of this kind from {old} to {new} needs a matrix of more than {_LARGEST} "
            "elements; use bilinear or nearest"
        )
    return old, new


def _computed(function: Callable[[Any], Any], images: npt.NDArray) -> npt.NDArray:
    """Run a TensorFlow function on images (1, h, w, C)."""
    import tensorflow as tf

    v1 = tf.compat.v1
    # Rules are called while tf2onnx' own graph is the default one, so nothing runs eagerly here.
    with v1.Graph().as_default() as graph, tf.device("CPU"):
        entry = v1.placeholder(images.dtype, images.shape)
        result = function(entry)
    with v1.Session(graph=graph) as session:
        return np.asarray(session.run(result, {entry: images}))


def _rows(function: Callable[[Any, int], Any], sizes: tuple[int, int]) -> Array:
    """Return the matrix (H, h) of a function that resizes the rows of images to H.

    Each row of the image (1, h, 1, h) is a row of the identity matrix, as channels.
    """
    old, new = sizes
    image = np.eye(old, dtype=np.float32).reshape(1, old, 1, old)
    return _computed(lambda x: function(x, new), image).reshape(new, old).astype(np.float32)


def _products(e: Emitter, rows: Array, columns: Array) -> Tensor:
    """Return rows (H, h) x image (N, h, w, C) x columns (W, w), for each channel."""
    x = e[0].cast(np.float32).transpose(0, 3, 1, 2)  # (N, C, h, w)
    # Matrices of rank 4 stay in float in an int8 graph: they are no weights to quantize.
    if not _is_identity(rows):
        x = e.op("MatMul", rows[None, None], x)
    if not _is_identity(columns):
        x = x @ np.ascontiguousarray(columns.T)[None, None]
    return x.transpose(0, 2, 3, 1)


def _is_identity(matrix: Array) -> bool:
    return matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))


def _weighted(op: str, *attributes: str) -> Callable[[Emitter], Tensor | None]:
    """Return the rule of an op with the inputs images and size."""

    def rule(e: Emitter) -> Tensor | None:
        is_known = _old_size(e) is not None and _new_size(e) is not None
        if op == "ResizeBicubic" and _centers(e) == "half_pixel" and not is_known:
            return None  # tf2onnx writes a Resize<cubic>, which lower_resize rewrites
        import tensorflow as tf

        old, new = _sizes(e)
        settings = {name: bool(e.attribute(name, 0)) for name in attributes}
        run = getattr(tf.raw_ops, op)
        rows, columns = (
            _rows(lambda x, size: run(images=x, size=(size, 1), **settings), each)
            for each in zip(old, new, strict=True)
        )
        return _products(e, rows, columns)

    return rule


def _area(e: Emitter) -> Tensor | None:
    old, new = _sizes(e)
    if e.attribute("align_corners", 0) or any(a % b for a, b in zip(old, new, strict=True)):
        return _weighted("ResizeArea", "align_corners")(e)
    window = [a // b for a, b in zip(old, new, strict=True)]
    x = e[0].cast(np.float32).transpose(0, 3, 1, 2)
    return e.op("AveragePool", x, kernel_shape=window, strides=window).transpose(0, 2, 3, 1)


def _scale_and_translate(e: Emitter) -> Tensor:
    import tensorflow as tf

    old, new = _sizes(e)
    scale, move = (static_value(e.graph, e[index].name) for index in (2, 3))
    if scale is None or move is None:
        raise RefusalError("its scale or translation depends on the image; make it a constant")
    kernel, antialias = e.attribute("kernel_type", "lanczos3"), e.attribute("antialias", 1)

    def along(axis: int) -> Callable[[Any, int], Any]:
        return lambda x, size: tf.raw_ops.ScaleAndTranslate(
            images=x,
            size=(size, 1),
            scale=[float(scale[axis]), 1.0],
            translation=[float(move[axis]), 0.0],
            kernel_type=kernel,
            antialias=bool(antialias),
        )

    rows, columns = (_rows(along(axis), (old[axis], new[axis])) for axis in (0, 1))
    return _products(e, rows, columns)


def _resized(e: Emitter, x: Tensor, size: tuple[int, int] | None, **attributes: Any) -> Tensor:
    """Return a Resize of ``x`` (N, h, w, C) to ``size``, by default that of the node.

    It states sizes and not scales, because few scales are exact in float32.
    """
    if size is not None and size == _old_size(e):
        return x
    sizes = e[1].cast(np.int64) if size is None else size
    nchw = x.transpose(0, 3, 1, 2)
    resized = e.op("Resize", nchw, None, None, sizes, axes=[2, 3], **attributes)
    return resized.transpose(0, 2, 3, 1)


def _bilinear(e: Emitter) -> Tensor:
    x, centers, new = e[0].cast(np.float32), _centers(e), _new_size(e)
    for axis, size in enumerate(new or ()):
        # ONNX divides by size - 1 = 0 here; TensorFlow selects the first row.
        if size == 1 and centers == "align_corners":
            x = x.slice(1 + axis, 0, 1)
    return _resized(e, x, new, mode="linear", coordinate_transformation_mode=centers)


def _selected(e: Emitter, chosen: Sequence[npt.NDArray[np.int64]]) -> Tensor:
    """Return the pixels at ``chosen`` rows and columns."""
    x = e[0].transpose(0, 3, 1, 2)
    for axis, (indices, size) in enumerate(zip(chosen, _old_size(e) or (), strict=True), 2):
        if np.array_equal(indices, np.arange(size)):
            continue
        if (step := step_of(indices)) is None:
            x = x.take(indices, axis)
        else:
            x = x.slice(axis, int(indices[0]), int(indices[-1]) + 1, step)
    return x.transpose(0, 2, 3, 1)


def _indices(function: Callable[[Any, int], Any], sizes: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the index of the image's row in each row of the result, (new,)."""
    old, new = sizes
    image = np.arange(old, dtype=np.int32).reshape(1, old, 1, 1)
    return _computed(lambda x: function(x, new), image).reshape(new).astype(np.int64)


def _nearest(e: Emitter) -> Tensor:
    import tensorflow as tf

    centers, old, new = _centers(e), _old_size(e), _new_size(e)
    rounding = "round_prefer_ceil" if centers == "align_corners" else "floor"
    if old is None or new is None:
        known = "tf_half_pixel_for_nn" if centers == "half_pixel" else centers
        modes = {"coordinate_transformation_mode": known, "nearest_mode": rounding}
        return _resized(e, e[0], new, mode="nearest", **modes)

    def run(x: Any, size: int) -> Any:
        return tf.raw_ops.ResizeNearestNeighbor(
            images=x,
            size=(size, 1),
            align_corners=centers == "align_corners",
            half_pixel_centers=centers == "half_pixel",
        )

    rows, columns = (_indices(run, each) for each in zip(old, new, strict=True))
    if repeats(rows, old[0]) and repeats(columns, old[1]):
        centers, rounding = "asymmetric", "floor"
    elif not all(is_safe(a, b, centers) for a, b in zip(old, new, strict=True)):
        return _selected(e, (rows, columns))
    elif centers == "half_pixel":
        rounding = "round_prefer_ceil"  # floor(u) = ceil((u - 1/2) - 1/2), see raise_resize
    modes = {"coordinate_transformation_mode": centers, "nearest_mode": rounding}
    return _resized(e, e[0], new, mode="nearest", **modes)


RULES: dict[str, Rule] = {
    "ResizeNearestNeighbor": _nearest,
    "ResizeBilinear": _bilinear,
    "ResizeBicubic": _weighted("ResizeBicubic", "align_corners", "half_pixel_centers"),
    "ResizeArea": _area,
    "ScaleAndTranslate": _scale_and_translate,
}
