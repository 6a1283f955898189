"""The model that a bundle was built from."""

from __future__ import annotations

from ..convert.sources import Source, open_source, source_format
from ..errors import InputFileError
from .bundle import Bundle, tree_sha256


def source_of(bundle: Bundle) -> Source:
    """Open the model that a bundle was built from.

    Raises:
        InputFileError: the model is missing, is not a model, or has changed since the build.
    """
    source = bundle.spec.source
    # A bundle may name any folder: this raises unless it is a model, before files are hashed.
    source_format(source)
    if tree_sha256(source.path) != bundle.manifest.source_sha256:
        raise InputFileError(f"{source.path} is not the model the bundle was built from")
    return open_source(source)
