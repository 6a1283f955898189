from __future__ import annotations

import errno

import pytest

from ocr_trt.common.error_text import cause, check_memory, first_line
from ocr_trt.errors import OutOfMemoryError


def test_message_behind_the_code_lines_of_tensorflow_is_used() -> None:
    text = "in user code:\n\n    File 'm.py', line 3, in f\n\n    ValueError: bad shape\n    more\n"
    assert first_line(ValueError(text)) == "ValueError: bad shape"
    assert first_line(ValueError("in user code:\n x")) == "in user code:"
    assert first_line(ValueError("\n one\ntwo: three")) == "one"
    assert first_line(ValueError()) == "ValueError"


def test_reason_behind_the_place_is_used() -> None:
    in_keras = (
        "Exception encountered when calling A.call().\n\n\x1b[1mbad\nsize\x1b[0m\n\nArguments"
    )
    assert first_line(ValueError(in_keras)) == "bad size"
    loading = "X.\n\nException encountered: Y failed.\n\nException encountered: factor: -0.1"
    assert first_line(TypeError(loading)) == "factor: -0.1"
    running = "Graph execution error:\n\nDetected at\nNo dilation.\n\t [[{{node a/b}}]] [Op:f]"
    assert first_line(RuntimeError(running)) == "No dilation."


def test_reason_of_openvino_is_behind_the_places_in_its_code() -> None:
    text = (
        "Exception from src/inference/src/cpp/core.cpp:84:\n"
        "Exception from src/inference/src/model_reader.cpp:148:\nUnable to read the model: x\n\n"
    )
    assert first_line(RuntimeError(text)) == "Unable to read the model: x"
    assert cause(text) == "Unable to read the model: x"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "x"),
        # OpenVINO
        RuntimeError("Exception from core.cpp:84:\nLoading\nerr=Cannot allocate memory\n"),
        RuntimeError("Exception from core.cpp:117:\nException from plugin.cpp:54:\ncan't alloc\n"),
        # onnxruntime, OpenCV, C++ libraries, Python
        RuntimeError("BFCArena::AllocateRawInternal: Failed to allocate memory for 9 bytes"),
        RuntimeError("OpenCV(4.9): error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
    ],
)
def test_lack_of_memory_is_not_blamed_on_the_file(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match=r"a\.png: there is not enough memory"):
        check_memory(error, "a.png")
    if str(error):
        check_memory(RuntimeError("damaged"), "a.png")  # raises nothing
