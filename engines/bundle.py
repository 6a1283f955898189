"""Engine bundles on disk: their files, checksums and paths."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..common.files import file_sha256
from ..common.input_size import listed
from ..common.onnx_files import external_files
from ..errors import InputFileError
from ..spec import ModelSpec, spec_seen_from
from .manifest import NAME, FileEntry, Manifest, read_manifest

# The manifest, the spec, the chosen precisions, and the graph and the plan of each input size with
# the files beside them.
_OWN_NAME = re.compile(
    r"manifest\.json|spec\.yaml|precision\.(json|html)|(model|plan)_([0-9]{1,5}(x[0-9]{1,5})?|any)(\.[a-z0-9]{1,8}){1,3}"
)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle whose manifest was read. :func:`load_bundle` also checks its files."""

    folder: Path
    """The folder of the bundle."""
    manifest: Manifest
    """What the build wrote about it: targets, precisions, verdict, checksums."""
    is_trusted: bool = False
    """Its plans may run code on the host; version-compatible plans of TensorRT do."""
    is_source_trusted: bool = False
    """The model that it names may be run, wherever it is from; without it, only if the user built
    it here (``bundle_source.py``).
    """

    @property
    def spec(self) -> ModelSpec:
        """The spec the bundle was built from; ``source.path`` is relative to the current folder.

        The origin of a bundle is unknown, so its spec cannot allow Lambda layers to run.
        """
        spec = spec_seen_from(self.manifest.spec, self.folder)
        source = spec.source.model_copy(update={"allow_lambda": False, "custom": ()})
        return spec.model_copy(update={"source": source})

    @property
    def label(self) -> str:
        """Name in tables: spec, target and precision; of ``best``, also the precision chosen."""
        manifest = self.manifest
        choice = manifest.choice if manifest.precision == "best" else None
        chosen = f" ({choice.precision})" if choice else ""
        compression = manifest.compression
        smaller = " compressed" if compression is not None and compression.is_applied else ""
        return f"{manifest.spec.name} {manifest.target} {manifest.precision}{chosen}{smaller}"

    def path(self, name: str) -> Path:
        """Return the path of a file of the bundle."""
        return self.folder / name


def file_entry(path: Path) -> FileEntry:
    """Return size and SHA-256 of a file."""
    return FileEntry(bytes=path.stat().st_size, sha256=file_sha256(path))


def tree_sha256(path: Path) -> str:
    """Return one SHA-256 over a file, or over the names and contents of a folder's files.

    The files beside a checkpoint's .meta file belong to it, and so do the weight files of an .onnx
    file.
    """
    path = path.resolve()  # a link has the hash of the source that it leads to
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    # A checkpoint is several files with one stem, of which the spec names one.
    if path.suffix == ".meta":
        files = sorted(p for p in path.parent.iterdir() if p.name.startswith(f"{path.stem}."))
    if path.suffix == ".onnx" and path.is_file():
        files += external_files(path)
    digest = hashlib.sha256()
    for file in files:
        # The relative path counts too: a renamed file is another source.
        digest.update(os.fsencode(Path(os.path.relpath(file, path.parent)).as_posix()))
        digest.update(file_entry(file).sha256.encode())
    return digest.hexdigest()


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file below ``folder`` but the manifest, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): file_entry(path) for path in files}


def load_bundle(
    folder: Path | str, *, is_trusted: bool = False, is_source_trusted: bool = False
) -> Bundle:
    """Read a bundle and check all its files against its manifest.

    If another process replaces the bundle in the meantime, the new one is read.

    Raises:
        InputFileError: not a bundle; a file is missing, added or changed; a path leads outside.
    """
    folder = Path(folder)
    while True:
        before = _identity(folder)
        try:
            bundle = _load(folder)
        except (InputFileError, OSError):
            if _identity(folder) == before:
                raise
        else:
            if _identity(folder) == before:
                return replace(bundle, is_trusted=is_trusted, is_source_trusted=is_source_trusted)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what distinguishes a folder from one that later has its name; None if missing."""
    try:
        status = folder.stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_ctime_ns


def _load(folder: Path) -> Bundle:
    manifest = read_manifest(folder)
    sizes = tuple(engine.size for engine in manifest.engines)
    if sizes != manifest.spec.input_sizes:
        raise InputFileError(
            f"{folder}: has engines for the input sizes {listed(sizes)} (height x width), but its "
            f"spec states {listed(manifest.spec.input_sizes)}; build the bundle again"
        )
    # Files that the engines name, and all files that exist, must be listed.
    named = {name for engine in manifest.engines for name in (engine.model, engine.plan)}
    existing = {path.name for path in folder.iterdir()}  # folders and links too
    for name in sorted(named | existing - {NAME}):
        if name not in manifest.files:
            raise InputFileError(
                f"{folder}: {name!r:.80} is not listed in its manifest; build the bundle again"
            )
    for name, entry in sorted(manifest.files.items()):
        _check_file(folder, name, entry)
    return Bundle(folder=folder, manifest=manifest)


def _leads_out(folder: Path, name: str) -> bool:
    path = PurePosixPath(name)
    # On Windows a backslash separates folders too.
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name:
        return True
    try:
        return not (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):
        return True


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    # Checked before the file is opened, because the origin of a manifest is unknown.
    if len(name) > 200 or _leads_out(folder, name):
        raise InputFileError(
            f"{folder}: its manifest names {name!r:.80}, which is outside the bundle"
        )
    if not _OWN_NAME.fullmatch(name):
        raise InputFileError(f"{folder}: {name!r:.80} is not the name of a file of a bundle")
    # A link could lead outside the bundle, or be changed after this check.
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise InputFileError(f"{folder}: {name!r:.80} is missing; build the bundle again")
    if path.stat().st_size != entry.bytes or file_entry(path) != entry:
        raise InputFileError(
            f"{folder}: {name} differs in size or SHA-256 from the file that was built; "
            "copy or build the bundle again"
        )


def check_plan(bundle: Bundle, plan: str) -> None:
    """Check the files of a plan again, immediately before it is opened.

    Raises:
        InputFileError: a file was changed, or the bundle was replaced, after it was loaded.
    """
    stem = plan.partition(".")[0]
    for name, entry in bundle.manifest.files.items():
        if name.partition(".")[0] == stem:
            _check_file(bundle.folder, name, entry)


def own_files(folder: Path) -> set[str]:
    """Return the paths of the files of the bundle in ``folder``; nothing if it is not a bundle.

    Only names that a build gives: a forged manifest cannot let a build remove the user's files.
    """
    try:
        names = {NAME, *read_manifest(folder).files}
        return {name for name in names if _OWN_NAME.fullmatch(name)}
    except InputFileError:
        return set()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; it is the last file of a bundle to be written."""
    text = manifest.model_dump_json(indent=2, exclude_none=True)
    (folder / NAME).write_text(text + "\n", "utf-8")
