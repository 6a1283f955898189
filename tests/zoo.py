"""The zoo: small models of every family of OCR models, and their results.

    python tests/zoo.py      writes docs/zoo.md

Each is built in code with seeded random weights, written to disk in a format that users have,
converted, compared with TensorFlow, and built for every target that is installed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from ocr_trt.calibration.autocast import autocast, float_tensors
from ocr_trt.convert.pipeline import Converted, convert
from ocr_trt.convert.rounding import Rounding, rounded
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.runner import Runner
from ocr_trt.engines.targets import backend
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import EngineBuildError
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict, with_max_batch

if __package__:
    from .families import (
        backbones,
        batches,
        detectors,
        ends,
        float_types,
        graphs,
        loops,
        patches,
        recognizers,
        resizes,
        single_ops,
        text_decoders,
        transformers,
    )
else:
    from families import (
        backbones,
        batches,
        detectors,
        ends,
        float_types,
        graphs,
        loops,
        patches,
        recognizers,
        resizes,
        single_ops,
        text_decoders,
        transformers,
    )

DOCUMENT = Path(__file__).parent.parent / "docs" / "zoo.md"

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One model: how it is built, and what its spec contains besides the usual entries."""

    build: Callable[[], Any]
    role: Literal["detector", "recognizer"]
    output: dict[str, Any] = field(default_factory=lambda: {"name": "output_0"})
    input_name: str = "image"
    max_batch: int = 1
    loops: int = 0
    """How many Loops the clean graph keeps."""
    transposes: int = 0
    """How many Transposes the clean graph of a detector keeps."""
    own_batch: int = 1
    """The only batch size that the model accepts, if it is over 1."""
    level: float = 0.0
    """How much one level of fake quantization changes the output: a tie can go either way."""
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    suffix: str = ""
    """Of a Keras file; "" writes a SavedModel."""
    constants: dict[str, float] = field(default_factory=dict)
    flat: bool = False
    """Whether its images are large areas of one color, where many features are equal."""

    @property
    def name(self) -> str:
        """The function's name."""
        return self.build.__name__.replace("_", "-")

    @property
    def about(self) -> str:
        """The first line of the function's docstring."""
        return (self.build.__doc__ or "").splitlines()[0]


def _recognizer(build: Callable[[], Any], **output: Any) -> Family:
    return Family(
        build=build, role="recognizer", max_batch=3, output={"name": "output_0", **output}
    )


def _looping(build: Callable[[], Any], loops: int) -> Family:
    return replace(_recognizer(build), loops=loops)


def _detector(build: Callable[[], Any], output: str = "output_0", image: str = "image") -> Family:
    return Family(build=build, role="detector", input_name=image, output={"name": output})


def _with_attention(build: Callable[[], Any], transposes: int) -> Family:
    """Return a detector with layer norms or attention, which run on the last axis.

    Convolutions run on the second axis, so Transposes stay between the two.
    """
    return replace(_detector(build), transposes=transposes)


