"""Open the model of a Triton server that the files beside ``model.py`` describe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .check_numpy import check_numpy
from .pipeline_file import NAME as PIPELINE
from .served_pipeline import ServedPipeline
from .served_stand_in import ServedStandIn


def open_model(pb: Any, args: Mapping[str, str]) -> ServedPipeline | ServedStandIn:
    """Return the model that ``TritonPythonModel`` passes its calls to.

    Args:
        pb: Triton's module ``triton_python_backend_utils``.
        args: what Triton passes to ``TritonPythonModel.initialize``.

    Raises:
        TargetMissingError: the server's Python backend does not work with the installed NumPy.
        InputFileError: a file beside ``model.py``, or a parameter in config.pbtxt, is wrong.
    """
    check_numpy(pb)
    # The folder of the model contains one folder per version.
    folder = Path(args["model_repository"]) / args["model_version"]
    kind = ServedPipeline if (folder / PIPELINE).exists() else ServedStandIn
    return kind(pb, args, folder)
