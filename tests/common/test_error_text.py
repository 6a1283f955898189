from __future__ import annotations

from ocr_trt.common.error_text import first_line


def test_message_behind_the_code_lines_of_tensorflow_is_used() -> None:
    text = "in user code:\n\n    File 'm.py', line 3, in f\n\n    ValueError: bad shape\n    more\n"
    assert first_line(ValueError(text)) == "ValueError: bad shape"
    assert first_line(ValueError("in user code:\n x")) == "in user code:"
    assert first_line(ValueError("\n one\ntwo: three")) == "one"
    assert first_line(ValueError()) == "ValueError"