FAMILIES: tuple[Family, ...] = (
    _detector(detectors.craft),
    _detector(detectors.differentiable_binarization),
    _detector(detectors.linknet),
    _detector(detectors.mobilenet_v3),
    _detector(detectors.efficientnet),
    _detector(detectors.segnet),
    _detector(detectors.psenet, output="text"),
    _detector(detectors.dilated_and_grouped),
    _detector(detectors.subclassed, image="args_0"),
    _detector(detectors.group_norm),
    _detector(detectors.wide_unpool, output="map"),
    _detector(graphs.tf1_detector, output="map"),
    _detector(resizes.tf1_resizes, output="map"),
    _detector(resizes.resize_kinds),
    _detector(resizes.odd_skips),
    replace(_detector(resizes.segnet_without_activations), flat=True),
    _detector(single_ops.region_crops, output="map"),
    _detector(single_ops.odd_activations, output="map"),
    replace(_detector(ends.channels_first), layout="NCHW"),
    replace(_detector(ends.channels_first_kernels, output="map"), layout="NCHW"),
    _recognizer(recognizers.crnn),
    _recognizer(recognizers.crnn_any_width),
    _recognizer(recognizers.gru),
    _recognizer(recognizers.tdnn),
    _recognizer(recognizers.squeeze_excite, kind="probabilities"),
    _recognizer(recognizers.spatial_transformer),
    _recognizer(recognizers.attention_decoder),
    _recognizer(graphs.tf1_recognizer, name="map", layout="TNC"),
    _recognizer(graphs.tf1_dynamic_rnn, name="map", layout="TNC"),
    _recognizer(transformers.vit_str),
    _recognizer(transformers.svtr),
    _recognizer(transformers.post_norm),
    _recognizer(transformers.relative_positions),
    _recognizer(transformers.masked_by_width),
    _recognizer(single_ops.global_filters),
    _detector(batches.east, output="map"),
    _detector(batches.threshold_maps, output="shrink"),
    _recognizer(batches.time_major, layout="TNC"),
    _recognizer(batches.tf1_time_major, name="map", layout="TNC"),
    _recognizer(batches.parallel_decoder),
    _recognizer(batches.batch_indices),
    _recognizer(batches.one_image),
    replace(_recognizer(batches.four_images, name="map"), own_batch=4),
    _recognizer(float_types.mixed_float16),
    _detector(float_types.mixed_bfloat16),
    _detector(float_types.float64),
    replace(_detector(float_types.fake_quant_10_bits, output="map"), level=1e-4),
    _recognizer(ends.ctc_decoder_inside, name="scores", kind="probabilities"),
    replace(
        _recognizer(ends.training_with_ctc_loss, name="scores", kind="probabilities"),
        suffix=".keras",
    ),
    replace(_recognizer(ends.text_as_second_input), constants={"text": 5.0}),
    _recognizer(loops.captcha),
    _looping(loops.stacked_cells, 2),
    _looping(loops.layer_norm_lstm, 1),
    _looping(loops.conv_lstm, 1),
    _looping(loops.masked_gru, 2),
    _looping(loops.loop_decoder, 1),
    _looping(loops.mapped_over_time, 1),
    _detector(backbones.mobilenet_v3_unet),
    _detector(backbones.densenet_unet),
    _with_attention(backbones.convnext_unet, transposes=48),
    _with_attention(patches.swin_detector, transposes=23),
    _with_attention(patches.vit_detector, transposes=18),
    _with_attention(patches.pyramid_vision, transposes=18),
    _with_attention(patches.axial_attention, transposes=27),
    _recognizer(patches.swin_recognizer),
    _recognizer(patches.tr_ocr_encoder),
    _recognizer(patches.conformer),
    _recognizer(patches.parallel_visual_attention),
    _recognizer(patches.linear_attention),
    _recognizer(text_decoders.grouped_queries),
    _recognizer(text_decoders.master),
)


def write(family: Family, folder: Path) -> Path:
    """Build a model and write it as a SavedModel folder or a frozen graph."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    model = family.build()
    path = folder / family.name
    if isinstance(model, bytes):
        path = path.with_suffix(".pb")
        path.write_bytes(model)
    elif family.suffix:
        path = path.with_suffix(family.suffix)
        model.save(path)
    elif isinstance(model, keras.Model):
        model.export(path, format="tf_saved_model", verbose=False)
    else:
        tf.saved_model.save(model, path, signatures=model.__call__)
    return path


def spec_of(family: Family, path: Path) -> DetectorSpec | RecognizerSpec:
    """Return the spec of a model that :func:`write` wrote."""
    is_detector = family.role == "detector"
    shape = [family.own_batch, *((64, 96, 3) if is_detector else (32, 96, 1))]
    if family.layout == "NCHW":
        shape = [shape[axis] for axis in (0, 3, 1, 2)]
    return spec_from_dict(
        {
            "name": family.name,
            "role": family.role,
            "source": {"path": path, "constants": family.constants},
            "input": {
                "name": family.input_name,
                "shape": shape,
                "layout": family.layout,
                "color": "RGB" if is_detector else "GRAY",
                "mean": [127.5],
                "scale": [1 / 127.5],
                "max_batch": family.max_batch,
            },
            "output": family.output,
            **({} if is_detector else {"charset": ALPHABET}),
        }
    )


@dataclass(frozen=True, kw_only=True)
class FamilyResult:
    """The results of one model."""

    family: Family
    converted: Converted
    seconds: float
    """Processor time of the conversion, which does not depend on the load of the machine."""
    difference: float
    """Largest absolute difference between onnxruntime and TensorFlow."""
    spread: float
    """Standard deviation of TensorFlow's output: a constant output would prove nothing."""
    rounding: float
    """Largest difference that the rounding of a model in 16 bits explains; else 0."""
    openvino: float
    """Largest absolute difference between OpenVINO and onnxruntime."""
    builds: dict[str, str]
    """TensorRT-RTX precision -> "yes", "-" where it is not installed, or the reason."""


