"""Rooflines: FLOPs of layers, the sentences of the diagnosis, and a whole comparison."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import onnx
import pytest

from ocr_trt.bench.compare_bundles import Extras, compare
from ocr_trt.bench.layer_rooflines import _roofline, layer_rows
from ocr_trt.bench.report import write_report
from ocr_trt.bench.results import Report
from ocr_trt.bench.roofline import LayerRoofline, Roofline
from ocr_trt.bench.roofline_diagnosis import why_not_faster
from ocr_trt.bench.roofline_section import layer_table, rate_table, roofline_plot, roofline_words
from ocr_trt.builder import BuildRequest, build
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.layer_time import BETWEEN, LayerTime
from ocr_trt.engines.openvino import convolution_peaks as openvino_peaks
from ocr_trt.engines.openvino import profile
from ocr_trt.measure import peaks as peaks_module
from ocr_trt.measure.latency import LatencySettings, LatencyStats
from ocr_trt.measure.peaks import Peaks, last_caches
from ocr_trt.measure.work import GraphWork, graph_work
from tests.builder.small_build import fp32_request, small_spec
from tests.builder.test_input_sizes import SIZES, free

PEAKS = Peaks(
    flops={"fp32": 100e9, "int8": 200e9}, measured_with="t 1", matrix_product=90e9, memory=10e9
)


def time_of(name: str, milliseconds: float, *nodes: str, kind: str = "Convolution") -> LayerTime:
    return LayerTime(
        name=name, kind=kind, precision="int8", milliseconds=milliseconds, bytes=10_000_000,
        nodes=nodes,
    )  # fmt: skip


def work_of(flops: dict[str, int], readers: dict[str, tuple[str, ...]]) -> GraphWork:
    names = [*flops]
    return GraphWork(
        flops=flops,
        readers={name: readers.get(name, ()) for name in names},
        labels={name: f"call of {name}" if name == "body" else name for name in names},
        uncounted=(),
    )


def test_flops_count_for_the_layer_that_computes_them() -> None:
    work = work_of(
        {"a": 10, "net/relu": 0, "lost": 20, "bias": 0, "body": 5, "gone": 3},
        {"a": ("net/relu",), "lost": ("bias",)},
    )
    times = [
        time_of("A", 4.0, "a", "net/relu", "A.own"),
        time_of("A again", 1.0, "a"),
        time_of("B", 2.0, "bias"),
        time_of("C", 1.0, "body"),
        time_of("reorder", 1.0, kind="Reorder"),
        time_of("rest", 9.0, kind=BETWEEN),
    ]
    rows = layer_rows(times, work, PEAKS)
    assert [(row.name, row.flops) for row in rows] == [
        ("net/relu", 10), ("a", 0), ("bias", 20), ("call of body", 5), ("reorder", 0),
    ]  # fmt: skip


def test_both_directions_of_a_recurrent_layer_share_its_flops() -> None:
    times = [time_of(name, ms, "lstm", kind="RNNSeq") for name, ms in (("L", 4.0), ("R", 3.9))]
    other = time_of("transpose", 0.5, "lstm", kind="Transpose")
    rows = layer_rows([*times, other], work_of({"lstm": 11}, {}), PEAKS)
    assert [row.flops for row in rows] == [6, 5, 0]


def test_layers_without_a_time_count_if_they_have_flops() -> None:
    work = work_of(
        {"fast": 10, "fused": 20, "view": 0, "timed": 30, "end": 5, "out": 0},
        {"fused": ("view",), "view": ("timed",), "end": ("out",)},
    )
    times = [
        time_of("F", 0.0, "fast"), time_of("V", 0.0, "view"), time_of("T", 2.0, "timed"),
        time_of("O", 0.0, "out"), time_of("I", 0.0, kind="Input"),
    ]  # fmt: skip
    rows = layer_rows(times, work, PEAKS)
    assert [(row.name, row.milliseconds, row.flops) for row in rows] == [
        ("fast", 0.0, 10), ("timed", 2.0, 50), ("out", 0.0, 5),
    ]  # fmt: skip
    result = roofline(*rows)
    (shown,) = layer_table(result).rows
    assert shown[0] == "1. timed"
    assert "fast" not in roofline_words(result, PEAKS)
    assert roofline_plot(result, PEAKS).startswith("<svg")
    assert "timed" in why_not_faster(result)
    none = roofline(rows[0])
    assert layer_table(none).rows == ()
    assert roofline_plot(none, PEAKS) == ""
    assert "100 % is spent between layers" in why_not_faster(none)


def test_a_layer_is_bound_by_the_higher_of_both_times() -> None:
    work = work_of({"few": 1, "many": 800_000_000}, {})
    few, many = layer_rows([time_of("F", 4.0, "few"), time_of("M", 5.0, "many")], work, PEAKS)
    assert few.attainable == pytest.approx(1.0, rel=1e-6)  # 10 MB at 10 GB/s
    assert few.achieved == pytest.approx(0.25, rel=1e-6)
    assert many.attainable == pytest.approx(4.0, rel=1e-6)  # 800 MFLOP at 200 GFLOP/s
    assert (many.intensity, many.lost) == pytest.approx((80.0, 1.0), rel=1e-6)


def test_a_precision_that_was_not_measured_counts_as_fp32() -> None:
    assert PEAKS.of("int8") == 200e9
    assert PEAKS.of("") == PEAKS.of("fp16") == 100e9


def test_higher_of_two_peaks_counts() -> None:
    other = PEAKS.model_copy(update={"flops": {"fp32": 120e9, "int8": 150e9}, "memory": 9e9})
    best = PEAKS.best_of(other)
    assert best.flops == {"fp32": 120e9, "int8": 200e9}
    assert best.memory == 10e9
    assert best == other.best_of(PEAKS)


def roofline(*layers: LayerRoofline, between: float = 1.0, milliseconds: float = 10.0) -> Roofline:
    return Roofline(
        batch=1, precision="int8", milliseconds=milliseconds,
        flops=sum(each.flops for each in layers), peak=200e9, layers=layers, between=between,
    )  # fmt: skip


def row(name: str, milliseconds: float, flops: int, attainable: float) -> LayerRoofline:
    return LayerRoofline(
        name=name, layer=name.split("/")[1], kind="Convolution" if flops else "Concat",
        precision="int8", milliseconds=milliseconds, flops=flops, bytes=1_000_000,
        attainable=attainable,
    )  # fmt: skip


FOUND = roofline(
    row("net/conv_a", 5.0, 800_000_000, 4.0),
    row("net/conv_b", 2.0, 200_000_000, 1.0),
    row("net/concat", 1.5, 0, 0.75),
    row("net/cached", 0.5, 0, 1.0),
)


def test_diagnosis_states_shares_of_time_and_the_attainable_time() -> None:
    sentence = why_not_faster(FOUND)
    for fact in (
        "10.0 ms: 100 GFLOP/s, 50 % of the int8 peak",
        *(
            "70 % of the time, at 71 % of their roofline",
            "20 % of the time, at 88 %",
            "10 % is spent between",
        ),
        "net/conv_a (50 %), net/conv_b (20 %), net/concat (15 %)",
        "net/conv_a by 1.00 ms, net/conv_b by 1.00 ms, net/concat by 0.75 ms",
        "would take 6.25 ms",
    ):
        assert fact in sentence


def test_diagnosis_states_why_figures_are_uncertain() -> None:
    slower = FOUND.model_copy(
        update={"milliseconds": 4.0, "unplaced": 3_000_000, "uncounted": ("net/attention",)}
    )
    sentence = why_not_faster(slower)
    for fact in ("with counters on, a run took 10.0 ms", "over 100 %", "3 MFLOP", "net/attention"):
        assert fact in sentence
    assert "would take" not in sentence, "that would be slower than the engine is"
    silent = roofline().model_copy(update={"flops": 1_000_000_000})
    assert why_not_faster(silent).endswith("does not report the times of its layers.")


def test_table_plot_and_text_show_the_layers() -> None:
    table = layer_table(FOUND)
    assert [len(row) for row in table.rows] == [len(table.header)] * 4
    assert table.rows[0] == (
        "1. net/conv_a", "conv_a", "Convolution",
        *("int8", "5.00", "50 %", "800", "1.0", "800", "4.00", "80 %"),
    )  # fmt: skip
    assert "net/conv_a: 800 FLOP per byte, 160 GFLOP/s" in roofline_words(FOUND, PEAKS)
    assert "concat" not in roofline_words(FOUND, PEAKS)
    assert roofline_plot(FOUND, PEAKS).startswith("<svg")
    assert roofline_plot(roofline(), PEAKS) == ""


def test_caches_that_cores_share_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert last_caches(tmp_path) == 0
    for core, sharers in enumerate(("0-1", "0-1", "2-3", "2-3")):
        for index, size, shared in ((0, "32K", str(core)), (3, "32768K", sharers)):
            folder = tmp_path / f"cpu{core}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            (folder / "size").write_text(f"{size}\n")
            (folder / "shared_cpu_list").write_text(f"{shared}\n")
    assert last_caches(tmp_path) == 2 * (32 << 20)


@pytest.mark.parametrize(
    "network", ["convolutions", pytest.param("transformer", marks=pytest.mark.full)]
)
def test_a_comparison_with_rooflines(
    network: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if network == "transformer":
        pytest.importorskip("tensorflow")
        spec = request.getfixturevalue("recognizer_spec")
    else:
        spec = request.getfixturevalue("build_request").spec
    monkeypatch.setattr(openvino_peaks, "_SIZES", ((64, 32),))
    monkeypatch.setattr(openvino_peaks, "_SECONDS", 0.05)
    monkeypatch.setattr(profile, "_SECONDS", 0.05)
    monkeypatch.setattr(peaks_module, "_MATRIX", 256)
    quick = LatencySettings(warm_up_ms=1, duration_s=0.01, iterations=3)
    builds = BuildRequest(
        spec=spec, targets=("openvino", "onnxruntime"), precision="fp32",
        output=tmp_path / "bundles", latency=quick,
    )  # fmt: skip
    bundles = [load_bundle(built.folder) for built in build(builds)]
    report = compare(bundles, None, quick, SilentReporter(), Extras(rooflines=True))
    assert report.peaks is not None
    assert report.peaks.memory > 1e8
    (model,) = report.models
    engines = {each.label.split()[1]: each for each in model.systems if each.kind == "engine"}
    batches = [stats.batch for stats in engines["openvino"].latencies]
    assert [each.batch for each in engines["openvino"].rooflines] == batches
    for result in engines["openvino"].rooflines:
        assert (result.unplaced, result.uncounted) == (0, ())
        assert result.flops == sum(layer.flops for layer in result.layers)
        assert "GFLOP/s" in result.why
    assert [each.layers for each in engines["onnxruntime"].rooflines] == [()] * len(batches)
    rates = rate_table(model, report.peaks)
    assert {len(each) for each in rates.rows} == {len(rates.header)}
    assert len(rates.rows) == len(batches) * len(model.systems)
    for file in write_report(report, tmp_path / "report"):
        text = file.read_text("utf-8")
        assert engines["openvino"].rooflines[0].why in unescape(text)
        if file.suffix == ".html":
            assert text.count('aria-label="Roofline plot.') == len(batches)
        if file.suffix == ".json":
            assert Report.model_validate_json(text) == report


def test_flops_are_those_of_the_input_that_is_timed(tmp_path: Path) -> None:
    # The input of the spec, 32x32, is the smallest of three sizes.
    spec = free(small_spec(tmp_path), tmp_path / "free.onnx").model_copy(update={"sizes": SIZES})
    (result,) = build(fp32_request(spec, tmp_path / "out", targets=("onnxruntime",)))
    assert result.bundle is not None
    times = dict.fromkeys(("mean", "p50", "p90", "p99", "lowest", "highest", "throughput"), 1.0)
    stats = LatencyStats(batch=1, queries=1, variation=0, **times)
    expected = graph_work(onnx.load(result.bundle.path("model_32x32.onnx")), 1).total
    assert _roofline(result.bundle, stats, (), PEAKS).flops == expected > 0
