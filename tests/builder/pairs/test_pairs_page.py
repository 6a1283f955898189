"""The page and the tables about a pair, and the files of an output folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ocr_trt.builder import build
from ocr_trt.builder.pairs.pair_files import own_pair_files
from ocr_trt.builder.pairs.pairs_page import page_of, pair_table, variant_tables
from ocr_trt.builder.pairs.pairs_report import PairRow, PairsReport, VariantRow
from ocr_trt.builder.pairs.pairs_texts import lead, texts
from ocr_trt.engines.manifest import PointsInterval
from ocr_trt.spec import DetectorSpec
from tests.builder.small_build import fp32_request

CHOSEN = PairRow(
    detector="int8", recognizer="int8, widths 64 320", predicted=21.0, measured=20.0, loss=0.25,
    interval=PointsInterval(low=-0.5, high=0.75), agreement=0.98, verdict="shown", is_chosen=True,
)  # fmt: skip
DEFAULT = PairRow(
    detector="int8", recognizer="int8", predicted=26.0, measured=25.0, loss=-1e-9,
    interval=PointsInterval(low=0.0, high=0.0), agreement=1.0, verdict="shown", is_default=True,
)  # fmt: skip
UNSURE = PairRow(
    detector="<b>bf16</b>", recognizer="int8", predicted=14.0, loss=0.5,
    interval=PointsInterval(low=-1.0, high=2.0), agreement=0.9, verdict="unsure", images_needed=180,
)  # fmt: skip
UNREAD = PairRow(detector="fp32", recognizer="fp32", predicted=60.0)
VARIANTS = (
    VariantRow(role="detector", label="int8", target="openvino", milliseconds=12.0, metric="hmean",
               loss=0.1, disagreement=1.5, lines=9.5, is_on_front=True),
    VariantRow(role="detector", label="fp16", error="no kernel"),
    VariantRow(role="recognizer", label="int8", target="openvino", milliseconds=0.8, metric="cer",
               loss=0.2, is_dropped=True),
)  # fmt: skip


def report(*pairs: PairRow, **change: object) -> PairsReport:
    return PairsReport(
        **{
            "detector": "det", "recognizer": "rec", "budget": 0.8, "accepts_unsure": False,
            "data": "labeled", "images": 20, "labeled": True, "baseline_hmean": 0.7,
            "baseline": 100.0, "rest": 5.0, "line_widths": (90, 120, 200), "variants": VARIANTS,
            "pairs": pairs or (UNSURE, CHOSEN, DEFAULT, UNREAD), "bundles": ("det-x", "rec-x"),
            "command": "ocr-trt run IMAGE --detector 'a b'",
            "machine": {"processor": "P", "cores": "2", "system": "Linux"},
            "versions": {"ocr-trt": "1"}, **change,
        }
    )  # fmt: skip


def test_page_has_one_plot_and_all_pairs() -> None:
    page = page_of(report())
    assert page.count("<svg") == 1
    assert "&lt;b&gt;bf16&lt;/b&gt;" in page
    assert "<b>bf16" not in page
    assert not re.search(r"(src|href)=\"http", page), "one file, nothing from elsewhere"
    assert "prefers-color-scheme: dark" in page
    (words,) = re.findall(r'role="img" aria-label="([^"]*)"', page)
    assert "int8 + int8, widths 64 320: 20.0 ms, loses 0.25 points, chosen" in words
    assert "bf16&lt;/b&gt; + int8: 14.0 ms predicted" in words
    assert "fill: none; stroke: #2171b5" in page, "the marker of a predicted time is hollow"
    assert "fp32 + fp32" not in words, "the plot has the pairs that were read"
    (contents,) = re.findall(r"<nav.*?</nav>", page, re.S)
    assert re.findall(r'href="#([\w-]+)"', contents) == re.findall(r'<h2 id="([\w-]+)"', page)
    assert 'href="det-x/manifest.json"' in contents
    assert "ocr-trt run IMAGE --detector &#39;a b&#39;" in page
    assert "9.5 lines per image; quartiles of their widths: 90, 120, 200 pixels" in page


def test_choice_is_compared_with_the_models_and_the_default_build() -> None:
    text = lead(report())
    assert "20.0 ms per image, against 100.0 ms" in text
    assert "5.00x" in text
    assert (
        "loses 0.25 points of end-to-end hmean (95 % interval of the loss: -0.50 to +0.75)" in text
    )
    better = CHOSEN.model_copy(update={"loss": -0.5, "interval": None})
    assert lead(report(better)).endswith("it gains 0.50 points of end-to-end hmean.")
    first, second = texts(report())
    assert "1.25x as fast as the pair that ocr-trt build produces" in first
    assert "may be 1.50x as fast as the chosen pair" in second
    assert "About 180 labeled images" in second
    assert "--accept-unsure" in second


def test_pairs_that_are_not_decided_are_no_advice_if_they_are_accepted() -> None:
    assert not any("--accept-unsure" in text for text in texts(report(accepts_unsure=True)))


@pytest.mark.parametrize(
    ("images", "facts"),
    [
        (1, ("The labels of the one image cannot", "requires 8 images", "--data")),
        (3, ("The labels of the 3 images cannot", "requires 8 images", "--data")),
        (8, ("The labels of the 8 images cannot",)),
    ],
)
def test_what_few_images_cannot_show_is_stated(images: int, facts: tuple[str, ...]) -> None:
    agrees = CHOSEN.model_copy(update={"verdict": "agrees", "interval": None})
    text = " ".join(texts(report(agrees, images=images)))
    assert all(fact in text for fact in facts)
    assert ("requires 8 images" in text) == (images < 8)
    unsure = CHOSEN.model_copy(update={"verdict": "unsure", "interval": None})
    text = " ".join(texts(report(unsure, images=images, accepts_unsure=True)))
    assert ("requires 8 images" in text) == (images < 8)


def test_default_build_over_the_budget_is_named() -> None:
    over = DEFAULT.model_copy(update={"verdict": "over", "loss": 1.25, "measured": 15.0})
    (text,) = texts(report(CHOSEN, over))
    for fact in ("The pair that", "int8 + int8", "15.0 ms", "loses 1.25", "but it is over budget"):
        assert fact in text
    for fact in ("The budget is 0.8 points", "--budget 1.3 or more"):
        assert fact in text
    assert "as fast as" not in text


def test_fastest_pair_over_the_budget_is_named_with_what_would_allow_it() -> None:
    over = UNREAD.model_copy(update={"detector": "int8", "verdict": "over", "loss": 2.0})
    faster = over.model_copy(update={"predicted": 12.0, "loss": 1.11})
    slower = over.model_copy(update={"predicted": 13.0})
    (text,) = texts(report(CHOSEN, over, slower, faster))
    for fact in ("int8 + fp32", "12.0 ms", "21.0 ms", "loses 1.11", "0.8 points", "--budget 1.2"):
        assert fact in text
    assert texts(report(CHOSEN, over)) == [], "it is slower than the chosen pair"


@pytest.mark.parametrize(
    ("change", "labeled", "facts"),
    [
        ({"is_default": True}, True, ["ocr-trt build produces without options"]),
        ({"verdict": "agrees"}, True, ["labels of the 20 images cannot show", "98.00"]),
        ({"verdict": "agrees"}, False, ["have no labels", "98.00"]),
        ({"verdict": "unsure"}, True, ["accepted by its estimated loss"]),
        ({"measured": 150.0}, True, ["No timed pair within the budget is faster"]),
    ],
)
def test_page_states_why_a_pair_was_chosen(
    change: dict[str, object], labeled: bool, facts: list[str]
) -> None:
    own = report(CHOSEN.model_copy(update=change), labeled=labeled)
    for fact in facts:
        assert fact in " ".join(texts(own))


def test_tables_have_what_was_measured() -> None:
    rows = pair_table(report()).rows
    assert rows[0][0] == "the models themselves"
    assert rows[1] == (
        "<b>bf16</b> + int8", "14.0", "-", "-", "+0.50", "-1.00 to +2.00", "90.00", "not decided"
    )  # fmt: skip
    assert rows[2][1:4] == ("21.0", "20.0", "5.00x")
    assert rows[2][-1] == "chosen"
    assert rows[3][4] == "+0.00", "a rounding below 0 is no gain"
    assert rows[4][1:] == ("60.0", *["-"] * 5, "not read")
    finder, reader = variant_tables(report())
    assert finder.header[2] == "ms per image"
    assert finder.rows[0] == ("int8", "openvino", "12.00", "+0.10", "+1.50", "on the front")
    assert finder.rows[1] == ("fp16", "-", "-", "-", "-", "no kernel")
    assert reader.header[2] == "ms per line"
    assert reader.rows[0][-1] == "over budget"


def test_only_bundles_of_an_older_report_may_be_replaced(
    onnx_detector: DetectorSpec, tmp_path: Path
) -> None:
    for name in ("ours", "users"):
        (built,) = build(fp32_request(onnx_detector, tmp_path))
        built.folder.rename(tmp_path / name)
    assert own_pair_files(tmp_path) == {"pairs.json", "pairs.html"}
    names = ["ours", "../elsewhere", "a/b", 7, ""]
    (tmp_path / "pairs.json").write_text(json.dumps({"bundles": names}))
    own = own_pair_files(tmp_path)
    assert "ours/manifest.json" in own
    assert {name.split("/")[0] for name in own} == {"ours", "pairs.json", "pairs.html"}
    (tmp_path / "pairs.json").write_text("[]")
    assert own_pair_files(tmp_path) == {"pairs.json", "pairs.html"}
