"""The pipeline and the stand-ins in a simulated Triton server."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ocr_trt import open_reader
from ocr_trt.builder import build
from ocr_trt.common.input_size import InputSize
from ocr_trt.common.json_files import read_model
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.errors import InputFileError, TargetMissingError
from ocr_trt.export.bls import OtherModels, bls_engine
from ocr_trt.export.check_numpy import check_numpy
from ocr_trt.export.export_settings import ExportSettings
from ocr_trt.export.pipeline_file import LARGEST, PipelineFile, PipelineParameters
from ocr_trt.export.repository import export_triton
from tests.builder.small_build import fp32_request
from tests.builder.test_classifier_build import draft, write_classifier
from tests.export.test_repository import as_target, exported
from tests.export.triton_stand_in import Request, Response, StandInServer, Tensor, TritonError
from tests.readable_models import TEXTS


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, readable: tuple[Path, Path]) -> Path:
    folder = tmp_path_factory.mktemp("export") / "repo"
    exported(folder, *readable, is_stand_in=True)
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[StandInServer]:
    with StandInServer(repository) as server:
        yield server


def content_of(data: bytes) -> Tensor:
    return Tensor("image", np.array([data], np.object_))


def arrays(response: Response) -> dict[str, np.ndarray]:
    assert not response.has_error(), response.error().message()
    return {tensor.name(): tensor.as_numpy() for tensor in response.tensors}


def test_the_pipeline_reads_what_a_reader_reads(
    server: StandInServer, readable: tuple[Path, Path], workplace: Path
) -> None:
    files = [workplace / "receipt.png", *sorted((workplace / "images").iterdir())]
    with ThreadPoolExecutor(3) as pool:  # several at once, as Triton's instances do
        answers = pool.map(lambda f: server.infer("ocr", [content_of(f.read_bytes())]), files)
        results = [arrays(answer) for answer in answers]
    with open_reader(*readable) as reader:
        expected = [reader.read(file) for file in files]
    assert [len(result.lines) for result in expected] == [2, 2, 1]
    for result, read in zip(results, expected, strict=True):
        assert [text.decode() for text in result["texts"]] == [each.text for each in read.lines]
        for line, quad in zip(read.lines, result["quads"], strict=True):
            np.testing.assert_array_equal(quad, line.quad)
        scores = [line.text_score for line in read.lines]
        np.testing.assert_allclose(result["text_scores"], scores, rtol=1e-5)
        assert result["size"].tolist() == [read.width, read.height]
        assert result["pages"].tolist() == [1]


def test_an_image_without_text(server: StandInServer) -> None:
    import cv2

    blank = cv2.imencode(".png", np.full((8, 8, 3), 255, np.uint8))[1].tobytes()
    result = arrays(server.infer("ocr", [content_of(blank)]))
    assert result["quads"].shape == (len(result["texts"]), 4, 2)


@pytest.mark.parametrize(
    ("data", "page", "fact"),
    [
        (b"", 1, "empty"),
        (b"nonsense", 1, "known format"),
        (b"/etc/passwd", 1, "known format"),  # never opened
        (b"http://localhost/image.png", 1, "known format"),
        (None, 2, "no page 2"),
    ],
)
def test_wrong_inputs_are_errors_of_the_client(
    data: bytes | None, page: int, fact: str, server: StandInServer, shared_images: Path
) -> None:
    data = (shared_images / "0.png").read_bytes() if data is None else data
    tensors = [content_of(data), Tensor("page", np.array([page], np.int32))]
    response = server.infer("ocr", tensors)
    assert response.error().code == TritonError.INVALID_ARG
    assert fact in response.error().message()
    good = server.infer("ocr", [content_of((shared_images / "0.png").read_bytes())])
    assert not good.has_error()


def test_a_cancelled_request_is_not_read(server: StandInServer, shared_images: Path) -> None:
    tensor = content_of((shared_images / "0.png").read_bytes())
    response = server.infer("ocr", [tensor], is_cancelled=True)
    assert response.error().code == TritonError.CANCELLED


def test_the_warm_up_calls_no_model(repository: Path) -> None:
    sample = (repository / "ocr" / "warmup" / "image").read_bytes()
    assert int.from_bytes(sample[:4], "little") == len(sample) - 4
    with StandInServer(repository) as starting:
        starting.is_starting = True
        result = arrays(starting.infer("ocr", [content_of(sample[4:])]))
        starting.is_starting = False
        again = arrays(starting.infer("ocr", [content_of(sample[4:])]))
    assert result["size"].tolist() == again["size"].tolist() == [320, 96]
    # Only the first request is a warm-up: later the image is really read.
    assert len(result["texts"]) != len(again["texts"])


def test_a_model_that_is_not_ready_is_named(
    readable: tuple[Path, Path], shared_images: Path, tmp_path: Path
) -> None:
    parameters = PipelineParameters(wait_seconds=0.2)
    settings = {"is_stand_in": True, "parameters": parameters}
    exported(tmp_path / "repo", *readable, **settings)
    with StandInServer(tmp_path / "repo") as server:
        server.not_ready.add("ocr_detector_96x160")
        response = server.infer("ocr", [content_of((shared_images / "0.png").read_bytes())])
    assert response.error().code == TritonError.INTERNAL
    assert "ocr_detector_96x160" in response.error().message()
    assert "not ready after 0.2 s" in response.error().message()


def test_a_pipeline_of_single_lines(
    readable: tuple[Path, Path], workplace: Path, tmp_path: Path
) -> None:
    exported(tmp_path / "repo", None, readable[1], is_stand_in=True)
    data = (workplace / "receipt.png").read_bytes()
    with StandInServer(tmp_path / "repo") as server:
        result = arrays(server.infer("ocr", [content_of(data)]))
    with open_reader(None, readable[1]) as reader:
        expected = reader.read(data)
    assert [text.decode() for text in result["texts"]] == [line.text for line in expected.lines]
    assert expected.lines


def test_a_pipeline_with_a_plan_of_all_widths(
    readable: tuple[Path, Path], readable_at_any_width: Path, workplace: Path, tmp_path: Path
) -> None:
    bundles = readable[0], readable_at_any_width
    exported(tmp_path / "repo", *bundles, is_stand_in=True)
    files = [workplace / "receipt.png", *sorted((workplace / "images").iterdir())]
    with StandInServer(tmp_path / "repo") as server:
        with ThreadPoolExecutor(3) as pool:
            answers = pool.map(lambda f: server.infer("ocr", [content_of(f.read_bytes())]), files)
            texts = [[text.decode() for text in arrays(each)["texts"]] for each in answers]
        sent = {shape[3] for shape in server.shapes["ocr_recognizer_32xany"]}
        wrong = [Tensor("image", np.zeros((1, 1, 32, 100), np.float32))]
        message = server.infer("ocr_recognizer_32xany", wrong).error().message()
    with open_reader(*bundles) as reader:
        assert texts == [[line.text for line in reader.read(file).lines] for file in files]
    assert texts[0] == list(TEXTS)
    assert sent
    assert sent <= {64, 96, 128, 160, 192}
    assert "32x96" in message
    assert "32x100" in message


def test_requests_of_a_model_without_batching_are_small(
    readable: tuple[Path, Path], readable_at_any_width: Path, tmp_path: Path
) -> None:
    exported(tmp_path / "repo", None, readable_at_any_width, is_stand_in=True)
    path = tmp_path / "repo" / "ocr" / "1" / "pipeline.json"
    remote = read_model(path, PipelineFile, limit=LARGEST).recognizer
    with StandInServer(tmp_path / "repo") as server:
        models = OtherModels(server.module(), 1, 1)
        with bls_engine(remote, models, streams=1) as engine:
            runner = engine.runner(InputSize(32, 96))
            first = runner.good_batch
            runner.run(np.zeros((1, 1, 32, 96), np.float32))
    # 24 steps of 96 classes: a batch of 4 fits the caches, which is known after a first image.
    assert (first, runner.good_batch) == ((4, 4) if remote.models[0].is_batched else (1, 4))
    with pytest.raises(InputFileError, match=r"48x96.*export the bundles again"):
        remote.model_for(InputSize(48, 96))


def test_a_pipeline_with_a_classifier(
    readable: tuple[Path, Path], workplace: Path, tmp_path: Path
) -> None:
    spec = draft(write_classifier(tmp_path / "turn.onnx"))
    (built,) = build(fp32_request(spec, tmp_path / "bundles"))
    assert built.error is None
    bundles = [load_bundle(path) for path in (*readable, built.folder)]
    settings = ExportSettings(is_stand_in=True)
    exported = export_triton(*bundles[:2], tmp_path / "repo", settings, classifier=bundles[2])
    assert exported.models[-1].startswith("ocr_classifier_")
    data = (workplace / "receipt.png").read_bytes()
    with StandInServer(tmp_path / "repo") as server:
        result = arrays(server.infer("ocr", [content_of(data)]))
    with open_reader(*readable, classifier=built.folder) as reader:
        expected = reader.read(data)
    assert [text.decode() for text in result["texts"]] == [line.text for line in expected.lines]
    quads = np.array([line.quad for line in expected.lines])
    np.testing.assert_array_equal(result["quads"], quads)


def test_a_stand_in_runs_several_requests_as_one_batch(
    server: StandInServer, rng: np.random.Generator
) -> None:
    model = "ocr_recognizer_32x192"
    batches = [rng.standard_normal((n, 1, 32, 192)).astype(np.float32) for n in (1, 2, 1)]
    together = server.infer_together(model, [Request([Tensor("image", b)]) for b in batches])
    for batch, response in zip(batches, together, strict=True):
        (result,) = arrays(response).values()
        (alone,) = arrays(server.infer(model, [Tensor("image", batch)])).values()
        assert len(result) == len(batch)
        np.testing.assert_allclose(result, alone, atol=1e-4)


def test_a_stand_in_of_a_tensorrt_plan_runs_its_graph(
    readable: tuple[Path, Path], workplace: Path, tmp_path: Path
) -> None:
    bundles = [as_target(path, tmp_path / path.name, "tensorrt") for path in readable]
    exported(tmp_path / "repo", *bundles, is_stand_in=True)
    with StandInServer(tmp_path / "repo") as server:
        data = (workplace / "receipt.png").read_bytes()
        result = arrays(server.infer("ocr", [content_of(data)]))
    assert [text.decode() for text in result["texts"]] == list(TEXTS)
    assert not list((tmp_path / "repo").rglob("*.plan"))


@pytest.mark.parametrize(
    ("name", "value", "facts"),
    [("workers", "0", ("workers", "greater than or equal to 1")), ("tile", "on", ("tile",))],
)
def test_wrong_parameters_are_named(
    name: str, value: str, facts: tuple[str, ...], repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository, tmp_path / "repo")
    path = tmp_path / "repo" / "ocr" / "config.pbtxt"
    path.write_text(
        re.sub(r'parameters \{\s+key: "workers".*?\}\s+\}', "", path.read_text(), flags=re.S)
        + f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}\n'
        # Names in capitals belong to Triton.
        'parameters { key: "FORCE_CPU_ONLY_INPUT_TENSORS" value { string_value: "yes" } }\n'
    )
    with pytest.raises(InputFileError) as error:
        StandInServer(tmp_path / "repo")
    assert all(fact in str(error.value) for fact in ("config.pbtxt", *facts))


def test_another_version_of_ocr_trt_is_logged(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "repo")
    path = tmp_path / "repo" / "ocr" / "1" / "pipeline.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ocr_trt": "0.0.1"}))
    with StandInServer(tmp_path / "repo") as server:
        (warning,) = server.log
    assert "0.0.1" in warning


def test_a_python_backend_that_garbles_arrays_is_refused() -> None:
    class Garbled(Tensor):
        @staticmethod
        def from_dlpack(name: str, capsule: Any) -> Tensor:
            return Tensor(name, np.zeros_like(capsule))  # as built for NumPy 1, with NumPy 2

    check_numpy(SimpleNamespace(Tensor=Tensor))
    with pytest.raises(TargetMissingError, match=r"NumPy.*numpy<2.*24\.12"):
        check_numpy(SimpleNamespace(Tensor=Garbled))
