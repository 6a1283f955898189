"""Import OpenVINO without its telemetry, and prepare it for use in threads."""

from __future__ import annotations

import sys
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

_TELEMETRY = "openvino_telemetry"
_IMPORT_LOCK = Lock()


def import_openvino() -> Any:
    """Return the module ``openvino``.

    OpenVINO reports each import and each conversion of a model to its vendor over the network, if
    its package ``openvino_telemetry`` can be imported. It forks processes for the reports, which
    may hang in a process with threads, and waits for them at exit. Therefore that package is hidden
    during the import. Programs that imported ``openvino`` or the package before are not affected.

    Raises:
        ImportError: it is not installed.
    """
    with _IMPORT_LOCK:
        openvino = _imported()
        _make_ready(openvino)
    return openvino


def openvino_core() -> Any:
    """Return the ``openvino.Core`` that this process uses for everything, and never destroys.

    OpenVINO's CPU plugin gives the thread that loads it a stack for signal handlers. It frees that
    stack when the Core and its models are gone, perhaps in another thread. After that, a signal
    such as that of Ctrl-C would end the process with a segmentation fault.
    """
    openvino = import_openvino()
    with _IMPORT_LOCK:  # a second Core would be destroyed
        return _core(openvino)


@cache
def _core(openvino: Any) -> Any:
    return openvino.Core()


def _make_ready(openvino: Any) -> None:
    """Create a tensor and read it, which initializes OpenVINO's bindings.

    If two threads did this at once they could deadlock: one holds the interpreter's lock, the
    other the lock of the initialization, and each waits for the other.
    """
    tensor = openvino.Tensor(np.zeros((1, 1), np.float32), shared_memory=True)
    np.array(tensor.data)


def _imported() -> Any:
    if "openvino" in sys.modules or _TELEMETRY in sys.modules:
        import openvino

        return openvino
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # importing it raises ImportError
    try:
        import openvino
    finally:
        sys.modules.pop(_TELEMETRY, None)  # later imports of the package must work again
    return openvino
