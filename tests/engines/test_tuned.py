"""Measured streams and threads are kept, and used when the bundle is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_trt.common.cache import named_cache
from ocr_trt.common.cores import usable_cores
from ocr_trt.engines import tuned
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.engines.tuned import Choice, Tuning, choice_for, save_tuning, saved_tuning
from ocr_trt.errors import OutputError
from tests.engines.test_bundle import make_bundle

TUNING = Tuning(latency=Choice(streams=1, threads=3), throughput=Choice(streams=4, threads=8))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ocr-trt" / "tuning"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(make_bundle(tmp_path / "b"))


def test_without_tuning_one_stream_or_one_per_core(bundle: Bundle) -> None:
    assert saved_tuning(bundle) is None
    assert choice_for(bundle, "latency") == Choice(streams=1)
    assert choice_for(bundle, "throughput") == Choice(streams=usable_cores())


def test_saved_tuning_is_used(bundle: Bundle, cache: Path) -> None:
    assert save_tuning(bundle, TUNING).parents[1] == cache
    assert choice_for(bundle, "latency") == TUNING.latency
    assert choice_for(bundle, "throughput") == TUNING.throughput


def test_tuning_depends_on_the_plans_not_on_their_folder(bundle: Bundle, tmp_path: Path) -> None:
    save_tuning(bundle, TUNING)
    assert saved_tuning(load_bundle(make_bundle(tmp_path / "elsewhere"))) == TUNING


@pytest.mark.parametrize(
    ("name", "value"),
    [("cpu_features", lambda: "another"), ("usable_cores", lambda: 64)],
    ids=["another processor", "more cores"],
)
def test_tuning_of_another_machine_is_not_used(
    name: str, value: Callable[[], object], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tuning(bundle, TUNING)
    monkeypatch.setattr(tuned, name, value)
    assert saved_tuning(bundle) is None


def test_damaged_file_is_ignored(bundle: Bundle) -> None:
    file = save_tuning(bundle, TUNING)
    file.write_text(file.read_text().replace("8", "9"))
    assert saved_tuning(bundle) is None


@pytest.mark.parametrize("text", ["", '{"latency": {"streams": -1}}', "[]"])
def test_file_of_another_version_is_ignored(text: str, bundle: Bundle) -> None:
    key = save_tuning(bundle, TUNING).parent.name
    cache = named_cache("tuning")
    cache.put(key, lambda folder: (folder / "tuning.json").write_text(text), replace=True)
    assert saved_tuning(bundle) is None


def test_unwritable_cache_is_an_error(bundle: Bundle, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder would be")
    with pytest.raises(OutputError):
        save_tuning(bundle, TUNING)
