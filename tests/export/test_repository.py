"""Triton model repositories: their files and configurations, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from ocr_trt.common.input_size import InputSize
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.bundle import file_entries, load_bundle, write_manifest
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.openvino.library import import_openvino
from ocr_trt.errors import OutputError, SpecError, UserError
from ocr_trt.export.export_settings import ExportSettings
from ocr_trt.export.model_config import check_config, config_text
from ocr_trt.export.repository import export_triton
from tests.conftest import BuiltBundle

Config = dict[str, Any]


def exported(
    folder: Path, detector: Path | None, recognizer: Path, **settings: Any
) -> dict[str, Config]:
    """Export two bundles; return the parsed configuration of each model."""
    bundles = [None if path is None else load_bundle(path) for path in (detector, recognizer)]
    assert bundles[1] is not None
    export_triton(bundles[0], bundles[1], folder, ExportSettings(**settings))
    return {path.parent.name: parsed(path) for path in folder.glob("*/config.pbtxt")}


def parsed(path: Path) -> Config:
    message = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def as_target(bundle: Path, folder: Path, target: str, **changes: Any) -> Path:
    """Copy a bundle and let its manifest state another target; plans are what they were."""
    shutil.copytree(bundle, folder)
    manifest = load_bundle(folder).manifest
    engines = []
    for entry in manifest.engines:
        plan = Path(entry.plan).with_suffix(".plan").name
        (folder / plan).write_bytes((folder / entry.plan).read_bytes())
        engines.append(entry.model_copy(update={"plan": plan}))
    for path in [*folder.glob("*.xml"), *folder.glob("*.bin")]:
        path.unlink()
    update = {"target": target, "engines": tuple(engines), "files": file_entries(folder), **changes}
    write_manifest(folder, manifest.model_copy(update=update))
    return folder


def files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_openvino_bundles(tmp_path: Path, detector_bundle: Path, recognizer_bundle: Path) -> None:
    configs = exported(tmp_path / "repo", detector_bundle, recognizer_bundle)
    assert configs.keys() == {
        "ocr", "ocr_detector_64x96", "ocr_recognizer_32x32", "ocr_recognizer_32x64",
    }  # fmt: skip
    expected = {"export.json", "ocr/config.pbtxt", "ocr/warmup/image"}
    expected |= {"ocr/1/model.py", "ocr/1/pipeline.json"}
    for bundle in (detector_bundle, recognizer_bundle):
        manifest = load_bundle(bundle).manifest
        for entry in manifest.engines:
            model = f"ocr_{manifest.spec.role}_{entry.size}"
            weights = Path(entry.plan).with_suffix(".bin").name
            expected |= {f"{model}/1/{entry.plan}", f"{model}/1/{weights}", f"{model}/config.pbtxt"}
            if manifest.spec.role == "recognizer":
                expected.add(f"{model}/labels.txt")
            config = configs[model]
            assert config["backend"] == "openvino"
            assert config["default_model_filename"] == entry.plan
    assert set(files_below(tmp_path / "repo")) == expected
    detector, recognizer = configs["ocr_detector_64x96"], configs["ocr_recognizer_32x64"]
    # A fixed batch is a part of the shape, and Triton does not batch.
    assert "max_batch_size" not in detector
    assert detector["input"][0]["dims"] == ["1", "3", "64", "96"]
    assert "dynamic_batching" not in detector
    assert recognizer["max_batch_size"] == 4
    assert recognizer["input"][0]["dims"] == ["1", "32", "64"]
    assert recognizer["dynamic_batching"] == {"max_queue_delay_microseconds": "500"}
    assert recognizer["parameters"]["ENABLE_BATCH_PADDING"] == {"string_value": "YES"}
    assert [each["batch_size"] for each in recognizer["model_warmup"]] == [1, 4]
    assert recognizer["output"][0]["label_filename"] == "labels.txt"
    for config in configs.values():
        assert config["instance_group"] == [{"count": 1, "kind": "KIND_CPU"}]
        assert config["version_policy"] == {"latest": {"num_versions": 2}}
        assert config["model_warmup"]


def test_openvino_without_padding(
    tmp_path: Path, detector_bundle: Path, recognizer_bundle: Path
) -> None:
    configs = exported(tmp_path / "repo", detector_bundle, recognizer_bundle, pads=False)
    config = configs["ocr_recognizer_32x64"]
    assert "max_batch_size" not in config
    assert config["input"][0]["dims"] == ["-1", "1", "32", "64"]
    assert "ENABLE_BATCH_PADDING" not in config["parameters"]
    warm_ups = [each["inputs"]["image"]["dims"][0] for each in config["model_warmup"]]
    assert warm_ups == ["1", "4"]
    assert [each["batch_size"] for each in config["model_warmup"]] == [1, 1]
    text = (tmp_path / "repo" / "ocr" / "1" / "pipeline.json").read_text()
    assert [m["max_batch"] for m in json.loads(text)["recognizer"]["models"]] == [4, 4]


def test_onnxruntime_bundles(tmp_path: Path, built_bundle: BuiltBundle) -> None:
    recognizer = built_bundle("recognizer", "fp32", "onnxruntime")
    configs = exported(tmp_path / "repo", None, recognizer, max_batch=2, instances=3)
    assert configs.keys() == {"ocr", "ocr_recognizer_32x32", "ocr_recognizer_32x64"}
    config = configs["ocr_recognizer_32x32"]
    assert config["backend"] == "onnxruntime"
    assert config["max_batch_size"] == 2
    assert config["instance_group"] == [{"count": 3, "kind": "KIND_CPU"}]
    assert config["default_model_filename"].endswith(".onnx")
    assert (
        tmp_path / "repo" / "ocr_recognizer_32x32" / "1" / config["default_model_filename"]
    ).exists()


def test_tensorrt_bundles(tmp_path: Path, detector_bundle: Path, recognizer_bundle: Path) -> None:
    bundles = [
        as_target(path, tmp_path / path.name, "tensorrt")
        for path in (detector_bundle, recognizer_bundle)
    ]
    configs = exported(tmp_path / "repo", *bundles)
    detector, recognizer = configs["ocr_detector_64x96"], configs["ocr_recognizer_32x64"]
    assert detector["platform"] == recognizer["platform"] == "tensorrt_plan"
    assert detector["default_model_filename"].endswith(".plan")
    assert detector["instance_group"] == [{"count": 1, "kind": "KIND_GPU"}]
    (group,) = recognizer["instance_group"]
    assert group["profile"] == ["0", "1"]  # single images, and larger batches
    graphs = recognizer["optimization"]["cuda"]
    assert graphs["graphs"] is True
    assert [each["batch_size"] for each in graphs["graph_spec"]] == [1, 4]
    assert [each["input"]["image"]["dim"] for each in graphs["graph_spec"]] == [
        ["1", "32", "64"]
    ] * 2
    (graph,) = detector["optimization"]["cuda"]["graph_spec"]
    assert graph == {"input": {"image": {"dim": ["1", "3", "64", "96"]}}}


@pytest.mark.parametrize("max_batch", [1, 2, 4])
def test_the_largest_batch_limits_the_requests_of_the_pipeline(
    max_batch: int, tmp_path: Path, readable_at_any_width: Path, recognizer_bundle: Path
) -> None:
    """Also of plans that Triton does not batch: OpenVINO's with a free width or without padding."""
    settings = ExportSettings(max_batch=max_batch, pads=False)
    for number, path in enumerate((readable_at_any_width, recognizer_bundle)):
        folder, bundle = tmp_path / str(number), load_bundle(path)
        done = export_triton(None, bundle, folder, settings)
        pipeline = json.loads((folder / "ocr" / "1" / "pipeline.json").read_text())
        models = pipeline["recognizer"]["models"]
        assert [each["max_batch"] for each in models] == [max_batch] * len(models)
        is_batched = any(each["is_batched"] for each in models)
        limit = f"--max-batch {max_batch} only limits how many images the pipeline sends at once"
        assert any(limit in note for note in done.notes) is not is_batched


