"""The stages wired together: a spec in, checked engine bundles out."""

from ..reporter import Reporter, SilentReporter
from .bundles import build
from .request import BuildRequest, BuildResult

__all__ = ["BuildRequest", "BuildResult", "Reporter", "SilentReporter", "build"]
