from __future__ import annotations

import inspect

import pytest

from ocr_trt import errors

CLASSES = [
    c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.OcrTrtError)
]


@pytest.mark.parametrize("error", CLASSES)
def test_tree_in_the_docstring_names_every_error(error: type[errors.OcrTrtError]) -> None:
    assert errors.__doc__ is not None
    assert error.__name__ in errors.__doc__


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UserError, 2),
        (errors.InputFileError, 2),
        (errors.OutOfMemoryError, 2),
        (errors.SpecError, 2),
        (errors.TargetMissingError, 2),
        (errors.OutputError, 2),
        (errors.ConversionError, 3),
        (errors.EngineBuildError, 3),
        (errors.BudgetError, 4),
        (errors.RegressionError, 5),
    ],
)
def test_exit_codes_are_as_documented(error: type[errors.OcrTrtError], code: int) -> None:
    assert error("text").exit_code == code