def test_a_batch_larger_than_the_bundles_accept_is_refused(
    tmp_path: Path, detector_bundle: Path, recognizer_bundle: Path
) -> None:
    detector, recognizer = load_bundle(detector_bundle), load_bundle(recognizer_bundle)
    with pytest.raises(UserError, match=r"batch is 5, but 4 images .*enter 4 or less"):
        export_triton(detector, recognizer, tmp_path / "repo", ExportSettings(max_batch=5))
    assert not (tmp_path / "repo").exists()
    export_triton(detector, recognizer, tmp_path / "repo", ExportSettings(max_batch=4))


def test_a_plan_of_all_widths_is_one_model(tmp_path: Path, readable_at_any_width: Path) -> None:
    configs = exported(tmp_path / "repo", None, readable_at_any_width)
    assert configs.keys() == {"ocr", "ocr_recognizer_32xany"}
    config = configs["ocr_recognizer_32xany"]
    shapes = [each["inputs"]["image"]["dims"] for each in config["model_warmup"]]
    if config["backend"] == "openvino":
        # Its backend cannot pad batches of images whose width is free.
        assert "max_batch_size" not in config
        assert "dynamic_batching" not in config
        assert "ENABLE_BATCH_PADDING" not in config["parameters"]
        assert config["input"][0]["dims"] == ["-1", "1", "32", "-1"]
        assert shapes == [["1", "1", "32", "64"], ["1", "1", "32", "192"]]
    else:
        assert config["max_batch_size"] == 4
        assert config["input"][0]["dims"] == ["1", "32", "-1"]
        assert shapes == [["1", "32", "64"]] * 2 + [["1", "32", "192"]] * 2
        assert [each["batch_size"] for each in config["model_warmup"]] == [1, 4, 1, 4]
    text = (tmp_path / "repo" / "ocr_recognizer_32xany" / "config.pbtxt").read_text()
    assert "1x32xany; any of 32x64, 32x96, 32x128, 32x160, 32x192" in text
    pipeline = json.loads((tmp_path / "repo" / "ocr" / "1" / "pipeline.json").read_text())
    (model,) = pipeline["recognizer"]["models"]
    assert model["input"]["shape"] == [-1, 1, 32, -1]


