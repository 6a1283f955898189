"""The GPU reader on a simulated GPU, compared with the reader on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.nvidia.features import features_of
from ocr_trt.engines.nvidia.infer_request import PlanSettings
from ocr_trt.engines.nvidia.load_plan import engine_from_plan
from ocr_trt.engines.nvidia.plan_runner import PlanRunner
from ocr_trt.errors import SpecError
from ocr_trt.ocr.ctc import decode_greedy, readings_from_labels
from ocr_trt.pipeline import gpu
from ocr_trt.pipeline.gpu import GpuReader
from ocr_trt.pipeline.reader import OcrReader, ReadSettings
from ocr_trt.plugins.ctc_greedy_decode import ctc_greedy_decode
from tests.engines.gpu_stand_in import StandInDevice, plan_of, stand_in_trt
from tests.pipeline.functions import FunctionRunner
from tests.pipeline.stripes import image_with, model_of, specs


def engine(spec, make: Callable[[InputSize], PlanRunner | FunctionRunner]) -> Engine:
    return Engine(label=spec.name, spec=spec, open_runner=make)


class Readers:
    """The same two models on the CPU and as plans."""

    def __init__(self, max_batch: int = 4) -> None:
        self.device = StandInDevice()
        trt = stand_in_trt(self.device)
        features = features_of(trt)
        self.specs = specs(max_batch)

        def planned(spec, size: InputSize) -> PlanRunner:
            limit = spec.input.max_batch
            plan = plan_of(
                model_of(spec.role, size), [(1, 1), (2, limit)] if limit > 1 else [(1, 1)]
            )
            with self.device.current():
                loaded = engine_from_plan(trt, plan, features, is_trusted=False)
            return PlanRunner(
                trt, loaded, self.device, features, label=spec.name, settings=PlanSettings()
            )

        def plain(spec, size: InputSize) -> FunctionRunner:
            session = onnx_session(model_of(spec.role, size))
            shape = (spec.input.channels, *size)
            return FunctionRunner(
                lambda feed: session.run(None, {"x": feed})[0], shape, spec.input.max_batch
            )

        self.plans = [engine(s, lambda size, s=s: planned(s, size)) for s in self.specs]
        self.graphs = [engine(s, lambda size, s=s: plain(s, size)) for s in self.specs]
        self.gpu = GpuReader(*self.plans)
        self.cpu = OcrReader(*self.graphs, ReadSettings(tiles="off"))


def check_same(readers: Readers, image: np.ndarray) -> list[str]:
    result, expected = readers.gpu.read(image), readers.cpu.read(image)
    assert [line.text for line in result] == [line.text for line in expected]
    for one, other in zip(result, expected, strict=True):
        np.testing.assert_allclose(one.quad, other.quad, atol=1e-3)
        assert one.box_score == pytest.approx(other.box_score, abs=1e-5)
        assert one.text_score == pytest.approx(other.text_score, abs=1e-3)
    return [line.text for line in result]


@pytest.mark.parametrize("max_batch", [1, 3])
def test_images_are_read_as_on_the_cpu(max_batch: int) -> None:
    readers = Readers(max_batch)
    lines = ["abc", "b", "ca", "acba"]
    assert check_same(readers, image_with(lines)) == lines
    assert check_same(readers, image_with([])) == []
    check_same(readers, image_with(lines[::-1], (256, 200)))
    assert check_same(readers, image_with(lines)) == lines


def test_too_many_regions_are_found_on_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "_COMPONENTS", 2)
    lines = ["ab", "b", "ca"]
    assert check_same(Readers(), image_with(lines)) == lines


@pytest.mark.parametrize("max_batch", [1, 3])
def test_wide_lines_are_read_in_windows(max_batch: int) -> None:
    readers = Readers(max_batch)
    texts = check_same(readers, image_with(["abcacbabcacb", "ca"], (320, 320)))
    assert max(map(len, texts)) > 8


def test_engines_without_plans_are_refused() -> None:
    readers = Readers()
    with pytest.raises(SpecError, match="does not run on an NVIDIA GPU; use OcrReader"):
        GpuReader(readers.graphs[0], readers.plans[1])


@pytest.mark.parametrize("part", [0, 1])
def test_outputs_that_the_kernels_do_not_accept_are_refused(part: int) -> None:
    readers = Readers()
    spec = readers.specs[part]
    other = {"activation": "sigmoid"} if part == 0 else {"kind": "probabilities"}
    changed = spec.model_copy(update={"output": spec.output.model_copy(update=other)})
    plans = list(readers.plans)
    plans[part] = engine(changed, lambda width: None)
    with pytest.raises(SpecError, match=f"output.{next(iter(other))}"):
        GpuReader(*plans)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [(0, {"output": {"channel": 1}}, "channel 1, .* 1 channel"),
     (1, {"charset": "abcd"}, "4 classes, .* 4 characters")],
    ids=["channel", "charset"],
)  # fmt: skip
def test_spec_that_contradicts_its_plan_is_refused(part: int, change: dict, message: str) -> None:
    readers = Readers()
    spec = readers.specs[part]
    if "output" in change:
        change = {"output": spec.output.model_copy(update=change["output"])}
    plans = list(readers.plans)
    plans[part] = engine(spec.model_copy(update=change), plans[part].runner)
    with GpuReader(*plans) as reader, pytest.raises(SpecError, match=message):
        reader.read(image_with(["ab"]))


def test_long_thin_image_is_read() -> None:
    assert Readers().cpu.read(np.zeros((2, 600, 3), np.uint8)) == []
    everywhere = OcrReader(*Readers().graphs, ReadSettings(tiles="on"))
    assert everywhere.read(np.zeros((2, 6000, 3), np.uint8)) == []


def test_readings_from_labels_equal_readings_from_scores(rng: np.random.Generator) -> None:
    for blank in (0, 2, 3):
        logits = rng.standard_normal((6, 9, 4)).astype(np.float32)
        logits[0, :, blank] = 99
        result = readings_from_labels(*ctc_greedy_decode(logits, blank), "abc", blank)
        for one, other in zip(result, decode_greedy(logits, "abc", blank), strict=True):
            assert one.text == other.text
            assert one.score == pytest.approx(other.score, abs=1e-5)
