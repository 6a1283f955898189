"""Plans that fit their manifest and not their spec: one clear error, never a wrong result."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import onnx.parser
import pytest

from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.bundle import file_entries, write_manifest
from ocr_trt.engines.manifest import EngineEntry, read_manifest
from ocr_trt.engines.targets import backend
from tests.cli.in_process import Done, fails, run

HEAD = '<ir_version: 8, opset_import: ["" : 17]> g '
IMAGE = "float[1,3,32,32] image"
DETECTORS = {
    "no output": f"({IMAGE}) => () {{ a = Relu (image) }}",
    "scalar": f"({IMAGE}) => (float map) {{ map = ReduceMax <keepdims = 0> (image) }}",
    "one axis": f"({IMAGE}) => (float[1] map) <int64[3] a = {{1, 2, 3}}> "
    "{ map = ReduceMax <axes = [1, 2, 3], keepdims = 0> (image) }",
    "five axes": f"({IMAGE}) => (float[1,1,3,32,32] map) <int64[1] a = {{0}}> "
    "{ map = Unsqueeze (image, a) }",
    "two inputs": f"({IMAGE}, {IMAGE.replace('image', 'b')}) => (float[1,3,32,32] map) "
    "{ map = Add (image, b) }",
    "no input": "() => (float[1,1,1,1] map) <float[1,1,1,1] a = {0.5}> { map = Identity (a) }",
    "input of two axes": "(float[1,3] image) => (float[1,3] map) { map = Relu (image) }",
    "input of float64": "(double[1,3,32,32] image) => (double[1,3,32,32] map) "
    "{ map = Relu (image) }",
    "input of uint8": "(uint8[1,3,32,32] image) => (float[1,3,32,32] map) "
    "{ map = Cast <to = 1> (image) }",
    "float64": f"({IMAGE}) => (double[1,3,32,32] map) {{ map = Cast <to = 11> (image) }}",
    "int8": f"({IMAGE}) => (int8[1,3,32,32] map) {{ map = Cast <to = 3> (image) }}",
    "bool": f"({IMAGE}) => (bool[1,3,32,32] map) {{ map = Cast <to = 9> (image) }}",
    "strings": f"({IMAGE}) => (string[1,3,32,32] map) {{ map = Cast <to = 8> (image) }}",
    "sequence": f"({IMAGE}) => (seq(float[1,3,32,32]) map) {{ map = SequenceConstruct (image) }}",
    "empty": f"({IMAGE}) => (float[1,1,0,32] map) <int64[1] a = {{0}}, int64[1] z = {{2}}> "
    "{ map = Slice (image, a, a, z) }",
    "two images": f"({IMAGE}) => (float[2,3,32,32] map) "
    "{ map = Concat <axis = 0> (image, image) }",
    "no images": f"({IMAGE}) => (float[0,3,32,32] map) <int64[1] a = {{0}}> "
    "{ map = Slice (image, a, a, a) }",
    "odd map": f"({IMAGE}) => (float[1,3,20,32] map) <int64[1] a = {{0}}, int64[1] b = {{20}}, "
    "int64[1] z = {2}> { map = Slice (image, a, b, z) }",
    "no channel": f"({IMAGE}) => (float[1,0,32,32] map) <int64[1] a = {{0}}, int64[1] z = {{1}}> "
    "{ map = Slice (image, a, a, z) }",
}


LARGE_MAP = f"({IMAGE}) => (float[1,3,64,64] map) {{ map = Pad (image, p) }}"
LINE = "float[N,1,32,W] image"
RECOGNIZERS = {
    "classes": f"({LINE}) => (float[N,W,32] y) <int64[1] a = {{1}}> "
    "{ b = Squeeze (image, a) y = Transpose <perm = [0, 2, 1]> (b) }",
    "four axes": f"({LINE}) => (float[N,1,32,W] y) {{ y = Relu (image) }}",
    "time first": f"({LINE}) => (float[W,N,32] y) <int64[1] a = {{1}}> "
    "{ b = Squeeze (image, a) y = Transpose <perm = [2, 0, 1]> (b) }",
    "int64": f"({LINE}) => (int64[N,1,32] y) {{ y = ArgMax <axis = 3, keepdims = 0> (image) }}",
}


def crafted(bundle: Path, folder: Path, target: str, text: str) -> Path:
    """Copy a bundle, with another target and another plan."""
    out = folder / "crafted"
    shutil.copytree(bundle, out)
    manifest = read_manifest(out)
    suffix = backend(target).suffix
    model = onnx.parser.parse_model(HEAD + text)
    if "(image, p)" in text:
        model.graph.initializer.append(onnx.helper.make_tensor("p", 7, [8], [0] * 6 + [32, 32]))
    entries = []
    for entry in manifest.engines:
        plan = out / f"plan_{entry.width}{suffix}"
        for old in out.glob(f"plan_{entry.width}.*"):
            old.unlink()
        backend(target).build(model, plan, BuildSettings())
        entries.append(
            EngineEntry(height=entry.height, width=entry.width, model=entry.model, plan=plan.name)
        )
    update = {"engines": tuple(entries), "files": file_entries(out), "target": target}
    write_manifest(out, manifest.model_copy(update=update))
    return out


def wrong(done: Done) -> str:
    """Return what is wrong with the answer of a command that must fail, or ""."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    if done.code not in (2, 3) or len(errors) != 1 or "internal error" in done.stderr:
        return f"exit code {done.code}: {done.stdout} {done.stderr}"
    return ""


