"""Builds that reuse a cached bundle, and everything that prevents it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import onnx
import onnx.parser
import pytest

from ocr_trt.builder import BuildRequest, build, cache_key, write
from ocr_trt.builder.cache_key import cache_keys, why_not_cached
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common import cpu
from ocr_trt.engines.base import Availability, BuildSettings
from ocr_trt.engines.build_cache import BuildCache
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.openvino import backend as openvino
from ocr_trt.engines.target_groups import TargetGroup
from ocr_trt.engines.targets import backend
from ocr_trt.errors import BudgetError
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import dump_spec, load_spec
from tests.builder.small_build import write_model


def without_times(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the files of a bundle, without latencies.

    OpenVINO numbers layers that have no name, and goes on counting within a process.
    """
    manifest = load_bundle(folder).manifest.model_dump(mode="json")
    assert manifest["verdict"].pop("latency")
    files = {name: (folder / name).read_bytes() for name in manifest["files"]}
    del manifest["files"]["plan_32.xml"]
    files["plan_32.xml"] = re.sub(rb'(name="\w+)_\d+"', rb'\1"', files["plan_32.xml"])
    return manifest, files


def test_cached_bundle_equals_a_new_build(build_request: BuildRequest, tmp_path: Path) -> None:
    (first,) = build(build_request)
    assert first.measured is None
    elsewhere = replace(build_request, output=tmp_path / "deep" / "other")
    (cached,) = build(elsewhere)
    assert cached.measured is not None
    assert cached.bundle is not None
    copied, timed = without_times(cached.folder), cached.bundle.manifest.verdict
    assert load_bundle(cached.folder).manifest == cached.bundle.manifest
    assert load_spec(cached.folder / "spec.yaml").source.path.samefile(
        build_request.spec.source.path
    )
    (fresh,) = build(replace(elsewhere, cache=None))
    assert fresh.measured is None
    assert without_times(fresh.folder) == copied
    assert first.bundle is not None
    assert timed == first.bundle.manifest.verdict


def test_copies_are_not_links(build_request: BuildRequest, build_cache: BuildCache) -> None:
    (first,) = build(build_request)
    (entry,) = build_cache.bundles()
    for file in entry.bundle.manifest.files:
        assert entry.bundle.path(file).stat().st_nlink == 1
        assert not (first.folder / file).is_symlink()


def test_only_missing_targets_are_built(build_request: BuildRequest) -> None:
    build(build_request)
    results = build(replace(build_request, targets=("onnxruntime", "openvino")))
    assert [result.target for result in results] == ["onnxruntime", "openvino"]
    assert [result.measured is None for result in results] == [True, False]


def test_comparison_of_targets_is_cached(build_request: BuildRequest, tmp_path: Path) -> None:
    request = replace(build_request, targets=("auto",))
    (first,) = build(request)
    (cached,) = build(replace(request, output=tmp_path / "other"))
    assert first.measured is None
    assert cached.measured is not None
    assert first.bundle is not None
    assert cached.bundle is not None
    assert cached.folder == tmp_path / "other" / "m-auto-int8"
    assert cached.target == first.target
    assert cached.bundle.manifest.compared_targets == first.bundle.manifest.compared_targets
    # A build for one target is another build.
    (named,) = build(replace(request, targets=(first.target,)))
    assert named.measured is None
    assert named.bundle is not None
    assert named.bundle.manifest.compared_targets == ()


