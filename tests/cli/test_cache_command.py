"""The build cache as users meet it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.builder import BuildRequest
from ocr_trt.cli.build import build
from ocr_trt.cli.cache import Action
from ocr_trt.cli.cache import cache as cache_command
from ocr_trt.common.cache import named_cache
from ocr_trt.spec import dump_spec


def test_second_build_says_that_it_is_not_new(
    expected: BuildRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OCR_TRT_CACHE_MIB", "9")
    spec = tmp_path / "m.yaml"
    spec.write_text(dump_spec(expected.spec))

    def built(**options: bool) -> str:
        build([spec], precision="fp32", output=tmp_path / "out", verbose=True, **options)
        return capsys.readouterr().out

    def shown(action: Action = Action.SHOW) -> Any:
        cache_command(action, json=True, verbose=True)
        return json.loads(capsys.readouterr().out)

    assert json.loads(built(json=True))[0]["cached"] is None
    assert re.search(
        r"m-openvino-fp32: from the build cache, its verdict, speed too, was measured on 20\d\d-",
        built(),
    )
    assert json.loads(built(json=True))[0]["cached"].startswith("20")
    assert "from the build cache" not in built(no_cache=True)
    named_cache("openvino").write("x", b"12345")
    found = shown()
    (also,) = found["also"]
    assert (also["folder"], also["entries"]) == (str(tmp_path / "home/ocr-trt/openvino"), 1)
    assert also["bytes"] > 5
    assert [entry["bundle"] for entry in found["bundles"]] == ["m openvino fp32"]
    assert found["most_bytes"] == 9 << 20
    assert shown(Action.CLEAR)["removed_bytes"] == also["bytes"] + found["bundles"][0]["bytes"]
    assert shown()["bundles"] == shown()["also"] == []
    monkeypatch.setenv("OCR_TRT_CACHE_MIB", "0")
    assert shown() == {"folder": None}
