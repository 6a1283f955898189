"""Start Python in a child process that does not import files of the current folder."""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE_FOLDER = Path(__file__).absolute().parents[2]  # where the folder ``ocr_trt`` is

# ``sys`` is built in, so that this line runs before the code imports anything from a file.
_START = """\
import sys
sys.path[:] = {path!r}
import runpy
runpy.run_module({module!r}, run_name="__main__")
"""


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module as a program with the import path of this process.

    ``python -m`` and ``python -c`` put the current folder first on the import path, so that a file
    ``numpy.py`` beside the user's model would be run. Here the folder is left out, unless this
    package itself was imported from it.
    """
    here = Path.cwd()
    # An empty entry means the current folder.
    path = [
        entry
        for entry in sys.path
        if entry and (Path(entry).absolute() != here or here == _PACKAGE_FOLDER)
    ]
    # -E: an empty entry of PYTHONPATH means the current folder, too, and Python would import
    # sitecustomize.py from there before it runs ``_START``.
    # -P: Python 3.13 imports linecache before it runs ``_START``. Python 3.10 does not have -P.
    safe_path = ["-P"] if sys.version_info >= (3, 11) else []
    return [
        sys.executable,
        "-E",
        *safe_path,
        "-c",
        _START.format(path=path, module=module),
        *arguments,
    ]