def test_key_of_a_comparison_depends_on_each_target(
    build_request: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = TargetGroup(name="auto", members=(backend("onnxruntime"), backend("openvino")))
    before = cache_keys(build_request, [group])["auto"]
    assert cache_keys(build_request, [group])["auto"] == before
    other = Availability(can_build=True, can_run=True, version="1")
    for member in group.members:
        with monkeypatch.context() as patch:
            patch.setattr(type(member), "availability", lambda _: other)
            assert cache_keys(build_request, [group])["auto"] != before


def key(request: BuildRequest, target: str = "openvino") -> str:
    return cache_keys(request, [TargetGroup(name=target, members=(backend(target),))])[target]


def reloaded(request: BuildRequest, **change: Any) -> BuildRequest:
    """Return the request, with its folders read again."""
    assert request.calibration is not None
    folder, spec = request.calibration.dataset.folder, change.pop("spec", request.spec)
    return replace(
        request,
        spec=spec,
        calibration=load_calibration(folder, spec),
        samples=load_dataset(folder),
        **change,
    )


def other_model(request: BuildRequest) -> BuildRequest:
    write_model(request.spec.source.path, seed=1)
    return request


def other_image(request: BuildRequest) -> BuildRequest:
    assert request.calibration is not None
    path = request.calibration.dataset.folder / "1.png"
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    return reloaded(request)


def other_label(request: BuildRequest) -> BuildRequest:
    assert request.samples is not None
    path = request.samples.folder / "labels.json"
    path.write_text(path.read_text().replace("word1", "word9"))
    return reloaded(request)


def with_spec(**change: Any) -> Callable[[BuildRequest], BuildRequest]:
    return lambda request: reloaded(request, spec=request.spec.model_copy(update=change))


def with_ranges(text: str) -> Callable[[BuildRequest], BuildRequest]:
    def change(request: BuildRequest) -> BuildRequest:
        path = request.output.parent / "ranges.json"
        path.write_text(text)
        return replace(request, ranges=path)

    return change


def fewer(request: BuildRequest) -> BuildRequest:
    assert request.calibration is not None
    return replace(request, calibration=replace(request.calibration, limit=2))


def with_settings(**change: Any) -> Callable[[BuildRequest], BuildRequest]:
    return lambda request: replace(request, settings=BuildSettings(**change))


def renamed(request: BuildRequest) -> BuildRequest:
    """A file with another suffix may be read as another format."""
    path = request.spec.source.path.rename(request.spec.source.path.with_suffix(".model"))
    source = request.spec.source.model_copy(update={"path": path, "format": "onnx"})
    return reloaded(request, spec=request.spec.model_copy(update={"source": source}))


CHANGES: dict[str, Callable[[BuildRequest], BuildRequest]] = {
    "model": other_model,
    "file name": renamed,
    "name": with_spec(name="n"),
    "boxes": lambda r: with_spec(boxes=r.spec.boxes.model_copy(update={"threshold": 0.4}))(r),
    "budget": lambda r: with_spec(accuracy=r.spec.accuracy.model_copy(update={"max_loss": 99.0}))(
        r
    ),
    "image": other_image,
    "label": other_label,
    "number of images": fewer,
    "no samples": lambda r: replace(r, samples=None),
    "precision": lambda r: replace(r, precision="best"),
    "method": lambda r: replace(r, method="minmax"),
    "corrections": lambda r: replace(r, corrections=("bias",)),
    "everywhere": lambda r: replace(r, everywhere=True),
    "ranges": with_ranges("{}"),
    "other ranges": with_ranges("{} "),
    "batch": with_settings(max_batch=2),
    "GPUs": with_settings(options={"compute-capability": "8.6"}),
    "plugins": with_settings(options={"plugins": "yes"}),
    "timing": lambda r: replace(r, latency=LatencySettings()),
}


def test_every_input_is_part_of_the_key(
    build_request: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"as it was": key(build_request), "other target": key(build_request, "onnxruntime")}
    missed = []
    for name, change in CHANGES.items():
        write_model(tmp_path / "m.onnx")
        before = key(reloaded(build_request))  # some changes stay on disk
        keys[name] = key(change(reloaded(build_request)))
        missed += [name] if keys[name] == before else []
    write_model(tmp_path / "m.onnx")
    assert missed == []
    (tmp_path / "x-1.0.dist-info").mkdir()
    (tmp_path / "keras.json").write_text('{"floatx": "float16"}')
    surroundings: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
        "variable": lambda m: m.setenv("TF_ENABLE_ONEDNN_OPTS", "0"),
        "package": lambda m: m.syspath_prepend(str(tmp_path)),
        "keras": lambda m: m.setenv("KERAS_HOME", str(tmp_path)),
        "processor": lambda m: m.setattr(cache_key, "cpu_features", lambda: "flags : avx512"),
        "int8 sums": lambda m: m.setattr(
            openvino, "has_exact_int8", lambda: not cpu.has_exact_int8()
        ),
        "cores": lambda m: m.setattr(os, "sched_getaffinity", lambda _: {*range(99)}),
        "code": lambda m: m.setattr(cache_key, "code_sha256", lambda: "0"),
    }
    for name, patch in surroundings.items():
        with monkeypatch.context() as context:
            patch(context)
            keys[name] = key(reloaded(build_request))
    alike = [name for name in keys if list(keys.values()).count(keys[name]) > 1]
    assert alike == []


