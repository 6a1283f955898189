"""The model of a bundle from elsewhere is run only if the user trusts it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ocr_trt.builder import BuildRequest, build
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.bundle import Bundle, load_bundle, tree_sha256
from ocr_trt.engines.bundle_source import source_of
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.manifest import NAME
from ocr_trt.errors import InputFileError
from tests.builder.small_build import write_model


@pytest.fixture
def own(build_request: BuildRequest) -> Bundle:
    """A bundle that the user built here from ``m.onnx``."""
    (result,) = build(replace(build_request, cache=None))
    assert result.bundle is not None
    return result.bundle


@pytest.fixture
def foreign(own: Bundle, tmp_path: Path) -> Bundle:
    """The same bundle and its model, in a folder that was copied from somewhere."""
    place = tmp_path / "download"
    shutil.copytree(own.folder, place / "first" / own.folder.name)
    shutil.copyfile(own.spec.source.path, place / "m.onnx")
    return load_bundle(place / "first" / own.folder.name)


def rehashed(bundle: Bundle, sha256: str, path: Path | None = None) -> Bundle:
    """Do what an attacker does: state another model and its hash in the manifest."""
    file = bundle.folder / NAME
    manifest = json.loads(file.read_text())
    manifest["source_sha256"] = sha256
    if path is not None:
        manifest["spec"]["source"]["path"] = str(path)
    file.write_text(json.dumps(manifest))
    return load_bundle(bundle.folder)


def trusted(bundle: Bundle) -> Bundle:
    return load_bundle(bundle.folder, is_source_trusted=True)


def is_refused(bundle: Bundle) -> None:
    with pytest.raises(InputFileError, match="--trust-source") as caught:
        source_of(bundle)
    assert str(bundle.spec.source.path) in str(caught.value)
    assert str(bundle.folder) in str(caught.value)


def test_model_that_the_user_built_here_is_run(own: Bundle) -> None:
    assert source_of(own).signature()


def test_model_from_elsewhere_needs_trust(foreign: Bundle) -> None:
    is_refused(foreign)
    assert source_of(trusted(foreign)).signature()


def test_malicious_model_with_its_hash_in_the_manifest_is_not_read(foreign: Bundle) -> None:
    model = foreign.spec.source.path
    model.write_bytes(b"a file that exploits the parser")
    is_refused(rehashed(foreign, tree_sha256(model)))
    with pytest.raises(InputFileError, match=r"m\.onnx"):
        source_of(trusted(foreign))


def test_path_to_another_model_is_not_run(own: Bundle, foreign: Bundle, tmp_path: Path) -> None:
    evil = tmp_path / "evil" / "m.onnx"
    evil.parent.mkdir()
    write_model(evil, seed=9)
    is_refused(rehashed(foreign, tree_sha256(evil), evil))
    is_refused(rehashed(foreign, own.manifest.source_sha256, evil))
    # In a bundle that was built here, too.
    is_refused(rehashed(own, tree_sha256(evil), evil))


def test_model_that_changed_since_the_build_is_not_run(own: Bundle) -> None:
    path = own.spec.source.path
    write_model(path, seed=9)
    with pytest.raises(InputFileError, match="is not the model the bundle was built from"):
        source_of(own)
    with pytest.raises(InputFileError, match="is not the model the bundle was built from"):
        source_of(trusted(own))
    is_refused(rehashed(own, tree_sha256(path)))


def test_link_to_the_model_is_run(own: Bundle, foreign: Bundle, tmp_path: Path) -> None:
    model, link = own.spec.source.path.resolve(), tmp_path / "link"
    link.symlink_to(model.parent, target_is_directory=True)
    path = link / model.name
    assert source_of(rehashed(foreign, own.manifest.source_sha256, path)).signature()


def test_cached_bundle_counts_as_built_here(
    build_request: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(build_request)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (result,) = build(build_request)
    assert result.measured is not None
    assert result.bundle is not None
    assert source_of(result.bundle).signature()
    assert (tmp_path / "state" / "ocr-trt" / "built-models").stat().st_mode & 0o077 == 0


def test_build_succeeds_without_a_state_folder(
    build_request: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Notes(SilentReporter):
        def note(self, text: str) -> None:
            notes.append(text)

    notes: list[str] = []
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    (result,) = build(build_request, Notes())
    assert result.bundle is not None
    assert any("--trust-source" in note for note in notes)
    is_refused(result.bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model / "variables" / "variables.data-00000-of-00001",
        lambda model: model / "assets" / "words.txt",
        lambda model: model / "saved_model.pb",
        lambda model: model / "keras_metadata.pb",
    ],
    ids=["weights", "asset", "graph", "new file"],
)
def test_hash_covers_the_whole_saved_model(
    change: Callable[[Path], Path], detector_model: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(detector_model, tmp_path / detector_model.name)
    (model / "assets").mkdir(exist_ok=True)
    (model / "assets" / "words.txt").write_text("a")
    before = tree_sha256(model)
    with change(model).open("ab") as file:
        file.write(b"x")
    assert tree_sha256(model) != before


def test_debug_and_bench_state_why_the_model_is_not_run(foreign: Bundle, images: Path) -> None:
    from tests.cli.in_process import fails, run, succeeds

    bench = ("bench", foreign.folder, "--duration", "0.05")
    text = succeeds(*bench)
    assert "no baseline" in text
    assert "--trust-source" in text
    done = run(*bench, "--fail-on", "speedup<0.01")
    fails(done, 2, "speedup requires the model", "--trust-source")
    text = succeeds(*bench, "--trust-source", "--fail-on", "speedup<0.0001")
    assert "no baseline" not in text
    debug = ("debug", foreign.folder, "--data", images)
    assert "--trust-source" in succeeds(*debug)
    assert "--trust-source" not in succeeds(*debug, "--trust-source")


def test_engine_of_an_untrusted_bundle_runs(foreign: Bundle) -> None:
    with Engine.from_bundle(foreign) as engine:
        assert engine.runner().run(np.zeros((1, 3, 32, 32), np.float32)).shape[0] == 1
