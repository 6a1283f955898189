"""The reference recognizer reads curved text that was bent straight."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

from ocr_trt.convert.sources import open_source
from ocr_trt.engines.engine import Engine
from ocr_trt.models.reference_models import export_reference
from ocr_trt.ocr.boxes import boxes_from_map
from ocr_trt.pipeline.reader import read_boxes
from ocr_trt.spec import BoxSettings, load_spec
from tests.ocr.curved_lines import CURVES, along_curve, shrunk_map, text_strip


@pytest.mark.full
def test_the_reference_recognizer_reads_curved_text(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    spec = load_spec(export_reference("recognizer", tmp_path))
    texts = ("Curved TEXT 47.50", "Straight, then bent")
    with Engine.from_source(open_source(spec.source), spec) as recognizer:
        for text, name in itertools.product(texts, CURVES):
            line = along_curve(text_strip(text), CURVES[name], 44, points=100)
            probability = shrunk_map([line.polygon], line.image.shape[:2])
            for shape in ("polygon", "quad"):
                settings = BoxSettings.model_validate({"shape": shape, "shrink_ratio": 0.4})
                boxes, scores = boxes_from_map(probability, settings)
                read = "".join(
                    each.text for each in read_boxes(recognizer, line.image, boxes, scores)
                )
                off = Levenshtein.distance(read.replace(" ", ""), text.replace(" ", ""))
                # One character may be read as a similar one, such as 0 as o.
                assert (off <= 1) is (shape == "polygon"), (name, shape, read)
