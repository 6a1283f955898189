"""The program as a whole: help, exit codes, suggestions, and how results are printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.main import get_command

from ocr_trt.calibration.calibrator import WEIGHT_CORRECTIONS
from ocr_trt.calibration.methods import METHODS
from ocr_trt.cli import app as app_module
from ocr_trt.cli import choices
from ocr_trt.cli.app import app
from ocr_trt.cli.failure import Interrupted
from ocr_trt.cli.printing import print_json, print_table
from ocr_trt.cli.schema import Document, json_schema
from ocr_trt.engines.manifest import Precision
from ocr_trt.engines.target_groups import AUTO
from ocr_trt.engines.targets import target_names
from ocr_trt.errors import ConversionError
from ocr_trt.pipeline.reader import ReadSettings
from ocr_trt.spec import Role
from tests.cli.in_process import fails, run, succeeds
from tests.json_schema import problems

COMMANDS = [command.callback.__name__ for command in app.registered_commands]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    assert f"Example: ocr-trt {command}" in succeeds(command, "--help")


def test_every_command_has_json_quiet_and_verbose() -> None:
    for command in get_command(app).commands.values():
        names = {name for parameter in command.params for name in parameter.opts}
        assert {"--json", "--quiet", "-q", "--verbose", "-v"} <= names


def test_help_lists_all_commands_and_exit_codes() -> None:
    text = succeeds("--help")
    assert all(command in text for command in COMMANDS)
    assert "4 over accuracy budget" in " ".join(text.split())


def test_choices_are_those_of_the_libraries() -> None:
    expected = {
        choices.RoleChoice: get_args(Role),
        choices.TargetChoice: target_names(),
        choices.RequestedTarget: [AUTO, *target_names()],
        choices.RequestedPrecision: get_args(Precision),
        choices.MethodChoice: ["auto", *METHODS],
        choices.CorrectionChoice: WEIGHT_CORRECTIONS,
        choices.TilesChoice: get_args(get_type_hints(ReadSettings)["tiles"]),
    }
    for choice, names in expected.items():
        assert sorted(each.value for each in choice) == sorted(names)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["buidl", "x.yaml"], ["buidl", "Did you mean", "build"]),
        (["build", "--prescision", "int8"], ["--prescision", "Did you mean", "--precision"]),
        (["build", "x.yaml", "--target", "openvin"], ["openvin", "Did you mean openvino?"]),
        (["build", "x.yaml", "--precision", "int88"], ["int88", "Did you mean int8?"]),
        (["build", "x.yaml", "--method", "minimax"], ["minimax", "Did you mean minmax?"]),
        (["build", "x.yaml", "--target", "cuda"], ["cuda", "'openvino'", "'tensorrt-rtx'"]),
        (["build"], ["Missing argument"]),
        (["--json", "doctor"], ["--json", "after the command: ocr-trt COMMAND --json"]),
        (["bench", "x", "--duration", "0"], ["--duration"]),
    ],
)
def test_usage_errors_suggest_close_names(arguments: list[str], facts: list[str]) -> None:
    done = run(*arguments)
    fails(done, 2, *facts)
    assert "--help" in done.stderr.splitlines()[-1]


def test_help_is_printed_without_a_command() -> None:
    done = run()
    assert done.code == 2
    assert "Commands" in done.stdout + done.stderr


def test_doctor_reports_to_people_and_programs() -> None:
    assert "openvino" in succeeds("doctor")
    result = json.loads(succeeds("doctor", "--json"))
    assert result["targets"]["onnxruntime"]["can_run"]
    for availability in result["targets"].values():
        assert availability["can_run"] or availability["hint"]


@pytest.mark.parametrize("verbose", [False, True])
def test_internal_errors_ask_for_a_report(verbose: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(app_module, "app", broken)
    done = run("doctor", *["-v"] * verbose)
    assert done.code == 1
    assert "internal error, please report it" in done.stderr
    assert "ZeroDivisionError: oh" in done.stderr
    assert ("Traceback" in done.stderr) is verbose


def test_tables_are_plain_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("T", ("name", "n", ""), [("a[b]", 5, None), ("long\x1b name", 12, "x" * 200)])
    assert capsys.readouterr().out.splitlines() == [
        "T",
        "  name            n",
        "  a[b]            5",
        f"  long\\x1b name  12  {'x' * 200}",
    ]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_tables_fit_a_narrow_terminal(
    no_color: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    rows = [("reference-recognizer-tensorrt-rtx-int8", "1.1e-05", "cer 3.07 / 2.96 (+0.11) *"),
            ("b", "2", "y " * 100)]  # fmt: skip
    print_table("Verdict", ("engine", "difference", "accuracy"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert "1.1e-05" in "".join(lines)
    assert not any("\x1b[3" in line for line in lines), "no colors in tables"


@pytest.mark.parametrize(
    ("arguments", "kind", "fact"),
    [
        (["bundle", "show", "missing"], "InputFileError", "missing"),
        (["inspect", "missing.yaml"], "UserError", "missing.yaml"),
        (["build", "x", "--precision", "int9"], "UsageError", "Did you mean int8?"),
        (["buidl"], "UsageError", "Did you mean build?"),
        (["doctor", "--jsn"], "UsageError", "--jsn"),
    ],
)
def test_errors_are_json_on_stdout_too(arguments: list[str], kind: str, fact: str) -> None:
    done = run(*arguments, "--json")
    fails(done, 2, fact)
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["exit_code"]) == (kind, 2)
    assert fact in error["message"]
    assert problems({"error": error}, json_schema(Document.ERROR)) == []
    assert run(*arguments).stdout == ""


def test_bugs_and_interruptions_are_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, kind, code in (
        (KeyError("x"), "KeyError", 1),
        (Interrupted(15), "Interrupted", 143),
    ):

        def broken(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(app_module, "app", broken)
        done = run("doctor", "--json")
        assert done.code == code
        assert json.loads(done.stdout)["error"]["type"] == kind


def test_a_result_that_was_printed_is_the_only_json(spec_files: dict[str, Path]) -> None:
    """The target's refusal is in the result, so the error does not follow as a second document."""

    def prints_and_fails(*_: object, **__: object) -> None:
        print_json({"result": 1})
        raise ConversionError("refused")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_module, "app", prints_and_fails)
        done = run("inspect", spec_files["detector"], "--json")
    fails(done, 3, "refused")
    assert json.loads(done.stdout) == {"result": 1}


def test_json_contains_no_character_that_a_terminal_executes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = {"name": "a\x1b\x9b\u202e\U000e0001\ud800", "text": "한글 ä\n"}
    print_json(data)
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert "한글 ä" in printed
    assert json.loads(printed) == data