@pytest.mark.parametrize(
    ("target", "settings", "facts"),
    [
        ("tensorrt-rtx", {}, ("no backend for TensorRT-RTX", "--target tensorrt")),
        ("tensorrt", {"plugins": True}, ("plugins", "build the bundle again without it")),
        ("tensorrt", {"options": {"strip": True}}, ("strip", "no weights")),
    ],
)
def test_plans_that_triton_cannot_load_are_refused(
    target: str,
    settings: dict[str, Any],
    facts: tuple[str, ...],
    tmp_path: Path,
    detector_bundle: Path,
    recognizer_bundle: Path,
) -> None:
    bundle = as_target(detector_bundle, tmp_path / "bundle", target, settings=settings)
    with pytest.raises(UserError) as error:
        exported(tmp_path / "repo", bundle, recognizer_bundle)
    assert all(fact in str(error.value) for fact in (str(bundle), *facts))
    assert not (tmp_path / "repo").exists()


def test_wrong_roles_are_refused(
    tmp_path: Path, detector_bundle: Path, recognizer_bundle: Path
) -> None:
    with pytest.raises(SpecError, match="is a recognizer, expected a detector"):
        exported(tmp_path / "repo", recognizer_bundle, detector_bundle)


def test_labels_are_the_classes(tmp_path: Path, recognizer_bundle: Path) -> None:
    exported(tmp_path / "repo", None, recognizer_bundle)
    text = (tmp_path / "repo" / "ocr_recognizer_32x64" / "labels.txt").read_text()
    spec = load_bundle(recognizer_bundle).spec
    assert text.split("\n") == ["", *spec.charset, ""]  # the blank is class 0


