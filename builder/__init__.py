"""The stages wired together: a spec in, checked engine bundles out."""

from ..common.progress import Reporter, SilentReporter
from .build import build
from .request import BuildRequest, BuildResult

__all__ = ["BuildRequest", "BuildResult", "Reporter", "SilentReporter", "build"]
