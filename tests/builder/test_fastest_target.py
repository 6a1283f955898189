"""``auto``: all targets that can run here are built, and the fastest within budget is kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.builder import BuildRequest, build, fastest_target, search, trials
from ocr_trt.builder.job import TargetJob
from ocr_trt.builder.precision_page import FILES
from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.ranges import graphs_sha256
from ocr_trt.common.progress import SilentReporter
from ocr_trt.convert.graph import Graphs
from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.bundle_diff import facts
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.manifest import Latency
from ocr_trt.engines.onnxruntime import backend as onnxruntime
from ocr_trt.engines.openvino import backend as openvino
from ocr_trt.engines.target_groups import target_groups
from ocr_trt.errors import BudgetError, EngineBuildError, InputFileError, UserError
from ocr_trt.spec import DetectorSpec, RecognizerSpec
from tests.builder.small_build import fp32_request, quick_request


def set_times(monkeypatch: pytest.MonkeyPatch, **milliseconds: float) -> None:
    """Let each engine take a time, by the name of its target; the timing itself still runs."""
    measured = fastest_target.compare_latency

    def changed(engines: Sequence[Engine], job: TargetJob) -> list[Latency]:
        assert all(latency.engine > 0 for latency in measured(engines, job))
        names = [engine.label.split()[0] for engine in engines]
        return [Latency(engine=milliseconds[name], baseline=9.0) for name in names]

    monkeypatch.setattr(fastest_target, "compare_latency", changed)


@pytest.mark.parametrize(
    ("slow", "fast"), [("onnxruntime", "openvino"), ("openvino", "onnxruntime")]
)
def test_fastest_target_is_kept_and_the_others_are_named(
    slow: str, fast: str, onnx_recognizer: RecognizerSpec, images: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    set_times(monkeypatch, **{slow: 2.0, fast: 1.0})
    request = quick_request(onnx_recognizer, images, tmp_path, targets=("auto",))
    (result,) = build(request)
    assert result.error is None
    assert result.target == fast
    assert result.folder == tmp_path / "lines-auto-int8"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path != images] == [
        "lines-auto-int8"
    ]
    bundle = load_bundle(result.folder)
    assert bundle.manifest.target == fast
    assert bundle.label == f"lines {fast} int8"
    kept, other = bundle.manifest.compared_targets
    assert (kept.target, kept.chosen) == (fast, True)
    assert (other.target, other.chosen, other.label) == (slow, False, "int8")
    assert other.latency == Latency(engine=2.0, baseline=9.0)
    assert other.metric is not None
    assert bundle.manifest.verdict is not None
    assert bundle.manifest.verdict.latency == kept.latency
    assert "2.00 ms, 4.50x" in str(facts(bundle.manifest)[f"compared with {slow}"])
    page = (result.folder / FILES[1]).read_text()
    assert all(f'<td class="text">{name}</td>' in page for name in (slow, fast))
    with Engine.from_bundle(bundle) as engine:
        assert engine.runner().shape == (1, 32, 64)


def test_calibration_is_shared(onnx_detector: DetectorSpec, images: Path, tmp_path: Path) -> None:
    steps: list[str] = []

    class Recorder(SilentReporter):
        def step(self, title: str, total: int | None = None) -> Any:
            steps.append(title)
            return super().step(title, total)

    (result,) = build(
        quick_request(onnx_detector, images, tmp_path / "out", targets=("auto",)), Recorder()
    )
    assert result.error is None
    assert steps.count("calibrate") == 1
    assert sum(step.startswith("time ") for step in steps) == 1
    assert sum(step == "measure every layer" for step in steps) == 1


def test_of_equally_fast_targets_the_more_accurate_is_kept(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_times(monkeypatch, onnxruntime=1.0, openvino=1.01)
    build_engine = fastest_target.build_engine

    def changed(job: TargetJob, *args: Any, **settings: Any) -> Any:
        built = build_engine(job, *args, **settings)
        assert built.verdict.metric is not None
        share = 0.8 if job.target.name == "openvino" else 0.7
        metric = built.verdict.metric.model_copy(update={"engine": share})
        return replace(built, verdict=built.verdict.model_copy(update={"metric": metric}))

    monkeypatch.setattr(fastest_target, "build_engine", changed)
    (result,) = build(quick_request(onnx_detector, images, tmp_path / "out", targets=("auto",)))
    assert result.target == "openvino"


def refuse(*_: object, **__: object) -> None:
    raise EngineBuildError("refuses the graph")


def test_target_that_fails_is_named_with_its_reason(
    onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(openvino.BACKEND), "build", refuse)
    (result,) = build(fp32_request(onnx_detector, tmp_path, targets=("auto",)))
    assert result.target == "onnxruntime"
    assert result.bundle is not None
    assert result.bundle.manifest.compared_targets[1].error == "refuses the graph"
    assert "refuses the graph" in str(facts(result.bundle.manifest)["compared with openvino"])


def test_engine_that_fails_while_it_is_timed_is_left_out(
    onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = fastest_target.compare_latency

    def breaking(engines: Sequence[Engine], job: TargetJob) -> list[Latency]:
        for engine in engines:
            if engine.label.startswith("openvino"):
                monkeypatch.setattr(engine.runner(), "execute", fail)
        return measured(engines, job)

    def fail(_: object) -> None:
        raise RuntimeError("out of device memory")

    monkeypatch.setattr(fastest_target, "compare_latency", breaking)
    (result,) = build(fp32_request(onnx_detector, tmp_path, targets=("auto",)))
    assert result.error is None
    assert result.target == "onnxruntime"
    assert result.bundle is not None
    kept, other = result.bundle.manifest.compared_targets
    assert kept.latency is not None
    assert (other.target, other.latency) == ("openvino", None)
    assert "failed while it was timed: out of device memory" in other.error


def test_without_any_engine_each_reason_is_reported(
    onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = build(fp32_request(onnx_detector, tmp_path, targets=("auto",)))
    assert first.error is None

    def lose(*_: object, **__: object) -> None:
        raise BudgetError("loses 9 points")

    monkeypatch.setattr(type(openvino.BACKEND), "build", refuse)
    monkeypatch.setattr(type(onnxruntime.BACKEND), "build", lose)
    (result,) = build(fp32_request(onnx_detector, tmp_path, targets=("auto",)))
    assert isinstance(result.error, BudgetError)
    for fact in ("onnxruntime: loses 9", "openvino: refuses", "still contains the older engine"):
        assert fact in str(result.error)
    load_bundle(first.folder)


def test_error_that_concerns_all_targets_is_reported_once(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    request = quick_request(onnx_detector, images, tmp_path / "out", targets=("auto",))
    broken = shutil.copytree(images, tmp_path / "broken")
    calibration = load_calibration(broken, request.spec)
    next(broken.glob("*.png")).write_bytes(b"")
    (result,) = build(replace(request, calibration=calibration))
    assert isinstance(result.error, InputFileError)
    assert "no target" not in str(result.error)


def test_only_able_targets_are_compared(onnx_detector: DetectorSpec, tmp_path: Path) -> None:
    (group,) = target_groups(("auto",), "fp32", BuildSettings())
    assert {"onnxruntime", "openvino"} <= {member.name for member in group.members}
    (group,) = target_groups(("auto",), "fp16", BuildSettings())
    assert "openvino" not in {member.name for member in group.members}
    assert BuildRequest(spec=onnx_detector, precision="fp32", output=tmp_path).targets == ("auto",)
    with pytest.raises(UserError, match="already tries openvino"):
        target_groups(("auto", "openvino"), "fp32", BuildSettings())
    with pytest.raises(UserError, match=r"no target .* computes in int4; .*openvino: fp32"):
        target_groups(("auto",), "int4", BuildSettings())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "fp23"}, "no precision 'fp23'; did you mean fp32"),
        ({"method": "mze"}, "no calibration method 'mze'; did you mean mse"),
        ({"corrections": ("bais",)}, "no weight correction 'bais'; did you mean bias"),
        ({"targets": ("openvin",)}, "no target 'openvin'; did you mean openvino"),
        ({"targets": ("aut",)}, "no target 'aut'; did you mean auto"),
        ({"targets": ()}, "no target is requested"),
    ],
)
def test_names_that_do_not_exist_are_refused(
    change: dict[str, Any], message: str, onnx_detector: DetectorSpec, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        build(fp32_request(onnx_detector, tmp_path / "out", **change))
    assert not (tmp_path / "out").exists()


def test_single_able_target_is_built_without_a_comparison(
    onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(openvino.BACKEND), "can_run", lambda *_: False)
    (result,) = build(fp32_request(onnx_detector, tmp_path, targets=("auto",)))
    assert result.bundle is not None
    assert result.bundle.manifest.target == "onnxruntime"
    assert result.bundle.manifest.compared_targets == ()
    assert result.bundle.manifest.verdict is not None
    assert result.bundle.manifest.verdict.latency is not None


def test_measurements_that_do_not_depend_on_the_target_are_made_once(
    onnx_recognizer: RecognizerSpec, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both targets need equal graphs here: they share distances, and the costs of layers."""
    calls, measured = list[str](), search.sensitivities
    outputs = trials.run_all

    def noted(*arguments: Any) -> Any:
        calls.append("layer costs")
        return measured(*arguments)

    def run(graphs: Graphs, feeds: Any) -> Any:
        calls.append(graphs_sha256(graphs))
        return outputs(graphs, feeds)

    monkeypatch.setattr(search, "sensitivities", noted)
    monkeypatch.setattr(trials, "run_all", run)
    monkeypatch.setattr(type(onnxruntime.BACKEND), "needs", lambda self: openvino.BACKEND.needs())
    request = quick_request(onnx_recognizer, images, tmp_path, precision="best")
    for target in ("onnxruntime", "openvino"):
        (result,) = build(replace(request, targets=(target,)))
        assert result.error is None
    assert calls.count("layer costs") == 2
    calls.clear()
    (result,) = build(replace(request, targets=("auto",)))
    assert result.error is None
    assert calls.count("layer costs") == 1
    assert len(calls) - len(set(calls)) == 1, "only the float graph twice: it is a candidate, too"
