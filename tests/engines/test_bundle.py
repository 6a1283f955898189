from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from ocr_trt.common.files import whole_folder
from ocr_trt.engines.bundle import (
    Bundle,
    file_entries,
    file_entry,
    load_bundle,
    own_files,
    tree_sha256,
    write_manifest,
)
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.manifest import NAME, EngineEntry, Manifest, OcrMetric, read_manifest
from ocr_trt.errors import InputFileError, OutputError
from ocr_trt.spec import spec_from_dict

SPEC = spec_from_dict(
    {
        "name": "det", "role": "detector", "source": {"path": "model"}, "output": {"name": "y"},
        "input": {"name": "x", "shape": [1, 32, 32, 3]},
    }
)  # fmt: skip


def make_bundle(folder: Path) -> Path:
    with whole_folder(folder, own_files) as scratch:
        (scratch / "model_32.onnx").write_bytes(b"model")
        (scratch / "plan_32.xml").write_bytes(b"plan")
        entry = EngineEntry(height=32, width=32, model="model_32.onnx", plan="plan_32.xml")
        manifest = Manifest(
            spec=SPEC,
            target="openvino",
            precision="int8",
            source_sha256="0" * 64,
            versions={},
            engines=(entry,),
            files=file_entries(scratch),
        )
        write_manifest(scratch, manifest)
    return folder


def edit(folder: Path, change: dict[str, Any]) -> None:
    data = json.loads((folder / NAME).read_text())
    data.update(change)
    (folder / NAME).write_text(json.dumps(data))


def load_bundle_with(folder: Path, **change: Any) -> Bundle:
    """Load a bundle whose manifest was changed, and lists the files as they are."""
    (folder / "plan_32.xml").unlink(missing_ok=True)
    files = {
        path.name: file_entry(path).model_dump()
        for path in folder.iterdir()
        if path.name != NAME and not path.is_symlink()
    }
    edit(folder, {"files": files, "precision": "fp32", **change})
    links = [path for path in folder.iterdir() if path.is_symlink()]
    targets = [path.readlink() for path in links]
    for path in links:  # loading refuses them; an attacker could add them later
        path.unlink()
    bundle = load_bundle(folder)
    for path, target in zip(links, targets, strict=True):
        path.symlink_to(target)
    return bundle


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_written_bundle_is_read_unchanged(tmp_path: Path) -> None:
    bundle = load_bundle(make_bundle(tmp_path / "b"))
    assert bundle.spec.source.path == tmp_path / "b" / "model"
    assert bundle.manifest.spec == SPEC
    assert bundle.label == "det openvino int8"
    assert bundle.path(bundle.manifest.engines[0].plan).read_bytes() == b"plan"
    assert leftovers(tmp_path) == []


def test_bundle_replaces_an_older_one(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    make_bundle(tmp_path / "b")
    assert leftovers(tmp_path) == []


def test_own_files_are_those_of_the_manifest(tmp_path: Path) -> None:
    assert own_files(tmp_path / "b") == set()
    make_bundle(tmp_path / "b")
    assert own_files(tmp_path / "b") == {NAME, "model_32.onnx", "plan_32.xml"}
    (tmp_path / "b" / NAME).write_text("{}")
    assert own_files(tmp_path / "b") == set()


def test_bundle_cannot_allow_itself_to_run_code(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    spec = json.loads((folder / NAME).read_text())["spec"]
    spec["source"]["allow_lambda"] = True
    edit(folder, {"spec": spec})
    assert not load_bundle(folder).spec.source.allow_lambda


@pytest.mark.parametrize("name", ["plan_32.bin", "deep/notes.txt"])
def test_file_that_was_added_is_refused(tmp_path: Path, name: str) -> None:
    folder = make_bundle(tmp_path / "b")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    with pytest.raises(InputFileError, match=f"'{name.partition('/')[0]}' is not listed"):
        load_bundle(folder)


def test_linked_folder_is_refused(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "plan_32.xml").write_bytes(b"plan")
    (folder / "sub").symlink_to(tmp_path / "outside")
    files = json.loads((folder / NAME).read_text())["files"]
    edit(folder, {"files": {**files, "sub/plan_32.xml": files["plan_32.xml"]}})
    with pytest.raises(InputFileError, match="sub"):
        load_bundle(folder)


def test_engines_must_be_those_of_the_spec(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    engine = {"height": 32, "width": 64, "model": "model_32.onnx", "plan": "plan_32.xml"}
    edit(folder, {"engines": [engine]})
    with pytest.raises(InputFileError, match=r"32x64.*spec.*32x32"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["model_32.onnx", "plan_32.xml"])
@pytest.mark.parametrize("how", ["changed", "truncated", "missing", "a link"])
def test_tampered_file_is_refused(tmp_path: Path, name: str, how: str) -> None:
    folder = make_bundle(tmp_path / "b")
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if how == "changed":
        path.write_bytes(content[::-1])
    elif how == "truncated":
        path.write_bytes(content[:2])
    elif how == "a link":
        (tmp_path / "same").write_bytes(content)
        path.symlink_to(tmp_path / "same")
    with pytest.raises(InputFileError, match=name):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "..\\b", ""])
def test_paths_outside_the_bundle_are_refused(tmp_path: Path, name: str) -> None:
    folder = make_bundle(tmp_path / "b")
    engine = {"height": 32, "width": 32, "model": "model_32.onnx", "plan": name}
    files = json.loads((folder / NAME).read_text())["files"]
    edit(folder, {"engines": [engine], "files": {**files, name: files["plan_32.xml"]}})
    with pytest.raises(InputFileError, match="outside the bundle"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 1}, "schema_version is 1, expected 2"),
        ({"engines": []}, "engines"),
        ({"target": 3}, "target"),
        ({"precision": "int4"}, "precision"),
        ({"surprise": True}, "surprise"),
        ({"files": {}}, "not listed in its manifest"),
        ({"spec": {}}, "spec"),
    ],
)
def test_forged_manifest_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = make_bundle(tmp_path / "b")
    edit(folder, change)
    with pytest.raises(InputFileError, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_damaged_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = make_bundle(tmp_path / "b")
    (folder / NAME).write_bytes(content)
    with pytest.raises(InputFileError, match=NAME):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "there is no such folder; `ocr-trt build`"),
        ("file", "it is a file; name the folder"),
        ("empty", "it contains no manifest.json"),
        (".", r"it contains bundles; .* such as .*/b$"),
    ],
)
def test_error_states_why_a_path_is_not_a_bundle(name: str, message: str, tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match=f"not an engine bundle: {message}"):
        load_bundle(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "engine", "baseline", "loss"),
    [("hmean", 0.90, 0.92, 2.0), ("hmean", 0.95, 0.92, -3.0), ("cer", 0.05, 0.03, 2.0)],
)
def test_loss_is_in_points_and_positive_if_worse(
    name: Any, engine: float, baseline: float, loss: float
) -> None:
    metric = OcrMetric(
        name=name, engine=engine, baseline=baseline, samples=1, labeled=True, engine_run_by="x"
    )
    assert metric.loss == pytest.approx(loss)