def test_a_field_that_triton_does_not_have_is_refused() -> None:
    good = config_text({"name": "a", "max_batch_size": 4}, ["a comment"])
    assert good.startswith("# a comment\n")
    check_config(good)
    with pytest.raises(UserError, match="max_batch_sise"):
        config_text({"name": "a", "max_batch_sise": 4})
    with pytest.raises(UserError, match=r"line 2:.*max_batch_sise"):
        check_config("# a comment\nmax_batch_sise: 4")
    with pytest.raises(UserError, match="KIND_TPU"):
        config_text({"name": "a", "instance_group": [{"kind": "KIND_TPU"}]})


@pytest.mark.parametrize("name", ["", "../ocr", "a/b", ".hidden", "-a", "a" * 65, "ü"])
def test_names_that_are_no_folder_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="letter or digit"):
        ExportSettings(name=name)


def test_names_and_versions(tmp_path: Path, recognizer_bundle: Path) -> None:
    configs = exported(tmp_path / "repo", None, recognizer_bundle, name="receipts", version=7)
    assert all(re.fullmatch(r"receipts(_recognizer_32x\d+)?", name) for name in configs)
    assert (tmp_path / "repo" / "receipts" / "7" / "model.py").exists()
    assert list((tmp_path / "repo" / "receipts_recognizer_32x64" / "7").glob("plan_*.xml"))


