"""The model that a bundle was built from, and whether this user may be assumed to trust it.

A bundle names its model by path and SHA-256, and whoever made the bundle chose both. Therefore
builds record their models outside of the bundles, in the state folder of the user:

    $XDG_STATE_HOME/ocr-trt/built-models/<key>    one file per path and SHA-256
"""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_state_path

from ..common.cache import key_from
from ..common.files import write_whole
from ..convert.sources import Source, open_source, source_format
from ..errors import InputFileError
from .bundle import Bundle, tree_sha256


def source_of(bundle: Bundle) -> Source:
    """Open the model that a bundle was built from.

    Raises:
        InputFileError: the model is missing, is not a model, or has changed since the build; or the
            bundle was built by someone else, and its model is not trusted.
    """
    source = bundle.spec.source
    # A bundle may name any folder: these raise unless it is a model, before files are hashed.
    source_format(source)
    check_source_trusted(bundle)
    if tree_sha256(source.path) != bundle.manifest.source_sha256:
        raise InputFileError(f"{source.path} is not the model the bundle was built from")
    return open_source(source)


def check_source_trusted(bundle: Bundle) -> None:
    """Check that the user built the model of a bundle here, or declared that it is trusted.

    Raises:
        InputFileError: neither.
    """
    path = bundle.spec.source.path
    if bundle.is_source_trusted or _record(path, bundle.manifest.source_sha256).is_file():
        return
    raise InputFileError(
        f"{path}: the model is not run, because {bundle.folder} was not built from it on this "
        "machine by this user; if you trust whoever made the model, add --trust-source (in Python: "
        "load_bundle(..., is_source_trusted=True)), or build the bundle here"
    )


def remember_source(path: Path, sha256: str) -> None:
    """Record that the user built a bundle from a model here.

    Args:
        path: the model, as in the spec of the user.
        sha256: of the model, as in the manifest.

    Raises:
        OSError: the state folder cannot be written.
    """
    record = _record(path, sha256)
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(record, f"{path.resolve()}\n")


def _record(path: Path, sha256: str) -> Path:
    # The path counts too: a model in a folder of someone else could change after it was hashed.
    key = key_from({"path": str(path.resolve()), "sha256": sha256})
    return user_state_path("ocr-trt", appauthor=False) / "built-models" / key
