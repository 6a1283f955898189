from __future__ import annotations

from ocr_trt.common.error_text import first_line


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
