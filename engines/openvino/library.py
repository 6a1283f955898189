"""Import OpenVINO without its telemetry."""

from __future__ import annotations

import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def import_openvino() -> Any:
    """Return the module ``openvino``.

    When it is imported, and when it converts a model, it reports to its makers over the network,
    unless its package for that is not there. The reports are sent by processes that it forks from
    a process with threads, which may hang, and are waited for at exit. So the package is hidden
    from it; who has imported ``openvino`` before, or imports the package itself, is not affected.

    Raises:
        ImportError: it is not installed.
    """
    if "openvino" in sys.modules or _TELEMETRY in sys.modules:
        import openvino

        return openvino
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # to import it is an ImportError
    try:
        import openvino
    finally:
        sys.modules.pop(_TELEMETRY, None)  # another thread may have been here
    return openvino
