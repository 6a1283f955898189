"""Run the program in the process of the tests, and return its exit code and its output."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from ocr_trt.cli.app import run_program


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished command."""

    code: int
    stdout: str
    stderr: str


@contextmanager
def working_in(folder: Path | None) -> Iterator[None]:
    """Change the working directory for the duration of a block."""
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)


def run(*arguments: object, cwd: Path | None = None) -> Done:
    """Run ``ocr-trt`` with some arguments."""
    out, err = io.StringIO(), io.StringIO()
    level = logging.root.manager.disable
    try:
        with working_in(cwd), redirect_stdout(out), redirect_stderr(err):
            code = run_program([str(argument) for argument in arguments])
    finally:
        logging.disable(level)  # commands silence the loggers of libraries
    return Done(code=code, stdout=out.getvalue(), stderr=err.getvalue())


def succeeds(*arguments: object, cwd: Path | None = None) -> str:
    """Run a command that must succeed; return what it printed on stdout."""
    done = run(*arguments, cwd=cwd)
    assert done.code == 0, done.stderr
    return done.stdout


def fails(done: Done, code: int, *facts: str) -> None:
    """Check that a command fails with one error line, the exit code, and without a traceback."""
    assert done.code == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    for fact in facts:
        assert fact in errors[0]
    assert "Traceback" not in done.stderr + done.stdout
