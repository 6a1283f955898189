"""Options of single targets: words of the command line, parsing, acceptance by targets."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.build_options import check_options, split_words
from ocr_trt.engines.nvidia import backend as nvidia_backend
from ocr_trt.engines.nvidia.backend import NvidiaBackend
from ocr_trt.engines.nvidia.options import NvidiaOptions
from ocr_trt.engines.targets import backend
from ocr_trt.errors import TargetMissingError, UserError


def nvidia(name: str) -> NvidiaBackend:
    target = backend(name)
    assert isinstance(target, NvidiaBackend)
    return target


def check(options: dict[str, str], *targets: str) -> list[str]:
    return check_options([backend(name) for name in targets], options)


def test_words_become_a_sorted_mapping() -> None:
    words = ["workspace=1", "hardware = ampere-plus", "timing_cache=no", "workspace=512"]
    options = split_words(words)
    assert options == {"hardware": "ampere-plus", "timing-cache": "no", "workspace": "512"}
    assert list(options) == sorted(options)
    with pytest.raises(UserError, match="strip: expected NAME=VALUE"):
        split_words(["strip"])


def test_wrong_name_is_refused_without_the_slow_imports() -> None:
    code = (
        "import sys\n"
        "from ocr_trt.engines.build_options import check_options\n"
        "from ocr_trt.engines.targets import backend, target_names\n"
        "from ocr_trt.errors import UserError\n"
        "try:\n"
        "    check_options([backend(name) for name in target_names()], {'foo': '1'})\n"
        "except UserError:\n"
        "    print(sorted({'onnx_ir', 'sympy', 'openvino', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"workspace": "512", "optimization": "5"}, {"workspace": 512, "optimization": 5}),
        (
            {"version-compatible": "yes"},
            {"version_compatible": True},
        ),
        ({"hardware": "ampere-plus"}, {"hardware": "ampere-plus"}),
        ({"plugins": "yes"}, {"plugins": True}),
        ({"an option of another target": "7"}, {}),
    ],
)
def test_option_text_is_parsed(options: dict[str, str], expected: dict[str, Any]) -> None:
    assert nvidia("tensorrt").options_from(options) == NvidiaOptions(**expected)


def test_compute_capabilities_are_a_list_without_duplicates() -> None:
    target = nvidia("tensorrt-rtx")
    settings = BuildSettings(options={"compute-capability": "8.6, 12.0,8.6"})
    assert target.built_with(settings)["compute_capabilities"] == ["8.6", "12.0"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("workspace", "1", "64"),
        ("optimization", "fast", "integer"),
        ("hardware", "all", "same-gpu"),
        ("refit", "perhaps", "boolean"),
        ("compute-capability", "8.6,foo", "'foo'"),
        ("compute-capability", "", "8.6,8.9"),
    ],
)
def test_wrong_value_is_refused_with_the_expected_one(name: str, value: str, message: str) -> None:
    target = "tensorrt-rtx" if name == "compute-capability" else "tensorrt"
    with pytest.raises(UserError, match=f"{name}={value}: .*{message}"):
        check({name: value}, target)


@pytest.mark.parametrize(
    ("option", "targets", "message"),
    [
        ("fp16", ["openvino"], "no such option, and openvino accepts no options"),
        ("worksapce", ["tensorrt"], "did you mean workspace.* hardware, optimization"),
        ("version_compatible", ["tensorrt"], "did you mean version-compatible"),
        (
            "workspace",
            ["openvino", "onnxruntime"],
            "openvino and onnxruntime have no .* --target tensorrt",
        ),
        ("version-compatible", ["tensorrt-rtx"], "tensorrt-rtx has no lean runtime"),
        ("plugins", ["openvino", "tensorrt-rtx"], "tensorrt-rtx has no kernels"),
        ("compute-capability", ["tensorrt"], "tensorrt builds for the GPU"),
    ],
)
def test_option_that_no_target_accepts_is_refused(
    option: str, targets: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=f"option {option}: .*{message}"):
        check({option: "yes"}, *targets)


def test_option_of_one_target_only_gives_a_note() -> None:
    assert check({"workspace": "256"}, "tensorrt", "tensorrt-rtx", "openvino") == []
    (note,) = check({"refit": "yes"}, "tensorrt", "tensorrt-rtx", "openvino")
    assert "refit" in note
    assert "tensorrt-rtx refits only" in note
    assert not nvidia("tensorrt-rtx").options_from({"refit": "yes"}).refit


def test_requirements_of_plugins_are_checked_before_the_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nvidia_backend, "plugin_module", lambda: None)
    check({"plugins": "no"}, "tensorrt")
    with pytest.raises(TargetMissingError, match=r"pip install .*ocr-trt\[gpu,cuda\]"):
        check({"plugins": "yes"}, "tensorrt")
