"""A model for Triton's Python backend, written by ``ocr-trt export triton``.

The JSON file beside it states what it does: ``pipeline.json`` reads the text in images with the
other models of this repository; ``stand_in.json`` runs a plan. The code is in the package ocr-trt,
which must be installed in the Python of the server: pip install ocr-trt
"""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Triton calls these methods."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model."""
        try:
            from ocr_trt.export.served_model import open_model
        except ImportError as error:
            raise RuntimeError(
                f"ocr-trt cannot be imported: {error}; install it in the Python of this server: "
                "pip install ocr-trt"
            ) from error
        self._model = open_model(pb_utils, args)

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Run requests; the pipeline returns None and sends its responses later."""
        return self._model.execute(requests)

    def finalize(self) -> None:
        """Finish what is in progress."""
        self._model.close()
