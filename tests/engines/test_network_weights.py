"""Named weights: equal from every file format; malicious files are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_trt.convert.sources.tf_graph import import_tensorflow
from ocr_trt.engines.network.named_weights import named_weights, write_npz
from ocr_trt.errors import InputFileError

h5py = pytest.importorskip("h5py")
keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model() -> Any:
    """One layer of each kind whose weights have distinct roles, and a nested model."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((4, 4, 2), name="image")
    x = layers.Conv2D(6, 3, use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(
        beta_initializer="random_normal", moving_mean_initializer="random_normal", name="norm"
    )(x)
    x = layers.Reshape((4, 6), name="flat")(x)
    x = layers.LayerNormalization(beta_initializer="random_normal", name="layer_norm")(x)
    x = layers.MultiHeadAttention(2, 3, bias_initializer="random_normal", name="attention")(x, x)
    model = keras.Model(image, layers.Dense(5, bias_initializer="random_normal", name="dense")(x))
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    return model


def saved(model: Any, kind: str, folder: Path) -> Path:
    path = folder / f"model.{kind}"
    if kind == "weights.h5":
        model.save_weights(path)
    elif kind == "keras":
        model.save(path)
    elif kind == "savedmodel":
        model.export(path, format="tf_saved_model", verbose=False)
    elif kind == "npz":
        np.savez_compressed(path, **{each.path: each.numpy() for each in model.variables})
    else:
        arrays = {each.path: each.numpy() for each in model.variables}
        return first_checkpoint(arrays, folder / "model.ckpt")
    return path


def first_checkpoint(arrays: dict[str, np.ndarray], prefix: Path) -> Path:
    """A checkpoint of TensorFlow 1, which also contains the number of training steps."""
    v1 = import_tensorflow().compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        held = [v1.Variable(array, name=name, use_resource=False) for name, array in arrays.items()]
        held.append(v1.Variable(7, name="global_step"))
        session.run(v1.global_variables_initializer())
        v1.train.Saver(held).save(session, str(prefix))
    return Path(f"{prefix}.index")


@pytest.mark.parametrize("kind", ["weights.h5", "keras", "savedmodel", "npz", "index"])
def test_every_kind_of_file_gives_the_variables_by_their_names(
    kind: str, model: Any, tmp_path: Path
) -> None:
    expected = {each.path: each.numpy() for each in model.variables}
    assert "attention/attention_output/kernel" in expected
    result = named_weights(saved(model, kind, tmp_path))
    assert result.keys() == expected.keys()
    for name, array in expected.items():
        assert result[name].dtype == array.dtype
        np.testing.assert_array_equal(result[name], array, name)


def test_any_name_is_kept_in_npz(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = {name: rng.standard_normal((2, 3)) for name in ("file", "args", "a/b:0", "../c", "")}
    arrays["turned"] = np.asfortranarray(arrays["file"])
    write_npz(tmp_path / "w.npz", arrays)
    result = named_weights(tmp_path / "w.npz")
    assert result.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(result[name], array)


def h5(path: Path, fill: Any) -> Path:
    path = path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def external(file: Any) -> None:
    file.create_dataset("layers/dense/vars/0", (1,), "f4", external=[("/etc/hostname", 0, 4)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((1,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (1,))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def bomb(file: Any) -> None:
    file.create_dataset("layers/dense/vars/0", (1 << 40,), "f4", chunks=(1 << 20,))


def twins(file: Any) -> None:
    for place in ("a", "b"):
        group = file.create_group(f"layers/{place}/vars")
        group.attrs["name"] = "dense"
        group["0"] = np.full((2, 2), ord(place), np.float32)


def linked(file: Any) -> None:
    file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/hostname", "x")


def text(file: Any) -> None:
    file["layers/dense/vars/0"] = "words"


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (external, "layers/dense/vars/0 is stored in another file"),
        (virtual, "layers/dense/vars/0 is stored in another file"),
        (bomb, "declares 4398046511104 bytes of weights"),
        (twins, "two different weights named 'dense/kernel'"),
        (linked, "contains no weights"),
        (text, "contains no weights"),
    ],
)
def test_hostile_h5_is_refused(fill: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=message):
        named_weights(h5(tmp_path, fill))


def npz(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path / "w.npz"


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


WHOLE = npy(np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE.replace(b"(4,), }   ", b"(999999,)}"), "declares 3999996 bytes of weights"),
        (WHOLE[:-3], "cannot be read"),
        (b"PK", "cannot be read"),
        (npy(np.array([{}], object)), "contains no weights"),
        (npy(np.zeros(4, np.int32)), "contains no weights"),
    ],
    ids=["more than there is", "cut off", "no array", "objects", "integers"],
)
def test_hostile_npz_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=message):
        named_weights(npz(tmp_path, "a.npy", content))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.weights.h5", b"garbage", "cannot be read"),
        ("w.keras", b"garbage", "cannot be read"),
        ("w.npz", b"garbage", "cannot be read"),
        ("w.index", b"garbage" * 99, "cannot be read"),
        ("w.txt", b"", "weights are read from"),
        ("absent.npz", None, "cannot be read"),
        ("absent.weights.h5", None, "cannot be read"),
        ("absent.index", None, "no such file"),
    ],
)
def test_other_files_are_refused(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFileError, match=message):
        named_weights(tmp_path / name)


def test_damaged_checkpoint_is_refused(model: Any, tmp_path: Path) -> None:
    index = saved(model, "index", tmp_path)
    data = next(tmp_path.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(InputFileError, match="its weights cannot be read"):
        named_weights(index)


def test_folder_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"variables.index: no such file"):
        named_weights(tmp_path)
