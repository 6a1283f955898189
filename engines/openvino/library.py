"""Import OpenVINO without its telemetry, and make it ready for threads."""

from __future__ import annotations

import sys
from threading import Lock
from typing import Any

import numpy as np

_TELEMETRY = "openvino_telemetry"
_ONE_AT_A_TIME = Lock()


def import_openvino() -> Any:
    """Return the module ``openvino``.

    When it is imported, and when it converts a model, it reports to its makers over the network,
    unless its package for that is not there. The reports are sent by processes that it forks from
    a process with threads, which may hang, and are waited for at exit. So the package is hidden
    from it; who has imported ``openvino`` before, or imports the package itself, is not affected.

    Raises:
        ImportError: it is not installed.
    """
    with _ONE_AT_A_TIME:
        openvino = _imported()
        _make_ready(openvino)
    return openvino


def _make_ready(openvino: Any) -> None:
    """Make a tensor and look into it.

    What its bindings set up at the first one can deadlock if two threads make it at once: one has
    the interpreter's lock, the other that of the set-up, and each waits for the other's.
    """
    tensor = openvino.Tensor(np.zeros((1, 1), np.float32), shared_memory=True)
    np.array(tensor.data)


def _imported() -> Any:
    if "openvino" in sys.modules or _TELEMETRY in sys.modules:
        import openvino

        return openvino
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # to import it is an ImportError
    try:
        import openvino
    finally:
        sys.modules.pop(_TELEMETRY, None)  # another thread may have been here
    return openvino