def _paper(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return white images (N, C, H, W) with some black bars, in place of random pixels."""
    paper = np.ones_like(images)
    for top, left in rng.integers(0, (images.shape[2] - 9, images.shape[3] - 5), (5, 2)):
        paper[:, :, top : top + 9, left : left + 5] = -1
    return paper


def _differences(
    one: Runner, other: Runner, batch: int, *, flat: bool = False
) -> tuple[float, float]:
    """Return the largest difference of two runners at batch 1 and ``batch``, and the spread."""
    rng, worst, spread = np.random.default_rng(0), 0.0, 0.0
    for size in sorted({1, batch}):
        images = rng.uniform(-1, 1, (size, *one.shape)).astype(np.float32)
        if flat:
            images = _paper(images, rng)
        ours, theirs = one.run(images), other.run(images)
        assert ours.shape == theirs.shape
        worst = max(worst, float(np.abs(ours - theirs).max()))
        spread = float(theirs.std())
    return worst, spread


def _rounding(converted: Converted, ours: Runner) -> float:
    if (name := converted.float_types.coarsest) is None:
        return 0.0
    graph = rounded(converted.model, name)
    other = runner_from_model(graph, label=name, max_batch=ours.max_batch)
    rng = np.random.default_rng(0)
    images = [rng.uniform(-1, 1, (1, *ours.shape)).astype(np.float32) for _ in range(4)]
    return Rounding.of([np.abs(ours.run(x) - other.run(x)) for x in images]).limit(0.0)


def _builds(model: onnx.ModelProto, folder: Path, batch: int) -> Iterator[tuple[str, str]]:
    target = backend("tensorrt-rtx")
    half = autocast(model, dict.fromkeys(float_tensors(model), 1.0)).model
    for precision, graph in (("fp32", model), ("fp16", half)):
        answer = "-"
        if target.availability().can_build:
            try:
                target.build(graph, folder / precision, BuildSettings(max_batch=batch))
                answer = "yes"
            except EngineBuildError as error:
                answer = str(error)
        yield precision, answer


def examine(family: Family, folder: Path) -> FamilyResult:
    """Write a model, convert it, compare it, and build it."""
    spec = spec_of(family, write(family, folder))
    source = open_source(spec.source)
    begin = time.process_time()
    converted = convert(source, spec)
    seconds = time.process_time() - begin
    onnx.checker.check_model(converted.model, full_check=True)
    # As ``build`` does it with a graph that accepts single images only.
    batch, plan = 1 if converted.batch_limit else spec.input.max_batch, folder / "plan.xml"
    spec = with_max_batch(spec, batch)
    ours = runner_from_model(converted.model, label="onnxruntime", max_batch=batch)
    theirs = baseline_runner(source, spec)
    difference, spread = _differences(ours, theirs, batch, flat=family.flat)
    openvino = backend("openvino")
    openvino.build(converted.model, plan, BuildSettings(max_batch=batch))
    with openvino.open(plan, label="", settings=RunSettings(), max_batch=batch) as engine:
        by_openvino, _ = _differences(engine, ours, batch, flat=family.flat)
    return FamilyResult(
        family=family,
        converted=converted,
        seconds=seconds,
        difference=difference,
        spread=spread,
        rounding=_rounding(converted, ours),
        openvino=by_openvino,
        builds=dict(_builds(converted.model, folder, batch)),
    )


def _row(result: FamilyResult) -> str:
    converted = result.converted
    cells = [
        f"`{result.family.name}`",
        result.family.about.rstrip(".").replace("``", "`"),
        f"{converted.raw_ops.total()} -> {converted.ops.total()}",
        f"{converted.raw_ops['Transpose']} -> {converted.ops['Transpose']}",
        f"{result.difference:.1e}",
        f"{result.openvino:.1e}",
        *result.builds.values(),
    ]
    return f"| {' | '.join(cells)} |"


_HEAD = """\
# The model zoo

`python tests/zoo.py` builds these models in code, with random weights, and writes this table. Each
model belongs to a family that OCR uses. It is saved as a SavedModel or a frozen graph, converted,
and compared with TensorFlow on random images; recognizers at batch 1 and 3, if they accept batches.

- nodes, Transposes: the number of ONNX nodes before -> after the conversion.
- TensorFlow: the largest absolute difference between onnxruntime and TensorFlow. A model in 16 bits
  differs by its own rounding ([decision 0020](decisions/0020-float-types.md)).
- OpenVINO: the largest absolute difference between OpenVINO and onnxruntime.
- fp32, fp16: whether TensorRT-RTX built an engine.

| model | contents | nodes | Transposes | TensorFlow | OpenVINO | fp32 | fp16 |
|---|---|---:|---:|---:|---:|---|---|
"""


def main() -> None:
    """Examine all families, and write the document."""
    rows = []
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            result = examine(family, Path(folder))
        rows.append(_row(result))
        print(f"{family.name}: {result.seconds:.1f} s", file=sys.stderr)
    DOCUMENT.write_text(_HEAD + "\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
