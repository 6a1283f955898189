"""The cases of ``fuzz.py``: files, how they are damaged, and the function that reads them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_model_cases
import fuzz_onnx_cases
import fuzz_page_cases
import numpy as np
from fuzz_damage import damaged, edited_text, edited_tree, with_checksums
from PIL import Image as PilImage

from ocr_trt.engines.bundle import file_entries, load_bundle, own_files, write_manifest
from ocr_trt.engines.bundle_diff import facts
from ocr_trt.engines.manifest import NAME, Manifest
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.images.limits import MAX_PIXELS, SMALLEST_SIDE
from ocr_trt.spec import dump_spec, load_spec, spec_from_dict

Case = Callable[[np.random.Generator], None]
"""Damages a file and reads it. Raises the reader's error, or AssertionError for a wrong result."""


def _images() -> list[bytes]:
    """Return small images in all formats, of many modes and codings."""
    rng = np.random.default_rng(0)
    color = PilImage.fromarray(rng.integers(0, 256, (20, 28, 3), np.uint8))
    alpha = PilImage.fromarray(rng.integers(0, 256, (20, 28, 4), np.uint8))
    deep = PilImage.fromarray(rng.integers(0, 65536, (20, 28), np.uint16))
    real = PilImage.fromarray(rng.random((20, 28), np.float32))
    exif = PilImage.Exif()
    exif[0x0112] = 6
    rows: list[tuple[PilImage.Image, dict[str, Any]]] = [
        *((color.convert(mode), {"format": "PNG"}) for mode in ("RGB", "L", "P", "1")),
        *((alpha.convert(mode), {"format": "PNG"}) for mode in ("RGBA", "LA")),
        (color.convert("P"), {"format": "PNG", "transparency": 3}),
        (deep, {"format": "PNG"}),
        *((color.convert(mode), {"format": "JPEG"}) for mode in ("RGB", "L", "CMYK")),
        (color, {"format": "JPEG", "progressive": True, "exif": exif}),
        *((color.convert(mode), {"format": "BMP"}) for mode in ("RGB", "L", "P", "1")),
        (alpha, {"format": "BMP"}),
        *((color, {"format": "TIFF", "compression": c}) for c in ("raw", "tiff_lzw", "jpeg")),
        *(
            (color, {"format": "TIFF", "compression": c})
            for c in ("tiff_adobe_deflate", "packbits")
        ),
        (color.convert("1"), {"format": "TIFF", "compression": "group4"}),
        *((image, {"format": "TIFF"}) for image in (deep, real, alpha, color.convert("CMYK"))),
        (color, {"format": "TIFF", "save_all": True, "append_images": [color], "exif": exif}),
        (color, {"format": "WEBP"}),
        (alpha, {"format": "WEBP", "lossless": True}),
        (color, {"format": "WEBP", "save_all": True, "append_images": [alpha], "exif": exif}),
    ]
    images = []
    for image, options in rows:
        file = io.BytesIO()
        image.save(file, **options)
        images.append(file.getvalue())
    return images


def images(folder: Path) -> Case:
    """Images, through ``load_image``."""
    images, path = _images(), folder / "image"

    def case(rng: np.random.Generator) -> None:
        data = damaged(images[rng.integers(len(images))], rng, images)
        if rng.random() < 0.7:
            data = with_checksums(data) if data.startswith(b"\x89PNG") else data
        path.write_bytes(data)
        found = load_image(path)
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.shape[2] == 3
        assert min(found.shape[:2]) >= SMALLEST_SIDE
        assert found.shape[0] * found.shape[1] <= MAX_PIXELS
        assert found.flags.c_contiguous

    return case


_RECOGNIZER: dict[str, Any] = {
    "name": "rec", "role": "recognizer", "source": {"path": "m.keras", "custom": ["layers:Mine"]},
    "input": {"name": "image", "shape": [1, 32, 320, 1], "color": "GRAY", "pad": 255},
    "output": {"name": "y", "layout": "TNC", "kind": "probabilities"},
    "charset": "ab\u00e9 \u4e00\"'#:", "buckets": [64, 160],
}  # fmt: skip


def specs(folder: Path) -> Case:
    """Spec files; an accepted spec must survive writing and reading."""
    texts = [dump_spec(spec_from_dict(spec)) for spec in (fuzz_onnx_cases.DETECTOR, _RECOGNIZER)]
    raw = [text.encode() for text in texts]
    path = folder / "spec.yaml"

    def case(rng: np.random.Generator) -> None:
        which = int(rng.integers(2))
        if rng.random() < 0.7:
            path.write_text(edited_text(texts[which], rng), "utf-8", errors="surrogatepass")
        else:
            path.write_bytes(damaged(raw[which], rng, raw))
        spec = load_spec(path)
        assert spec.input_sizes
        path.write_text(dump_spec(spec), "utf-8")
        again = load_spec(path)
        assert again == spec.model_copy(update={"source": again.source})

    return case


