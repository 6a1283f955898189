"""The stages wired together: a spec in, checked engine bundles out."""

from .bundles import BuildRequest, BuildResult, build
from .reporter import Reporter, SilentReporter

__all__ = ["BuildRequest", "BuildResult", "Reporter", "SilentReporter", "build"]
