"""PTX of the kernels by NVRTC: entries, parameters, vector loads and stores, errors, cache."""

from __future__ import annotations

import locale
import re
from pathlib import Path

import pytest

from ocr_trt.common.cache import Cache
from ocr_trt.errors import EngineBuildError
from ocr_trt.plugins.cuda import nvrtc
from ocr_trt.plugins.cuda.nvrtc import FLOORS, entries_of, ptx_from_source
from ocr_trt.plugins.plugin import Plugin
from ocr_trt.plugins.registry import PLUGINS

pytest.importorskip("cuda.bindings.nvrtc")


def changed(folder: Path, old: str, new: str) -> Path:
    """The kernels of MaxUnpool2d with something in them replaced."""
    text = PLUGINS["MaxUnpool2d"].source.read_text()
    assert text.count(old) >= 1
    source = folder / "kernel.cu"
    source.write_text(text.replace(old, new))
    return source


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
@pytest.mark.parametrize("floor", FLOORS)
def test_ptx_has_the_kernels_with_their_parameters(plugin: Plugin, floor: int) -> None:
    ptx = ptx_from_source(plugin.source, floor)
    assert f".target sm_{floor}".encode() in ptx
    example = plugin.examples()[0]
    launch = plugin.launch(example.inputs, example.attributes)
    given = (example.inputs, launch.numbers, launch.outputs, launch.scratch)
    parameters = sum(len(part) for part in given)
    expected = {entry: parameters + entry.endswith("_hwc8") for entry in plugin.entries}
    assert entries_of(ptx) == expected
    assert b".local " not in ptx, "arrays in local memory are slow"


@pytest.mark.parametrize(
    ("entry", "loads", "stores"),
    [
        ("max_pool_argmax_2d_f32_x4", ["v4.f32"] * 4, 2),
        ("max_pool_argmax_2d_f16_x8", ["v4.u32"] * 4, 2),
        ("max_pool_argmax_2d_f16_hwc8", ["v4.u32"] * 4, 2),
        ("max_unpool_2d_f32_x2", ["v2.f32"] * 2, 2),
        ("max_unpool_2d_f16_x4", ["v4.u16"] * 2, 2),
        ("max_unpool_2d_f16_hwc8", ["v4.u32"] * 2, 4),
    ],
)
def test_data_moves_in_vectors(entry: str, loads: list[str], stores: int) -> None:
    name = "MaxPoolArgmax2d" if "pool_argmax" in entry else "MaxUnpool2d"
    ptx = ptx_from_source(PLUGINS[name].source, 75).decode()
    body = ptx.split(f".visible .entry {entry}(")[1].split(".visible .entry ")[0]
    assert re.findall(r"ld\.global(?:\.nc)?\.(\S+)", body) == loads
    found = re.findall(r"st\.global\.(\S+)", body)
    assert len(found) == stores
    assert set(found) <= {"v4.f32", "v4.u32"}, "16 bytes each"


@pytest.mark.parametrize("name", ["CropWarp"])
def test_planes_are_stored_in_vectors_of_16_bytes(name: str) -> None:
    ptx = ptx_from_source(PLUGINS[name].source, 75).decode()
    wide = [body for body in ptx.split(".visible .entry ")[1:] if re.match(r"\w+_x[48]\b", body)]
    assert len(wide) == 2
    for body in wide:
        assert re.search(r"st\.global\.v4\.\w32", body)
        assert not re.search(r"st\.global\.[^v]", body), "nothing is stored one by one"


def test_compile_error_shows_the_line(tmp_path: Path) -> None:
    broken = changed(tmp_path, "const T zero", "const T zer0")
    with pytest.raises(EngineBuildError, match=r'(?s)kernel\.cu\(\d+\): error: .*"zero"'):
        ptx_from_source(broken, 75)


def test_compiling_leaves_the_locale_alone() -> None:
    before = locale.getpreferredencoding(False)
    ptx_from_source(PLUGINS["MaxUnpool2d"].source, 75)
    assert locale.getpreferredencoding(False) == before


def test_cache_is_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin, cache = PLUGINS["MaxUnpool2d"], Cache(folder=tmp_path / "cache", max_bytes=1 << 20)
    first = ptx_from_source(plugin.source, 75, cache)
    assert first == ptx_from_source(plugin.source, 75)
    monkeypatch.setattr(nvrtc, "_compile", lambda source, options: b"compiled anew")
    assert ptx_from_source(plugin.source, 75, cache) == first
    assert ptx_from_source(plugin.source, 80, cache) == b"compiled anew"
    other = changed(tmp_path, "// MaxUnpool2d", "// Another")
    assert ptx_from_source(other, 75, cache) == b"compiled anew"
    assert len(cache.entries()) == 3