def test_tree_hash_depends_on_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = tree_sha256(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = tree_sha256(tmp_path / "a")
    (tmp_path / "a" / "y").write_text("2")
    assert len({first, second, tree_sha256(tmp_path / "a")}) == 3


def test_hash_of_a_checkpoint_covers_its_weights(tmp_path: Path) -> None:
    for name in ("model.ckpt.meta", "model.ckpt.index", "model.ckpt.data-00000-of-00001"):
        (tmp_path / name).write_text(name)
    (tmp_path / "other").write_text("x")
    first = tree_sha256(tmp_path / "model.ckpt.meta")
    (tmp_path / "other").write_text("y")
    assert tree_sha256(tmp_path / "model.ckpt.meta") == first
    (tmp_path / "model.ckpt.data-00000-of-00001").write_text("trained on")
    assert tree_sha256(tmp_path / "model.ckpt.meta") != first


def test_bundle_that_is_replaced_while_it_is_read_is_whole(tmp_path: Path) -> None:
    folder, stop, wrong = make_bundle(tmp_path / "b"), threading.Event(), list[str]()

    def read() -> None:
        while not stop.is_set():
            try:
                load_bundle(folder)
            except Exception as error:
                wrong.append(repr(error))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(30):
        make_bundle(folder)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_plan_that_changed_after_loading_is_not_opened(tmp_path: Path) -> None:
    bundle = load_bundle(make_bundle(tmp_path / "b"))
    (tmp_path / "b" / "plan_32.xml").write_bytes(b"PLAN")
    with Engine.from_bundle(bundle) as engine:
        with pytest.raises(InputFileError, match=r"plan_32\.xml differs in size or SHA-256"):
            engine.runner()


@pytest.mark.parametrize("is_listed", [True, False])
def test_linked_folder_is_refused_even_if_no_file_in_it_is_named(
    tmp_path: Path, is_listed: bool
) -> None:
    folder = make_bundle(tmp_path / "b")
    (tmp_path / "outside").mkdir()
    (folder / "sub").symlink_to(tmp_path / "outside")
    if is_listed:
        files = json.loads((folder / NAME).read_text())["files"]
        edit(folder, {"files": {**files, "sub": {"bytes": 0, "sha256": "0" * 64}}})
    with pytest.raises(InputFileError, match="sub"):
        load_bundle(folder)


def test_forged_manifest_does_not_let_a_build_remove_a_file(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    (folder / "thesis.txt").write_text("mine")
    files = json.loads((folder / NAME).read_text())["files"]
    edit(folder, {"files": {**files, "thesis.txt": files["plan_32.xml"]}})
    with pytest.raises(InputFileError, match=r"thesis\.txt"):
        load_bundle(folder)
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        make_bundle(folder)
    assert (folder / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "sub/weights", ".", "link"])
@pytest.mark.parametrize("name", ["model_32.onnx", "plan_32.onnx"])
def test_weights_outside_the_bundle_are_not_read(tmp_path: Path, name: str, place: str) -> None:
    folder = make_bundle(tmp_path / "b")
    (tmp_path / "secret").write_bytes(b"\0" * 8)
    if place == "link":
        (folder / "link").symlink_to(tmp_path / "secret")
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 20]>
        g (float[1,3,32,32] x) => (float[1,3,32,32] y) <float[2] w = {1, 2}> { y = Relu (x) }""")
    for file in ("model_32.onnx", "plan_32.onnx"):
        onnx.save(model, folder / file)
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    (folder / name).write_bytes(model.SerializeToString())
    entry = {"height": 32, "width": 32, "model": "model_32.onnx", "plan": "plan_32.onnx"}
    bundle = load_bundle_with(folder, target="onnxruntime", engines=[entry])
    with Engine.from_bundle(bundle) as engine:
        with pytest.raises(InputFileError, match="expected a file beside the model"):
            engine.runner()


def test_plan_in_the_format_of_another_target_is_not_opened(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    (folder / "plan_32.xml").rename(folder / "plan_32.onnx")
    entry = {"height": 32, "width": 32, "model": "model_32.onnx", "plan": "plan_32.onnx"}
    with Engine.from_bundle(load_bundle_with(folder, engines=[entry])) as engine:
        with pytest.raises(InputFileError, match=r"suffix \.xml of openvino"):
            engine.runner()
