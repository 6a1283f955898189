"""The whole demo: it builds engines of the reference models, which read the sample images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_trt.bench.results import Report
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.targets import backend

pytest.importorskip("tensorflow")


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_demo_ends_with_engines_within_their_budgets(tmp_path: Path) -> None:
    output = tmp_path / "demo output"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ocr_trt", "demo", "--output", str(output)),
            *("--duration", "0.2", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=1100,
    )
    assert done.returncode == 0, done.stderr
    page = output / "report" / "report.html"
    folders = {"bundles": str(output / "bundles"), "overlays": str(output / "overlays")}
    assert json.loads(done.stdout) == {**folders, "report": str(page)}
    assert page.is_file()
    targets = ["openvino"]
    if backend("tensorrt-rtx").availability().can_build:
        targets.append("tensorrt-rtx")
    bundles = [load_bundle(path) for path in sorted((output / "bundles").iterdir())]
    assert [bundle.label for bundle in bundles] == [
        f"reference-{role} {target} int8" for role in ("detector", "recognizer")
        for target in targets
    ]  # fmt: skip
    for bundle in bundles:
        verdict = bundle.manifest.verdict
        assert verdict is not None
        assert verdict.metric is not None
        assert verdict.metric.loss <= bundle.spec.accuracy.max_loss
        assert verdict.max_difference < 1e-4
        if bundle.manifest.target == "openvino":
            assert verdict.latency is not None
    report = Report.model_validate(json.loads((output / "report" / "report.json").read_text()))
    detector, recognizer = report.models
    for row in detector.systems[0], detector.systems[-1]:
        assert row.accuracy is not None
        assert row.accuracy.hmean is not None
        assert row.accuracy.hmean > 0.85
    for row in recognizer.systems[0], recognizer.systems[-1]:
        assert row.accuracy is not None
        assert row.accuracy.cer is not None
        assert row.accuracy.cer < 0.05
    assert len(list((output / "overlays").glob("*.png"))) == 4
    assert "TensorFlow binary" not in done.stderr