def test_a_repository_is_written_whole_or_not_at_all(
    tmp_path: Path,
    detector_bundle: Path,
    recognizer_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = tmp_path / "repo"
    exported(repository, None, recognizer_bundle)
    before = files_below(repository)
    (repository / "ocr" / "1" / "__pycache__").mkdir()  # by a server that has run it
    (repository / "ocr" / "1" / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"")
    exported(repository, detector_bundle, recognizer_bundle)  # replaces it
    after = files_below(repository)
    assert set(before) < set(after)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ocr_trt.export.repository.shutil.copyfile", fail)
    with pytest.raises(OutputError, match="disk is full"):
        exported(repository, None, recognizer_bundle)
    assert files_below(repository) == after
    assert [path.name for path in tmp_path.iterdir()] == ["repo"]


def test_files_of_others_are_not_replaced(tmp_path: Path, recognizer_bundle: Path) -> None:
    repository = tmp_path / "repo"
    exported(repository, None, recognizer_bundle)
    (repository / "other_model").mkdir()
    (repository / "other_model" / "config.pbtxt").write_text("")
    with pytest.raises(OutputError, match=r"config\.pbtxt.*did not write"):
        exported(repository, None, recognizer_bundle)
    # An index from elsewhere cannot name files of the user.
    index = json.loads((repository / "export.json").read_text())
    index["files"] += ["other_model/notes.txt"]
    (repository / "export.json").write_text(json.dumps(index))
    (repository / "other_model" / "config.pbtxt").rename(repository / "other_model" / "notes.txt")
    with pytest.raises(OutputError, match=r"notes\.txt.*did not write"):
        exported(repository, None, recognizer_bundle)


def test_an_openvino_plan_loads_as_tritons_backend_loads_it(
    tmp_path: Path, recognizer_bundle: Path, rng: np.random.Generator
) -> None:
    """The steps of openvino_backend's ``ValidateConfigureModel``, with padding of the batch."""
    ov = import_openvino()
    repository = tmp_path / "repo"
    exported(repository, None, recognizer_bundle)
    config = parsed(repository / "ocr_recognizer_32x64" / "config.pbtxt")
    plan = repository / "ocr_recognizer_32x64" / "1" / config["default_model_filename"]
    (entry,), (result,) = config["input"], config["output"]
    model = ov.Core().read_model(plan)
    prepared = ov.preprocess.PrePostProcessor(model)
    prepared.input(entry["name"]).tensor().set_element_type(ov.Type.f32)
    prepared.input(entry["name"]).tensor().set_layout(ov.Layout("N..."))
    model = prepared.build()
    assert list(model.output(result["name"]).partial_shape)[1:] == [int(d) for d in result["dims"]]
    ov.set_batch(model, config["max_batch_size"])
    properties = {name: each["string_value"] for name, each in config["parameters"].items()}
    assert properties.pop("ENABLE_BATCH_PADDING") == "YES"
    compiled = ov.Core().compile_model(model, "CPU", properties)
    images = np.zeros((4, 1, 32, 64), np.float32)  # three images, and one of padding
    images[:3] = rng.standard_normal((3, 1, 32, 64))
    output = compiled({entry["name"]: images})[result["name"]][:3]
    with Engine.from_bundle(load_bundle(recognizer_bundle)) as engine:
        expected = engine.runner(InputSize(32, 64)).run(images[:3])
    # Without the hint, OpenVINO may compute float layers in bf16.
    np.testing.assert_allclose(output, expected, atol=0.05 * np.abs(expected).max())


def test_a_plan_of_all_widths_loads_as_tritons_backends_load_it(
    tmp_path: Path, readable_at_any_width: Path
) -> None:
    """OpenVINO's and onnxruntime's backends compare shapes, and -1 must be -1 on both sides."""
    config = exported(tmp_path / "repo", None, readable_at_any_width)["ocr_recognizer_32xany"]
    plan = tmp_path / "repo" / "ocr_recognizer_32xany" / "1" / config["default_model_filename"]
    (entry,), (result,) = config["input"], config["output"]
    batch = [-1] if "max_batch_size" in config else []  # Triton adds the batch
    dims = [[*batch, *map(int, port["dims"])] for port in (entry, result)]
    images = np.full((3, 1, 32, 96), 255, np.float32)
    if config["backend"] == "openvino":
        ov = import_openvino()
        prepared = ov.preprocess.PrePostProcessor(ov.Core().read_model(plan))
        prepared.input(entry["name"]).tensor().set_element_type(ov.Type.f32)
        model = prepared.build()
        own = [list(port.partial_shape) for port in (model.input(), model.output())]
        assert [[-1 if d.is_dynamic else d.get_length() for d in each] for each in own] == dims
        properties = {name: each["string_value"] for name, each in config["parameters"].items()}
        request = ov.Core().compile_model(model, "CPU", properties).create_infer_request()
        request.set_tensor(entry["name"], ov.Tensor(images))
        request.infer()
        output = request.get_tensor(result["name"]).data
    else:
        session = onnx_session(str(plan))
        own = [session.get_inputs()[0].shape, session.get_outputs()[0].shape]
        assert [[d if isinstance(d, int) else -1 for d in each] for each in own] == dims
        (output,) = session.run([result["name"]], {entry["name"]: images})
    with Engine.from_bundle(load_bundle(readable_at_any_width)) as engine:
        expected = engine.runner(InputSize(32, 96)).run(images)
    np.testing.assert_allclose(output, expected, atol=0.05 * np.abs(expected).max())


def test_an_onnxruntime_plan_has_the_names_and_shapes_of_its_configuration(
    tmp_path: Path, built_bundle: BuiltBundle
) -> None:
    repository = tmp_path / "repo"
    exported(repository, None, built_bundle("recognizer", "fp32", "onnxruntime"))
    config = parsed(repository / "ocr_recognizer_32x64" / "config.pbtxt")
    plan = repository / "ocr_recognizer_32x64" / "1" / config["default_model_filename"]
    session = onnx_session(str(plan))
    pairs = (config["input"], session.get_inputs()), (config["output"], session.get_outputs())
    for ports, values in pairs:
        assert [port["name"] for port in ports] == [value.name for value in values]
        for port, value in zip(ports, values, strict=True):
            assert [int(size) for size in port["dims"]] == value.shape[1:]  # Triton adds the batch
            assert isinstance(value.shape[0], str)  # and requires that it is free
