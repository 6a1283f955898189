"""The entry point of the ``ocr-trt`` program.

It handles signals before it imports the commands, because their imports take most of the time of a
short command.
"""

from __future__ import annotations

import io
import os
import sys

from .interruption import Interrupted, Interruption


def _fill_standard_descriptors() -> None:
    """Open the standard streams that the caller has closed, on nowhere.

    Else the next file that is opened gets the number of such a stream, and what libraries print
    goes into that file.
    """
    last = 2
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= last:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def main() -> None:
    """Run the program, and end the process with its exit code."""
    interruption = Interruption()
    try:
        interruption.install()
        _fill_standard_descriptors()
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