def test_key_depends_on_contents_not_on_paths(
    build_request: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(build_request)
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / "m.onnx"
    (tmp_path / "m.onnx").rename(moved)
    source = build_request.spec.source.model_copy(update={"path": moved})
    spec = build_request.spec.model_copy(update={"source": source})
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")  # set by ourselves, when TensorFlow is imported
    assert key(reloaded(build_request, spec=spec, output=tmp_path / "elsewhere")) == before


def test_weights_beside_an_onnx_file_are_part_of_the_key(
    build_request: BuildRequest, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    before = key(build_request)
    data = bytearray((tmp_path / "w.bin").read_bytes())
    data[0] ^= 1
    (tmp_path / "w.bin").write_bytes(data)
    assert key(build_request) != before


def test_code_is_hashed_but_not_tests(tmp_path: Path) -> None:
    for name in ("__init__.py", "a/__init__.py", "a/page.jinja", "tests/__init__.py", "b/x.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    first = cache_key.code_sha256(tmp_path)
    (tmp_path / "tests" / "__init__.py").write_text("2")
    (tmp_path / "b" / "x.py").write_text("2")  # not a package
    assert cache_key.code_sha256(tmp_path) == first
    (tmp_path / "a" / "page.jinja").write_text("2")
    assert cache_key.code_sha256(tmp_path) != first


def own_code(request: BuildRequest) -> BuildRequest:
    source = request.spec.source.model_copy(update={"custom": ("layers:Mine",)})
    return replace(request, spec=request.spec.model_copy(update={"source": source}))


def lambdas(request: BuildRequest) -> BuildRequest:
    source = request.spec.source.model_copy(update={"allow_lambda": True})
    return replace(request, spec=request.spec.model_copy(update={"source": source}))


def linked_model(request: BuildRequest) -> BuildRequest:
    path = request.spec.source.path
    link = path.with_name("link.onnx")
    link.symlink_to(path)
    source = request.spec.source.model_copy(update={"path": link})
    return replace(request, spec=request.spec.model_copy(update={"source": source}))


def linked_folder(request: BuildRequest) -> BuildRequest:
    assert request.samples is not None
    (request.samples.folder / "more").symlink_to(request.output.parent)
    return request


def new_ranges(request: BuildRequest) -> BuildRequest:
    return replace(request, ranges=request.output / "ranges.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (own_code, "its own Python code"),
        (lambdas, "its own Python code"),
        (linked_model, r"link\.onnx is a link"),
        (renamed, r"does not end in \.onnx"),
        (linked_folder, "more is a link to a folder"),
        (new_ranges, r"this build writes .*ranges\.json"),
    ],
)
def test_what_cannot_be_hashed_is_not_cached(
    change: Callable[[BuildRequest], BuildRequest], reason: str, build_request: BuildRequest
) -> None:
    assert why_not_cached(build_request, backend("openvino")) is None
    why = why_not_cached(change(build_request), backend("openvino"))
    assert why is not None
    assert re.search(reason, why)


def test_builder_that_times_kernels_is_not_cached(build_request: BuildRequest) -> None:
    assert why_not_cached(build_request, backend("tensorrt-rtx")) is None
    why = why_not_cached(build_request, backend("tensorrt"))
    assert why == "tensorrt chooses kernels by timing them"


def test_build_over_budget_is_not_kept(
    build_request: BuildRequest, build_cache: BuildCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BudgetError("loses too much")

    monkeypatch.setattr("ocr_trt.builder.judge.check_budget", refuse)
    assert isinstance(build(build_request)[0].error, BudgetError)
    assert build_cache.entries() == []


def test_model_that_changed_during_the_build_is_not_kept(
    build_request: BuildRequest, build_cache: BuildCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = write.write_manifest

    def write_and_change(*arguments: Any) -> None:
        original(*arguments)
        write_model(build_request.spec.source.path, seed=1)

    monkeypatch.setattr(write, "write_manifest", write_and_change)
    assert build(build_request)[0].bundle is not None
    assert build_cache.entries() == []


@pytest.mark.parametrize("name", ["plan_32.bin", "manifest.json", "spec.yaml"])
def test_damaged_entry_is_dropped_and_built_again(
    name: str, build_request: BuildRequest, build_cache: BuildCache
) -> None:
    build(build_request)
    (entry,) = build_cache.bundles()
    path = entry.bundle.path(name)
    path.write_bytes(path.read_bytes().replace(b"1", b"2").replace(b"\0", b"\1"))
    (again,) = build(build_request)
    assert again.measured is None
    assert again.bundle is not None
    assert build(build_request)[0].measured is not None


def test_cache_that_cannot_be_written_does_not_stop_a_build(
    build_request: BuildRequest, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = BuildCache(folder=tmp_path / "file" / "cache", max_bytes=1 << 30)
    assert build(replace(build_request, cache=cache))[0].bundle is not None


CHILD = """
import sys
from pathlib import Path
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.engines.build_cache import BuildCache
from ocr_trt.builder import BuildRequest, build
from tests.builder.small_build import write_model
from ocr_trt.spec import load_spec
root = Path(sys.argv[1])
(result,) = build(BuildRequest(
    spec=load_spec(root / "m.yaml"), targets=("onnxruntime",), precision="fp32",
    output=root / sys.argv[2], latency=LatencySettings(warm_up_ms=1, duration_s=0.01, iterations=3),
    cache=BuildCache(folder=root / "cache", max_bytes=1 << 30)))
assert result.error is None, result.error
"""


def test_two_processes_build_the_same_at_once(build_request: BuildRequest, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(dump_spec(build_request.spec))
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), name], stderr=subprocess.PIPE)
        for name in ("one", "two")
    ]
    for child in children:
        assert child.wait(240) == 0, child.stderr and child.stderr.read().decode()
    cache = BuildCache(folder=tmp_path / "cache", max_bytes=1 << 30)
    (entry,) = cache.entries()
    assert [path.name for path in cache.folder.iterdir()] == [entry.key]
    for name in ("one", "two"):
        load_bundle(tmp_path / name / "m-onnxruntime-fp32")
