"""Build engine bundles from a spec: from loading the model to the verdict."""

from ..common.progress import Reporter, SilentReporter
from .build import build
from .request import BuildRequest, BuildResult

__all__ = ["BuildRequest", "BuildResult", "Reporter", "SilentReporter", "build"]
