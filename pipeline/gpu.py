"""The pipeline on an NVIDIA GPU; pixels and probability maps stay in its memory.

The kernels of ImageToTensor, BoxCandidates, CropWarp and CtcGreedyDecode run before and after the
TensorRT plans. The host fits boxes to regions, orders them, and turns class labels into text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..common.input_size import InputSize
from ..common.open_state import OpenState
from ..engines.engine import Engine
from ..engines.nvidia.device import Memory, Placed
from ..engines.nvidia.infer_request import InferRequest
from ..engines.nvidia.plan_runner import PlanRunner
from ..errors import SpecError
from ..ocr.box_candidates import (
    boxes_from_candidates,
    candidates_from_outputs,
    has_plain_regions,
)
from ..ocr.boxes import boxes_from_map
from ..ocr.crop import crop_size
from ..ocr.ctc import Reading, best_classes, readings_from_labels
from ..ocr.detector import DetectorRole, boxes_in_image
from ..ocr.detector_size import size_for
from ..ocr.line_windows import cut_quad
from ..ocr.preprocess import Fit, letterbox_size
from ..ocr.recognizer import RecognizerRole
from ..ocr.types import Image, Quads, ScoredQuads
from ..plugins.crop_warp.attributes import crop_attributes
from ..plugins.image_inputs import colors_of
from ..plugins.image_to_tensor.attributes import detector_attributes
from ..plugins.plugin import Attributes
from ..plugins.registry import PLUGINS
from ..spec import DetectorSpec, InputSpec, MapOutput, RecognizerSpec
from .line_parts import PartResult, Parts
from .stages import batches_by_size, spec_of
from .text_lines import TextLine, ordered_lines, text_lines

_COMPONENTS, _ROWS = 1024, 16384
"""Largest numbers of regions and of their rows; a map with more regions is downloaded whole."""
_OPS = ("ImageToTensor", "BoxCandidates", "CropWarp", "CtcGreedyDecode")
# TensorProto.DataType of the element types that plans may have.
_ONNX_TYPES = {np.dtype(np.float32): 1, np.dtype(np.float16): 10}


class GpuReader:
    """Reads images as ``OcrReader(..., ReadSettings(tiles="off"))`` does, on the GPU.

    Resampled pixels differ by rounding, so boxes and texts can differ: in the sample images, 18 of
    471 texts do. One thread may use a reader at a time; several readers may share the engines. Use
    it as a context manager, or close it before its engines.

    Raises:
        SpecError: an engine has the wrong role, does not run on an NVIDIA GPU, or its output is not
            probabilities (detector) or logits (recognizer) of the spec's charset.
        TargetMissingError: NVRTC, which compiles the kernels on first use, is not installed.
    """

    def __init__(self, detector: Engine, recognizer: Engine) -> None:
        self._detector_spec = spec_of(detector, DetectorSpec)
        self._recognizer_spec = spec_of(recognizer, RecognizerSpec)
        output = self._detector_spec.output
        if not isinstance(output, MapOutput):
            raise SpecError(
                f"{detector.label}: the GPU reader finds boxes in a map of probabilities only, but "
                f"output.family is {output.family}; use OcrReader"
            )
        if self._detector_spec.boxes.shape != "quad":
            raise SpecError(
                f"{detector.label}: the GPU reader cuts quadrilaterals out of the image, but "
                f"boxes.shape is {self._detector_spec.boxes.shape}; use OcrReader"
            )
        self._channel = output.channel
        if output.activation != "none":
            raise SpecError(
                f"{detector.label}: the GPU reader needs a map of probabilities, "
                f"but output.activation is {output.activation}; use OcrReader"
            )
        if self._recognizer_spec.output.kind != "logits":
            raise SpecError(
                f"{recognizer.label}: the GPU reader needs logits, but output.kind is "
                f"{self._recognizer_spec.output.kind}; use OcrReader"
            )
        self._detector, self._recognizer = detector, recognizer
        self._open = OpenState("the GPU reader", "create another one")
        self._device = _plan_runner(detector).device
        _plan_runner(recognizer)  # raises if it does not run on a GPU
        self._buffers: dict[str, Memory] = {}
        with self._device.current():
            self._ops = {name: self._device.op(PLUGINS[name]) for name in _OPS}
            self._colors = {
                role: self._constants(settings)
                for role, settings in (
                    ("detector", self._detector_spec.input),
                    ("recognizer", self._recognizer_spec.input),
                )
            }

    def _constants(self, settings: InputSpec) -> tuple[Placed, ...]:
        """Upload color matrix, mean and scale of an input; they are the same for all images."""
        stream, placed = self._device.stream(), []
        for array in colors_of(settings):
            memory = self._device.memory(array.shape, array.dtype)
            memory.host[:] = array
            memory.upload(len(array), stream)
            stream.synchronize()
            # `Placed` is only an address: the buffer must live as long as the reader.
            self._buffers[f"constant {len(self._buffers)}"] = memory
            placed.append(Placed(address=memory.address, shape=array.shape, dtype=array.dtype))
        return tuple(placed)

    def close(self) -> None:
        """Wait for a read in progress, and free GPU memory; the engines stay open.

        Later reads raise ClosedError. A second call does nothing.
        """
        self._open.close(self._release)

    def _release(self) -> None:
        with self._device.current():
            self._buffers.clear()
            self._colors.clear()
            self._ops.clear()

    def __enter__(self) -> GpuReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, image: Image) -> list[TextLine]:
        """Read one RGB image (H, W, 3) uint8.

        Lines are in reading order; boxes without text are dropped.

        Raises:
            ClosedError: the reader is closed.
        """
        with self._open.in_use():
            return self._read(image)

    def _read(self, image: Image) -> list[TextLine]:
        size = size_for((image.shape[0], image.shape[1]), self._detector_spec)
        with _plan_runner(self._detector, size).infer_request() as infer_request:
            shown = self._uploaded("image", image, infer_request)
            boxes, scores = self._find(shown, image, infer_request)
        lines = ordered_lines(boxes, scores)
        return text_lines(lines, self._read_quads(shown, lines.quads))

    def _uploaded(self, name: str, array: npt.NDArray, infer_request: InferRequest) -> Placed:
        """Queue a copy to the GPU; the memory of each name grows with the largest array so far."""
        flat = np.ascontiguousarray(array).reshape(-1)
        if name not in self._buffers or len(self._buffers[name].host) < len(flat):
            self._buffers[name] = self._device.memory((max(1, len(flat)),), flat.dtype)
        memory = self._buffers[name]
        memory.host[: len(flat)] = flat
        memory.upload(len(flat), infer_request.stream)
        return Placed(address=memory.address, shape=array.shape, dtype=array.dtype)

    def _results(
        self,
        name: str,
        inputs: Sequence[Placed],
        attributes: Attributes,
        infer_request: InferRequest,
    ) -> tuple[npt.NDArray, ...]:
        """Run an op, wait for the infer request's stream, and return the outputs (on the host)."""
        call = self._ops[name].call(inputs, attributes)
        memories = []
        for number, (shape, dtype) in enumerate(call.outputs):
            # Calls with outputs of the same shape share one buffer.
            key = f"{name} {number} {shape}"
            if key not in self._buffers:
                self._buffers[key] = self._device.memory(shape, dtype)
            memories.append(self._buffers[key])
        call.enqueue([memory.address for memory in memories], infer_request.stream)
        for memory in memories:
            memory.download(len(memory.host), infer_request.stream)
        infer_request.stream.synchronize()
        return tuple(memory.host for memory in memories)

    def _find(self, shown: Placed, image: Image, infer_request: InferRequest) -> ScoredQuads:
        """Find the boxes of the uploaded image, in the pixels of the image."""
        spec = self._detector_spec
        size = size_for((image.shape[0], image.shape[1]), spec)
        attributes = detector_attributes(image, spec.input, size, _type_of(infer_request.input))
        inputs = [shown, *self._colors["detector"]]
        call = self._ops["ImageToTensor"].call(inputs, attributes)
        # The op writes straight into the input of the plan.
        call.enqueue([infer_request.input.address], infer_request.stream)
        output = infer_request.enqueue(1)  # (1, C, h, w) or (1, h, w), still on the GPU
        height, width = output.host.shape[-2:]
        DetectorRole(spec).check_output_shape((0, *output.host.shape[1:]), size)
        channel = self._channel if output.host.ndim == 4 else 0
        # The channel of a (1, C, h, w) output is a contiguous plane: pass its address as (1, h, w).
        plane = height * width * output.host.dtype.itemsize
        probability = Placed(
            address=output.address + channel * plane,
            shape=(1, height, width),
            dtype=output.host.dtype,
        )
        threshold = np.array([spec.boxes.threshold], np.float32)
        limits = {"max_components": _COMPONENTS, "max_rows": _ROWS}
        inputs = [probability, self._uploaded("threshold", threshold, infer_request)]
        outputs = self._results("BoxCandidates", inputs, limits, infer_request)
        (candidates,) = candidates_from_outputs(outputs)
        boxes = boxes_from_candidates(candidates, (height, width), spec.boxes)
        # The op has room for a limited number of regions, and it scores regions of the plain mask.
        if candidates.missing or not has_plain_regions(spec.boxes):
            output.download(1, infer_request.stream)
            infer_request.stream.synchronize()
            one = output.host[0].reshape(-1, height, width)[channel].astype(np.float32)
            boxes = boxes_from_map(one, spec.boxes)
        # The scales that `letterbox` would have returned.
        rows, columns = letterbox_size(image, size)
        fit = Fit(size=size, scales=(columns / image.shape[1], rows / image.shape[0]))
        return boxes_in_image(boxes, (height, width), fit, image.shape[:2])

    def _read_quads(self, shown: Placed, quads: Quads) -> list[Reading]:
        """Read quads (K, 4, 2) of the image on the GPU, in batches of one input size."""
        spec, results = self._recognizer_spec, dict[int, PartResult]()
        parts = Parts.of_sizes([crop_size(quad) for quad in quads], spec)
        cut = [cut_quad(quad, own) for quad, own in zip(quads, parts.windows, strict=True)]
        part_quads = np.concatenate([np.zeros((0, 4, 2), np.float32), *cut])
        for size, batch in batches_by_size(parts.sizes, self._recognizer):
            is_whole = [parts.is_whole[index] for index in batch]
            with _plan_runner(self._recognizer, size).infer_request() as infer_request:
                read = self._read_batch(shown, part_quads[batch], is_whole, size, infer_request)
            results.update(zip(batch, read, strict=True))
        return parts.readings([results[index] for index in range(len(parts))], spec)

    def _read_batch(
        self,
        shown: Placed,
        quads: Quads,
        is_whole: Sequence[bool],
        size: InputSize,
        infer_request: InferRequest,
    ) -> list[PartResult]:
        spec = self._recognizer_spec
        placed = self._uploaded("quads", quads, infer_request)
        attributes = crop_attributes(spec.input, size.width, _type_of(infer_request.input))
        inputs = [shown, placed, *self._colors["recognizer"]]
        call = self._ops["CropWarp"].call(inputs, attributes)
        call.enqueue([infer_request.input.address], infer_request.stream)
        output = infer_request.enqueue(len(quads))
        RecognizerRole(spec).check_output_shape((0, *output.host.shape[1:]), size)
        # The output has room for a full batch; only the rows of these quads are decoded.
        shape = (len(quads), *output.host.shape[1:])
        logits = Placed(address=output.address, shape=shape, dtype=output.host.dtype)
        # (N, T) labels, (N,) lengths and (N,) scores are all that is downloaded of whole lines.
        read = self._results("CtcGreedyDecode", [logits], {"blank": spec.blank}, infer_request)
        labels, lengths, scores = read
        readings = readings_from_labels(labels, lengths, scores, spec.charset, spec.blank)
        if all(is_whole):
            return list(readings)
        # The frames of windows of cut lines are joined on the host.
        output.download(len(quads), infer_request.stream)
        infer_request.stream.synchronize()
        rows = np.array(output.host[: len(quads)], np.float32)
        return [
            reading if whole else best_classes(row)
            for reading, whole, row in zip(readings, is_whole, rows, strict=True)
        ]


def _plan_runner(engine: Engine, size: InputSize | None = None) -> PlanRunner:
    runner = engine.runner(size)
    if not isinstance(runner, PlanRunner):
        raise SpecError(
            f"{engine.label} does not run on an NVIDIA GPU; use OcrReader, or build for the target "
            "tensorrt"
        )
    return runner


def _type_of(memory: Memory) -> int:
    return _ONNX_TYPES[memory.host.dtype]
