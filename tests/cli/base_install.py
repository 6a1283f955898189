"""Run every command without the packages of the extras; print the exit code and error of each.

    python tests/cli/base_install.py FOLDER WORK [--hide]

FOLDER contains the specs ``detector.yaml`` and ``recognizer.yaml``, the bundles ``det`` and
``rec``, and ``images``; WORK is an empty folder. ``--hide`` makes the packages of the extras
impossible to import; without it, this runs in an environment that does not have them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

EXTRAS = (
    *("tensorflow", "keras", "h5py", "onnxscript", "tf2onnx", "ai_edge_litert", "polygraphy"),
    *("tensorrt", "tensorrt_rtx", "tensorrt_bindings", "cuda", "pycuda", "tritonclient"),
    *("fastapi", "starlette", "uvicorn", "prometheus_client", "python_multipart"),
)


def hide() -> None:
    """Let Python find no package of the extras."""
    find = PathFinder.find_spec

    def find_others(name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.split(".")[0] in EXTRAS else find(name, path, target)

    PathFinder.find_spec = find_others  # type: ignore[method-assign]


def write_sources(folder: Path) -> list[Path]:
    """Write a file of each TensorFlow format; only their names and first bytes are right."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        config = {"class_name": "Functional", "config": {"layers": []}}
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
    contents = {"h5": b"\x89HDF\r\n\x1a\n", "pb": b"", "meta": b"", "tflite": b"TFL3"}
    for suffix, data in contents.items():
        (folder / f"m.{suffix}").write_bytes(data)
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"")
    return sorted(folder.iterdir())


def lines(folder: Path, sources: list[Path]) -> Iterator[tuple[object, ...]]:
    """Yield the command lines."""
    detector, recognizer, images = folder / "det", folder / "rec", folder / "images"
    spec, fast = folder / "detector.yaml", ("--duration", "0.01")
    for source in sources:
        yield "init", source, "--role", "detector", "--output", "s.yaml"
        yield "inspect", source
    yield "inspect", spec
    yield "inspect", spec, "--verify"
    yield "inspect", spec, "--calibration", images
    for target in ("openvino", "onnxruntime", "tensorrt", "tensorrt-rtx"):
        yield "build", spec, "--target", target, "--precision", "fp32", *fast
    yield "bench", detector, recognizer, "--data", images, *fast
    yield "bench", detector, "--competitors", *fast
    yield "run", images / "0.png", "--detector", detector, "--recognizer", recognizer
    yield "export", "triton", "--lines", "--recognizer", recognizer, "--output", "models"
    yield "serve", "--detector", detector, "--recognizer", recognizer
    yield "debug", detector, "--data", images
    yield "optimize", folder / "recognizer.yaml", "--data", images, "--max-widths", "1"
    for action in ("show", "verify", "layers"):
        yield "bundle", action, detector
    yield "bundle", "diff", detector, recognizer
    yield "cache", "show"
    yield ("doctor",)
    yield "schema", "spec"
    yield "demo", "--output", "demo"
    yield "train", "detector", "--output", "run"
    yield "plugins", "list"
    yield "plugins", "compile"


def main() -> None:
    from ocr_trt.cli.app import run_program

    folder, work = Path(sys.argv[1]), Path(sys.argv[2])
    if "--hide" in sys.argv:
        hide()
    sources = write_sources(work / "sources")
    os.chdir(work)
    for line in lines(folder, sources):
        errors = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            code = run_program([str(word) for word in line])
        words = [Path(str(word)).name for word in line]
        print(json.dumps({"line": " ".join(words), "code": code, "errors": errors.getvalue()}))


if __name__ == "__main__":
    main()
