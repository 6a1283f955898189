"""Fixtures shared by all tests: small models, specs, images and bundles.

Created once per session, and only to be read: `detector_model`, `recognizer_model`,
`detector_spec`, `recognizer_spec`, `shared_images`, `built_bundle`, `detector_bundle` and
`recognizer_bundle`. A test that changes images uses `images`; one that changes a bundle copies it
with ``shutil.copytree``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import settings

from ocr_trt.engines.build_cache import BuildCache
from ocr_trt.engines.openvino.library import import_openvino
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict

settings.register_profile("seeded", derandomize=True)  # the same examples in every run
settings.load_profile("seeded")


@pytest.fixture(scope="session", autouse=True)
def _no_build_cache() -> Iterator[None]:
    """Keep builds out of the user's cache; tests of the cache use caches of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCR_TRT_CACHE_MIB", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the record of models that were built out of the user's state folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_telemetry() -> None:
    """Tests import ``openvino`` too; the first import decides whether it sends telemetry."""
    import_openvino()


if TYPE_CHECKING:
    from ocr_trt.builder import BuildRequest
    from ocr_trt.engines.manifest import Precision

Role = Literal["detector", "recognizer"]
BuiltBundle = Callable[..., Path]
"""``built_bundle(role, precision="int8", target="openvino")`` returns the folder of a bundle."""


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with the same seed in every test."""
    return np.random.default_rng(7)


def _export(model: Any, folder: Path) -> Path:
    model.export(folder, format="tf_saved_model", verbose=False)
    return folder


@pytest.fixture(scope="session")
def detector_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel like the reference detector, with two stages and few channels."""
    keras = pytest.importorskip("keras")
    from ocr_trt.models.keras_layers import MaxPoolArgmax2D, MaxUnpool2D

    keras.utils.clear_session()  # names of layers do not depend on models built before
    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    x, skips, places = image, [], []
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(beta_initializer="random_normal")(x)
        x = layers.ReLU()(x)
        skips.append(x)
        x, place = MaxPoolArgmax2D()(x)
        places.append(place)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", bias_initializer="random_normal")(x)
    for filters in (16, 8):
        x = layers.Conv2D(filters, 1, activation="relu", bias_initializer="random_normal")(x)
        x = MaxUnpool2D()(x, places.pop())
        x = layers.Concatenate()([x, skips.pop()])
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(1, 1, activation="sigmoid", name="probability")(x)
    return _export(keras.Model(image, x), tmp_path_factory.mktemp("detector") / "model")


