"""The PP-OCR models of the package rapidocr: from the installation to the text of a photo."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

from ocr_trt.models.reference_models import SAMPLES
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import ClassifierSpec, DetectorSpec, RecognizerSpec, load_spec
from tests.cli.in_process import succeeds

README = (Path(__file__).parent.parent.parent / "README.md").read_text()

pytest.importorskip("rapidocr", reason="needs the models in the wheel: pip install '.[ppocr]'")


def test_specs_need_no_changes(tmp_path: Path) -> None:
    succeeds("models", "get", "ppocr-v6-small", "--output", "m", cwd=tmp_path)
    detector, recognizer = (load_spec(tmp_path / "m" / f"{role}.yaml") for role in _ROLES)
    assert isinstance(detector, DetectorSpec)
    assert isinstance(recognizer, RecognizerSpec)
    assert detector.output.activation == "none"
    assert all(side % 32 == 0 for side in detector.input.shape[2:])
    assert (len(recognizer.charset), recognizer.charset[-1], recognizer.blank) == (18709, " ", 0)
    assert (recognizer.output.layout, recognizer.output.kind) == ("NTC", "probabilities")
    assert recognizer.input.max_batch > 1
    assert "?" in recognizer.charset
    classifier = load_spec(tmp_path / "m" / "classifier.yaml")
    assert isinstance(classifier, ClassifierSpec)
    assert (classifier.angles, classifier.output.kind) == ((0, 180), "probabilities")
    assert classifier.input.shape == (1, 3, 48, 192)
    assert list((tmp_path / "m").glob("*LICENSE*"))


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_three_commands_of_the_readme_read_a_photo(tmp_path: Path) -> None:
    section = README.split("## PP-OCR")[1].split("\n## ")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)
    install, demo, run = map(shlex.split, block.splitlines())
    assert install[1:] == ["install", ".[ppocr]"]
    succeeds(*demo[1:], "--duration", "0.05", cwd=tmp_path)
    (tmp_path / "photo.jpg").write_bytes((SAMPLES / "pages" / "page_01.jpg").read_bytes())
    (result,) = json.loads(succeeds(*run[1:], "--json", cwd=tmp_path))
    scene = load_dataset(SAMPLES / "pages").scenes[0]
    expected = "".join(text or "" for text in scene.texts).replace(" ", "")
    found = "".join(line["text"] for line in result["lines"]).replace(" ", "")
    assert Levenshtein.normalized_distance(found, expected) < 0.1


_ROLES = "detector", "recognizer"
