"""``ocr-trt cache``, and builds that come from the cache."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.common.cache import named_cache
from tests.cli.in_process import succeeds


def test_second_build_comes_from_the_cache(
    spec_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OCR_TRT_CACHE_MIB", "9")

    def built(*options: str) -> str:
        spec = spec_files["detector"]
        words = ("--target", "openvino", "--precision", "fp32", "--duration", "0.05")
        return succeeds("build", spec, *words, "--output", tmp_path / "o", *options)

    def shown(action: str = "show") -> Any:
        return json.loads(succeeds("cache", action, "--json"))

    assert json.loads(built("--json"))[0]["cached"] is None
    assert re.search(r"det-openvino-fp32: from the build cache.* measured on 20\d\d-", built())
    assert json.loads(built("--json"))[0]["cached"].startswith("20")
    assert "from the build cache" not in built("--no-cache")
    named_cache("openvino").write("x", b"12345")
    contents = shown()
    compiled = str(tmp_path / "home/ocr-trt/openvino")
    (other,) = (each for each in contents["also"] if each["folder"] == compiled)
    assert other["entries"] >= 1
    assert other["bytes"] > 5
    assert [entry["bundle"] for entry in contents["bundles"]] == ["det openvino fp32"]
    assert contents["most_bytes"] == 9 << 20
    assert "bundles: 1, " in succeeds("cache", "show")
    size = contents["bundles"][0]["bytes"] + sum(each["bytes"] for each in contents["also"])
    assert shown("clear")["removed_bytes"] == size
    assert shown()["bundles"] == shown()["also"] == []
    monkeypatch.setenv("OCR_TRT_CACHE_MIB", "0")
    assert shown() == {"folder": None}
    assert "OCR_TRT_CACHE_MIB" in succeeds("cache", "show")