def answers(
    name: str,
    target: str,
    places: tuple[str, ...],
    bundles: dict[str, Path],
    images: Path,
    out: Path,
) -> dict[str, str]:
    """Return what is wrong, by command."""
    is_detector = name in DETECTORS
    role = "detector" if is_detector else "recognizer"
    text = DETECTORS[name] if is_detector else RECOGNIZERS[name]
    bundle = crafted(bundles[role], out, target, text)
    engines = {**bundles, role: bundle}
    lines: dict[str, tuple[object, ...]] = {
        "run": ("run", images, *(w for r, b in engines.items() for w in (f"--{r}", b))),
        "bench": ("bench", bundle, "--duration", "0.01", "--data", images),
        "debug": ("debug", bundle, "--data", images),
        "optimize": ("optimize", bundle),
    }
    found = {place: wrong(run(*lines[place], cwd=out)) for place in places}
    return {place: text for place, text in found.items() if text}


REFUSED = [("openvino", "sequence")]
"""What the target's own reader refuses, so that no such plan exists."""
TARGETS = ("onnxruntime", "openvino")
CASES = [
    (target, name)
    for target in TARGETS
    for name in (*DETECTORS, *RECOGNIZERS)
    if (target, name) not in REFUSED
]


@pytest.mark.parametrize(("target", "name"), CASES)
def test_run_refuses(
    target: str, name: str, bundles: dict[str, Path], shared_images: Path, tmp_path: Path
) -> None:
    assert answers(name, target, ("run",), bundles, shared_images, tmp_path) == {}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["scalar", "classes"])
def test_other_commands_refuse(
    target: str, name: str, bundles: dict[str, Path], shared_images: Path, tmp_path: Path
) -> None:
    places = ("bench", "debug", "optimize")
    assert answers(name, target, places, bundles, shared_images, tmp_path) == {}


@pytest.mark.full
@pytest.mark.parametrize(("target", "name"), CASES)
def test_all_commands_refuse(
    target: str, name: str, bundles: dict[str, Path], shared_images: Path, tmp_path: Path
) -> None:
    places = ("bench", "debug", "optimize")
    assert answers(name, target, places, bundles, shared_images, tmp_path) == {}


@pytest.mark.parametrize("target", TARGETS)
def test_maps_larger_than_the_input_are_read(
    target: str, bundles: dict[str, Path], shared_images: Path, tmp_path: Path
) -> None:
    bundle = crafted(bundles["detector"], tmp_path, target, LARGE_MAP)
    engines = ("--detector", bundle, "--recognizer", bundles["recognizer"])
    done = run("run", shared_images / "0.png", *engines, cwd=tmp_path)
    assert done.code == 0, done.stderr
    # The plan is not the bundle's graph: debug cannot compare them.
    fails(run("debug", bundle, "--data", shared_images, cwd=tmp_path), 2, "shapes differ")