def _bundle(folder: Path, target: str, plan: bytes, suffix: str) -> dict[str, Any]:
    """Write a bundle with one plan; return its manifest as JSON data."""
    folder.mkdir()
    (folder / "model_32.onnx").write_bytes(plan)
    (folder / f"plan_32{suffix}").write_bytes(plan)
    manifest: dict[str, Any] = {
        "spec": fuzz_onnx_cases.DETECTOR, "target": target, "precision": "fp32",
        "source_sha256": "0" * 64,
        "versions": {"ocr-trt": "0"}, "settings": {"compute_capabilities": ["8.6"]},
        "engines": [
            {"height": 32, "width": 32, "model": "model_32.onnx", "plan": f"plan_32{suffix}"}
        ],
        "int8_share": 0.5, "precision_exceptions": {"y": "why"},
        "calibration": {
            "method": "mse", "images": 3, "data_sha256": "0" * 64, "ranges": {"x": 1.0},
        },
        "verdict": {
            "baseline": "b", "max_difference": 0.1, "latency": {"engine": 1.0, "baseline": 2.0},
            "metric": {"name": "hmean", "engine": 0.9, "baseline": 0.9, "samples": 3,
                       "labeled": True, "engine_run_by": "openvino"},
        },
        "files": {},
    }  # fmt: skip
    _write(folder, manifest)
    return json.loads((folder / NAME).read_text("utf-8"))


def _write(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest with the current hashes of the files."""
    whole = Manifest.model_validate({**manifest, "files": file_entries(folder)})
    write_manifest(folder, whole)


def manifests(folder: Path) -> Case:
    """Bundles: in most cases the manifest is damaged, in some a file."""
    bundle = folder / "bundle"
    tree = _bundle(bundle, "onnxruntime", b"plan" * 9, ".onnx")
    good = json.dumps(tree).encode()

    def case(rng: np.random.Generator) -> None:
        plan = bundle / "plan_32.onnx"
        plan.write_bytes(b"plan" * 9)
        data, chance = good, rng.random()
        if chance < 0.7:
            text = json.dumps(edited_tree(json.loads(good), rng), ensure_ascii=False)
            data = text.encode("utf-8", "surrogatepass")
        elif chance < 0.9:
            data = damaged(good, rng, [good])
        else:
            plan.write_bytes(damaged(b"plan" * 9, rng, [good]))
        (bundle / NAME).write_bytes(data)
        own_files(bundle)
        found = load_bundle(bundle)
        assert plan.read_bytes() == b"plan" * 9
        assert found.label
        assert found.spec.input_sizes
        assert not found.spec.source.custom
        assert facts(found.manifest)
        for entry in found.manifest.engines:
            assert found.path(entry.plan).resolve().is_relative_to(bundle.resolve())

    return case


def plans(folder: Path) -> Case:
    """Damaged plans with matching hashes, through the runtimes that load them."""
    from ocr_trt.engines.base import BuildSettings
    from ocr_trt.engines.engine import Engine
    from ocr_trt.engines.targets import backend

    good, bundles = fuzz_onnx_cases.small_model(), []
    for target in ("onnxruntime", "openvino"):
        plan = folder / f"plan{backend(target).suffix}"
        backend(target).build(good, plan, BuildSettings())
        bundle = folder / target
        tree = _bundle(bundle, target, plan.read_bytes(), backend(target).suffix)
        weights = plan.with_suffix(".bin")
        if weights.exists():
            (bundle / "plan_32.bin").write_bytes(weights.read_bytes())
        bundles.append((bundle, tree, f"plan_32{backend(target).suffix}", plan.read_bytes()))

    def case(rng: np.random.Generator) -> None:
        bundle, tree, name, data = bundles[rng.integers(2)]
        (bundle / name).write_bytes(damaged(data, rng, [data]))
        _write(bundle, tree)
        with Engine.from_bundle(load_bundle(bundle), threads=1) as engine:
            engine.runner()

    return case


CASES: dict[str, Callable[[Path], Case]] = {
    "images": images,
    "specs": specs,
    "manifests": manifests,
    "plans": plans,
    **fuzz_model_cases.CASES,
    **fuzz_onnx_cases.CASES,
    **fuzz_page_cases.CASES,
}
