"""Sampling of an image at computed places.

CropAndResize samples box b at y = y1 (H - 1) + i (y2 - y1) (H - 1) / (h - 1), and x alike, from the
image ``indices[b]``. Places outside the image get ``extrapolation_value``.

    one constant box for all images  ->  Gather rows y, y + 1, interpolate; the same with columns
    all other boxes                  ->  Gather images, GridSample, Where

The first form has constants that do not depend on the batch size.

ImageProjectiveTransform maps each pixel of the result to a place in the image: GridSample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .emitter import Emitter, RefusalError, Rule, Tensor

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def _places(low: npt.NDArray, high: npt.NDArray, size: int, count: int) -> npt.NDArray[np.float32]:
    """Return where constant boxes are sampled: (boxes, count), in pixels, as TensorFlow rounds."""
    low, high = low.astype(np.float32)[:, None], high.astype(np.float32)[:, None]
    last = np.float32(size - 1)
    if count == 1:
        return np.asarray(np.float32(0.5) * (low + high) * last, np.float32)
    step = (high - low) * last / np.float32(count - 1)
    return np.asarray(low * last + np.arange(count, dtype=np.float32) * step, np.float32)


def _crop_axis(
    x: Tensor, axis: int, places: npt.NDArray, method: str
) -> tuple[Tensor, npt.NDArray]:
    """Sample one axis of (N, C, H, W) at constant places; also return which are inside."""
    size, rank = x.shape[axis], x.rank
    inside = (places >= 0) & (places <= size - 1)
    places = np.clip(places, 0, size - 1)
    constant = x.emit.constant
    if method == "nearest":
        nearest = np.floor(places + np.float32(0.5)).astype(np.int64)
        return x.take(constant(nearest), axis), inside
    below = np.floor(places).astype(np.int64)
    above = np.ceil(places).astype(np.int64)
    one = x.take(constant(below), axis)
    if np.array_equal(below, above):
        return one, inside
    shape = [1] * rank
    shape[axis] = -1
    share = (places - below).astype(x.dtype).reshape(shape)
    return one + (x.take(constant(above), axis) - one) * constant(share), inside


def _same_crop(e: Emitter, x: Tensor, box: npt.NDArray, size: tuple[int, int]) -> Tensor:
    """Cut the same constant box from every image (N, C, H, W)."""
    method, outside = e.attribute("method", "bilinear"), e.attribute("extrapolation_value", 0.0)
    _, _, height, width = x.shape
    y1, x1, y2, x2 = (box[i : i + 1] for i in range(4))
    result, rows = _crop_axis(x, 2, _places(y1, y2, height, size[0])[0], method)
    result, columns = _crop_axis(result, 3, _places(x1, x2, width, size[1])[0], method)
    inside = rows[:, None] & columns  # (h, w)
    if inside.all():
        return result
    return e.where(e.constant(inside), result, float(outside))


def _line(low: Tensor, high: Tensor, size: int, count: int) -> Tensor:
    """Return the places of computed boxes: low and high (B, 1) -> (B, count), in pixels."""
    last = float(size - 1)
    if count == 1:
        return (low + high) * (0.5 * last)
    steps = low.emit.constant(np.arange(count, dtype=low.dtype)[None])
    return low * last + (high - low) * (last / (count - 1)) * steps


def _grid(x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """Return GridSample's grid (B, h, w, 2) of places in pixels, each (B, h, w, 1).

    -1 is the outer edge of the first pixel, and 1 that of the last (align_corners = 0).
    """
    gx = (x * 2.0 + 1.0) * (1.0 / width) - 1.0
    gy = (y * 2.0 + 1.0) * (1.0 / height) - 1.0
    return x.emit.op("Concat", gx, gy, axis=-1)


def _result_size(e: Emitter, index: int) -> tuple[int, int]:
    """Return height and width of the result, which input ``index`` states too."""
    shape = e.result_shape()
    h, w = shape[1:3] if shape else e.constant_input(index, "size")
    return int(h), int(w)


def _crop_and_resize(e: Emitter) -> Tensor:
    x, boxes = e[0].cast(np.float32), e[1]
    batch, height, width, _ = x.shape
    h, w = _result_size(e, 3)
    method, outside = e.attribute("method", "bilinear"), e.attribute("extrapolation_value", 0.0)
    known, which = boxes.value, e[2].value
    every = which is not None and np.array_equal(which, np.arange(batch))
    if known is not None and every and len(known) and (known == known[0]).all():
        return _same_crop(e, x.transpose(*_TO_NCHW), known[0], (h, w)).transpose(*_TO_NHWC)
    # Channels first, like the convolutions around it: their Transposes cancel.
    x = x.transpose(*_TO_NCHW)
    if not every:
        x = x.take(e[2], 0)  # (B, C, H, W)
    count = boxes.shape[0]
    sides = [boxes.slice(1, i, i + 1) for i in range(4)]  # (B, 1) each: y1, x1, y2, x2
    ys = _line(sides[0], sides[2], height, h)  # (B, h)
    xs = _line(sides[1], sides[3], width, w)
    inside = e.op(
        "And",
        _inside(ys, height).reshape(count, 1, h, 1),
        _inside(xs, width).reshape(count, 1, 1, w),
    )
    if method == "nearest":
        # TensorFlow rounds halves up, GridSample to even numbers.
        ys, xs = e.op("Floor", ys + 0.5), e.op("Floor", xs + 0.5)
    # raise_resize turns these into Resizes, which need channels first: (B, 1, h, w).
    ys = e.op("Expand", ys.reshape(count, 1, h, 1), (count, 1, h, w)).reshape(count, h, w, 1)
    xs = e.op("Expand", xs.reshape(count, 1, 1, w), (count, 1, h, w)).reshape(count, h, w, 1)
    result = e.op(
        "GridSample", x, _grid(xs, ys, height, width),
        mode="bilinear", padding_mode="border", align_corners=0,
    )  # fmt: skip
    return e.where(inside, result, float(outside)).transpose(*_TO_NHWC)


def _inside(places: Tensor, size: int) -> Tensor:
    e = places.emit
    return e.op(
        "And", e.op("GreaterOrEqual", places, 0.0), e.op("LessOrEqual", places, float(size - 1))
    )


_FILLS = {"CONSTANT": "zeros", "NEAREST": "border", "REFLECT": "reflection"}


def _projective(e: Emitter) -> Tensor:
    x, transforms = e[0], e[1].cast(np.float32)  # (N, H, W, C), (N or 1, 8)
    batch, height, width, _ = x.shape
    h, w = _result_size(e, 2)
    fill = e.attribute("fill_mode", "CONSTANT")
    if fill not in _FILLS:
        raise RefusalError(f"its fill_mode is {fill}; use one of {', '.join(_FILLS)}")
    nearest = e.attribute("interpolation") == "NEAREST"
    if nearest and fill == "REFLECT":
        raise RefusalError("it reflects the image with nearest interpolation; use BILINEAR")
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    parts = [transforms.slice(1, i, i + 1).reshape(-1, 1, 1, 1) for i in range(8)]
    xs, ys = e.constant(columns[None, :, :, None]), e.constant(rows[None, :, :, None])

    def line(a: Tensor, b: Tensor, c: Tensor | float) -> Tensor:
        return xs * a + ys * b + c

    scale = line(parts[6], parts[7], 1.0)
    px, py = line(*parts[:3]) / scale, line(*parts[3:6]) / scale
    if nearest:
        px, py = e.op("Floor", px + 0.5), e.op("Floor", py + 0.5)
    grid = _grid(px, py, height, width)
    if transforms.shape[0] != batch:
        grid = e.op("Expand", grid, (batch, h, w, 2))
    value = e[3].value if len(e) > 3 else np.float32(0)
    if value is None:
        raise RefusalError("its fill_value depends on the image; make it a constant")
    shift = float(value) if fill == "CONSTANT" else 0.0
    # GridSample fills with zeros: sample the difference from the fill value.
    source = x.cast(np.float32) - shift if shift else x.cast(np.float32)
    result = e.op(
        "GridSample", source.transpose(*_TO_NCHW), grid,
        mode="bilinear", padding_mode=_FILLS[fill], align_corners=0,
    ).transpose(*_TO_NHWC)  # fmt: skip
    return (result + shift if shift else result).cast(x.dtype)


RULES: dict[str, Rule] = {
    "CropAndResize": _crop_and_resize,
    "ImageProjectiveTransformV2": _projective,
    "ImageProjectiveTransformV3": _projective,
}
