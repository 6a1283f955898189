"""The stages wired together: a spec in, checked engine bundles out."""

from ..reporter import Reporter, SilentReporter
from .bundles import BuildRequest, BuildResult, build

__all__ = ["BuildRequest", "BuildResult", "Reporter", "SilentReporter", "build"]
