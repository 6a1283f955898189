"""Registration with TensorRT through its own bindings, without its libraries."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.errors import TargetMissingError
from ocr_trt.plugins import registration
from ocr_trt.plugins.hwc8 import in_hwc8
from ocr_trt.plugins.registry import PLUGINS

IN_GRAPHS = {name: p for name, p in PLUGINS.items() if p.register is not None}
SCRIPT = Path(__file__).with_name("registered.py")


def libraries(folder: Path) -> None:
    """Make libraries that export every symbol that the bindings require, and do nothing."""
    found = util.find_spec("tensorrt_bindings")
    assert found is not None
    assert found.origin is not None
    bindings = Path(found.origin).with_name("tensorrt.so")
    listed = subprocess.run(["readelf", "-d", bindings], capture_output=True, text=True, check=True)
    names = re.findall(r"\[(libnv\S+)\]", listed.stdout)
    assert any("libnvinfer" in name for name in names)
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", bindings], capture_output=True, text=True, check=True
    )
    expected = re.findall(
        r" U (\w*(?:_INTERNAL|PluginRegistry|Version|Plugins))$", symbols.stdout, re.M
    )
    code = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in expected)
    for name in names:
        command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(folder / name)]
        subprocess.run(command, input=code, text=True, check=True)


@pytest.fixture(scope="module")
def launches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The launches that the ops state to TensorRT's bindings for each example."""
    pytest.importorskip("cuda.bindings.nvrtc")
    if util.find_spec("tensorrt_bindings") is None or shutil.which("gcc") is None:
        pytest.skip("no TensorRT bindings, or no C compiler")
    folder = tmp_path_factory.mktemp("libraries")
    libraries(folder)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), "XDG_CACHE_HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_all_ops_of_graphs_are_registered(launches: dict[str, Any]) -> None:
    assert launches["registered"] == list(IN_GRAPHS)
    assert set(IN_GRAPHS) == {name for name, plugin in PLUGINS.items() if plugin.body}
    assert len(launches["launches"]) == 3 * sum(len(p.examples()) for p in IN_GRAPHS.values())


def test_tensorrt_launches_what_was_verified(launches: dict[str, Any]) -> None:
    examples = {(name, e.name): e for name, p in IN_GRAPHS.items() for e in p.examples()}
    for found in launches["launches"]:
        example = examples[found["plugin"], found["example"]]
        launch = PLUGINS[found["plugin"]].launch(example.inputs, example.attributes)
        outputs = [[list(shape), str(dtype)] for shape, dtype in launch.outputs]
        assert found["outputs"] == outputs
        assert found["in_ptx"]
        assert found["are_int32"]
        assert found["threads"] == launch.threads
        assert tuple(found["numbers"]) == launch.numbers
        if 3 in found["free"] and "x" in found["entry"].rsplit("_", 1)[1]:
            assert found["entry"].endswith("_x1"), "a row of any width"
            assert found["blocks"] >= launch.blocks
        else:
            assert found["entry"] == launch.entry
            assert found["blocks"] == launch.blocks


def test_packed_formats_have_kernels_of_their_own(launches: dict[str, Any]) -> None:
    assert set(launches["formats"]) == {"ocr_trt::MaxPoolArgmax2d", "ocr_trt::MaxUnpool2d"}
    for found in launches["formats"].values():
        assert found == [
            [["FP32|FP16"] * 3, ["LINEAR"] * 3],
            [["FP16"] * 3, ["HWC8"] * 3],
        ]
    ops = {name: in_hwc8(plugin) for name, plugin in PLUGINS.items() if plugin.launch_hwc8}
    examples = {(name, e.name): e for name, op in ops.items() for e in op.examples()}
    assert len(launches["packed"]) == 3 * len(examples)
    for found in launches["packed"]:
        example = examples[found["plugin"], f"{found['example']} HWC8"]
        launch = ops[found["plugin"]].launch(example.inputs, example.attributes)
        assert found["entry"] == launch.entry
        assert found["in_ptx"]
        assert found["are_int32"]
        assert (found["blocks"], found["threads"]) == (launch.blocks, launch.threads)
        assert tuple(found["numbers"]) == launch.numbers


def test_without_tensorrt_nothing_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt.plugin", None)
    with pytest.raises(TargetMissingError, match="10\\.9"):
        registration.register_plugins(75)
