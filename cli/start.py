"""The entry point of the ``ocr-trt`` program.

It handles signals before it imports the commands, because their imports take most of the time of a
short command.
"""

from __future__ import annotations

import io
import os
import sys

from .interruption import Interrupted, Interruption


def main() -> None:
    """Run the program, and end the process with its exit code."""
    interruption = Interruption()
    try:
        interruption.install()
        # Python has no stream for a descriptor that was closed.
        nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115 - pathlib is slow to import
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
        for stream in (sys.stdout, sys.stderr):  # file names may contain bytes that are not UTF-8
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        from .app import run_in_process

        code = run_in_process(sys.argv[1:], interruption)
        if interruption.is_requested:
            interruption.end(is_reported=True)
        interruption.finish()
    except Interrupted:  # before or after the command itself
        interruption.end(is_reported=False)
    sys.exit(code)