@pytest.fixture(scope="session")
def recognizer_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel like the reference recognizer, with one small transformer block."""
    keras = pytest.importorskip("keras")
    from ocr_trt.models.keras_layers import SinusoidalPositions

    keras.utils.clear_session()  # names of layers do not depend on models built before
    keras.utils.set_random_seed(2)
    layers = keras.layers
    image = keras.Input((32, None, 1), name="image")
    x = layers.Conv2D(16, 3, (2, 2), "same", activation="relu")(image)
    x = layers.Conv2D(32, 3, (2, 2), "same", activation="relu")(x)
    x = layers.Conv2D(32, (8, 1), bias_initializer="random_normal")(x)
    x = SinusoidalPositions()(layers.Reshape((-1, 32))(x))
    y = layers.LayerNormalization(epsilon=1e-5, gamma_initializer="random_normal")(x)
    y = layers.MultiHeadAttention(2, 16, bias_initializer="random_normal")(y, y)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization(epsilon=1e-5, beta_initializer="random_normal")(x)
    y = layers.Dense(48, activation="gelu", bias_initializer="random_normal")(y)
    x = layers.Add()([x, layers.Dense(32)(y)])
    logits = layers.Dense(96, name="logits")(x)
    return _export(keras.Model(image, logits), tmp_path_factory.mktemp("recognizer") / "model")


@pytest.fixture(scope="session")
def detector_spec(detector_model: Path) -> DetectorSpec:
    """The spec of the small detector, at 64x96."""
    spec = spec_from_dict(
        {
            "name": "small-detector",
            "role": "detector",
            "source": {"path": detector_model},
            "input": {
                "name": "image",
                "shape": [1, 64, 96, 3],
                "mean": [127.5],
                "scale": [1 / 127.5],
            },
            "output": {"name": "output_0"},
        }
    )
    assert isinstance(spec, DetectorSpec)
    return spec


@pytest.fixture(scope="session")
def recognizer_spec(recognizer_model: Path) -> RecognizerSpec:
    """The spec of the small recognizer: 32x64 and a bucket of 32, free batch."""
    spec = spec_from_dict(
        {
            "name": "small-recognizer",
            "role": "recognizer",
            "source": {"path": recognizer_model},
            "input": {
                "name": "image",
                "shape": [1, 32, 64, 1],
                "color": "GRAY",
                "mean": [127.5],
                "scale": [1 / 127.5],
                "max_batch": 4,
            },
            "output": {"name": "output_0"},
            "buckets": [32],
        }
    )
    assert isinstance(spec, RecognizerSpec)
    return spec


def write_images(folder: Path, rng: np.random.Generator) -> Path:
    """Write three noisy images and labels for them into a new folder."""
    import cv2

    rows = []
    folder.mkdir()
    for number in range(3):
        image = rng.integers(0, 256, (48, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        box = {"polygon": [5, 5, 45, 5, 45, 20, 5, 20], "text": f"word{number}"}
        rows.append({"file": f"{number}.png", "boxes": [box]})
    (folder / "labels.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def images(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with three noisy images and labels for them, which the test may change."""
    return write_images(tmp_path / "images", rng)


@pytest.fixture(scope="session")
def shared_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images as in `images`, for tests that only read them."""
    return write_images(tmp_path_factory.mktemp("shared") / "images", np.random.default_rng(7))


@pytest.fixture(scope="session")
def built_bundle(
    detector_spec: DetectorSpec,
    recognizer_spec: RecognizerSpec,
    shared_images: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> BuiltBundle:
    """A function that builds a bundle of a small model on the first call, and returns its folder.

    ``built_bundle("recognizer", "fp32", "onnxruntime")``; int8 for OpenVINO by default. Bundles are
    built with labeled samples and without the cache; their budget is 100 points. They are shared
    and must not be changed.
    """
    specs = {"detector": detector_spec, "recognizer": recognizer_spec}
    output, folders = tmp_path_factory.mktemp("bundles"), dict[tuple[str, str, str], Path]()

    def bundle_of(role: Role, precision: Precision = "int8", target: str = "openvino") -> Path:
        from tests.builder.small_build import quick_request

        key = (role, precision, target)
        if key not in folders:
            from ocr_trt.builder import build

            request = quick_request(
                specs[role], shared_images, output, targets=(target,), precision=precision
            )
            (result,) = build(request)
            assert result.error is None, result.error
            folders[key] = result.folder
        return folders[key]

    return bundle_of


@pytest.fixture(scope="session")
def detector_bundle(built_bundle: BuiltBundle) -> Path:
    """The small detector in int8 for OpenVINO; shared, not to be changed."""
    return built_bundle("detector")


@pytest.fixture(scope="session")
def recognizer_bundle(built_bundle: BuiltBundle) -> Path:
    """The small recognizer in int8 for OpenVINO, widths 32 and 64; shared, not to be changed."""
    return built_bundle("recognizer")


@pytest.fixture
def build_cache(tmp_path: Path) -> BuildCache:
    """An empty build cache."""
    return BuildCache(folder=tmp_path / "cache", max_bytes=1 << 30)


@pytest.fixture
def build_request(tmp_path: Path, images: Path, build_cache: BuildCache) -> BuildRequest:
    """A build that takes a second, and keeps its bundle in the cache."""
    from tests.builder.small_build import quick_request, small_spec

    return quick_request(
        small_spec(tmp_path), images, tmp_path / "first", targets=("openvino",), cache=build_cache
    )
