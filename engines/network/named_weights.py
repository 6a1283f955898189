"""Read the named weights of a model from its file, without running code from the file.

Names are those of Keras 3's variables: ``layer/kernel``, ``attention/query/bias``.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.sources.large_weights import Weights
from ...convert.sources.tf_graph import import_tensorflow
from ...errors import InputFileError

LARGEST = 4 << 30
"""Limit of the total size of weights in bytes."""
_FLOATS = ("float16", "float32", "float64")
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_IN_KERAS = "model.weights.h5"  # the member of a .keras archive that contains the weights
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # the key under which TensorFlow 2 stores names
# What h5py, zipfile and NumPy raise for damaged files.
_DAMAGED = (
    OSError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    RuntimeError,
    EOFError,
    NotImplementedError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def named_weights(path: Path) -> Weights:
    """Read all float weights of a file.

    Args:
        path: ``.weights.h5`` or ``.keras`` of Keras 3, ``.npz``, a SavedModel folder, or a
            checkpoint, named by its ``.index`` file.

    Returns:
        float16, float32 or float64 arrays, as they are in the file.

    Raises:
        InputFileError: the file is missing, damaged, over 4 GiB, of another kind, has no weights or
            two of one name, or refers to other files.
        TargetMissingError: TensorFlow or Keras is needed and not installed.
    """
    try:
        weights = _read(path)
    except InputFileError:
        raise
    except _DAMAGED as error:
        why = str(error).splitlines() or [type(error).__name__]
        raise InputFileError(f"{path}: its weights cannot be read: {why[0][:300]}") from None
    if not weights:
        raise InputFileError(f"{path}: contains no weights of type {', '.join(_FLOATS)}")
    return weights


def write_npz(path: Path, weights: Weights) -> None:
    """Write weights to an .npz file.

    Any name is allowed, unlike in NumPy's ``savez``, which takes names as Python arguments.

    Raises:
        OSError: the file cannot be written.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in weights.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _read(path: Path) -> Weights:
    if path.is_dir():
        return _from_checkpoint(path / "variables" / "variables.index")
    if path.name.endswith(".weights.h5"):
        return _from_h5(path, path)
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            _check_size(path, archive.getinfo(_IN_KERAS).file_size)
            return _from_h5(path, io.BytesIO(archive.read(_IN_KERAS)))
    if path.suffix == ".npz":
        return _from_npz(path)
    if path.suffix == ".index":
        return _from_checkpoint(path)
    raise InputFileError(
        f"{path}: weights are read from .weights.h5, .keras and .npz files, from the .index of a "
        "checkpoint, and from SavedModel folders"
    )


def _check_size(path: Path, size: int, largest: int = LARGEST) -> None:
    if size > largest:
        raise InputFileError(
            f"{path}: declares {size} bytes of weights, where at most {largest} are possible; "
            "the file is damaged or malicious"
        )


def _from_npz(path: Path) -> Weights:
    weights: Weights = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _check_size(path, sum(entry.file_size for entry in entries))
        for entry in entries:
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                header = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    header = np.lib.format.read_array_header_2_0
                shape, is_fortran, dtype = header(file)
                if dtype.name not in _FLOATS:
                    continue
                # A header may declare far more than the file has.
                _check_size(path, math.prod(shape) * dtype.itemsize, entry.file_size)
                flat = np.frombuffer(file.read(), dtype)
            array = flat.reshape(shape, order="F" if is_fortran else "C")
            _put(path, weights, entry.filename.removesuffix(".npy"), array)
    return weights


def _from_h5(path: Path, file: Any) -> Weights:
    """Read a file of Keras 3: numbered arrays, in groups with the layer's name as an attribute."""
    try:
        import h5py
    except ImportError:
        raise InputFileError(
            f"{path}: reading it requires h5py; install it with: pip install 'ocr-trt[tf]'"
        ) from None
    weights: Weights = {}
    groups: dict[str, list[tuple[int, npt.NDArray]]] = {}
    with h5py.File(file, "r") as h5:
        # Keras does not compress, so all arrays together cannot be larger than the file.
        room = h5.id.get_filesize()

        def visit(place: str, item: Any) -> None:
            nonlocal room
            owner, _, number = place.rpartition("/")  # "<layer>/vars" and "<number>"
            if not isinstance(item, h5py.Dataset) or item.dtype.name not in _FLOATS:
                return
            if place.startswith("optimizer/") or not owner.endswith("vars"):
                return
            if item.external or item.is_virtual:
                raise InputFileError(
                    f"{path}: {place} is stored in another file, which ocr-trt does not read"
                )
            room -= item.nbytes
            _check_size(path, item.nbytes, item.nbytes + room)
            groups.setdefault(owner, []).append((int(number), np.asarray(item[()])))

        h5.visititems(visit)  # does not follow links
        for owner, members in groups.items():
            arrays = [array for _, array in sorted(members, key=lambda member: member[0])]
            layer = _layer_name(h5, owner)
            for role, array in zip(_roles(arrays), arrays, strict=True):
                _put(path, weights, f"{layer}/{role}", array)
    return weights


def _layer_name(h5: Any, owner: str) -> str:
    """Return the names of a layer and its parents, as the path of a Keras variable has them."""
    parts = owner.split("/")[:-1]
    names = []
    for end in range(1, len(parts) + 1):
        group = h5.get("/".join([*parts[:end], "vars"]))
        name = group.attrs.get("name") if group is not None else None
        if isinstance(name, (str, bytes)):
            names.append(name if isinstance(name, str) else name.decode())
    return "/".join(names) or owner


def _roles(arrays: list[npt.NDArray]) -> tuple[str, ...]:
    """Return the roles of a layer's arrays if their shapes identify them, else numbers.

    HDF5 files of Keras store numbers in place of roles.
    """
    ranks = [array.ndim for array in arrays]
    # A kernel has at least two axes; a norm has two or four arrays with one axis.
    if ranks and ranks[0] > 1 and len(ranks) <= 2:
        return ("kernel", "bias")[: len(ranks)]
    if ranks in ([1] * 2, [1] * 4):
        return _NORM[: len(ranks)]
    return tuple(map(str, range(len(arrays))))


def _from_checkpoint(index: Path) -> Weights:
    """Read a checkpoint of TensorFlow 1 or 2; for the latter, use the variables' own names."""
    if not index.is_file():
        raise InputFileError(f"{index}: no such file; name a checkpoint by its .index file")
    tf = import_tensorflow()
    weights: Weights = {}
    try:
        reader = tf.train.load_checkpoint(str(index.with_suffix("")))
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        keys = [key for key in sorted(shapes) if dtypes[key].name in _FLOATS]
        _check_size(index, sum(math.prod(shapes[key]) * dtypes[key].size for key in keys))
        names = _names_of_keys(reader) if _GRAPH in shapes else {}
        for key in keys:
            _put(index, weights, names.get(key, key), np.asarray(reader.get_tensor(key)))
    except InputFileError:
        raise
    except Exception as error:  # TensorFlow raises many unrelated types here
        raise ValueError(str(error)) from None
    return weights


def _names_of_keys(reader: Any) -> dict[str, str]:
    """Return the name of each variable of a TensorFlow 2 checkpoint, by its key there."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
    return {
        attribute.checkpoint_key: attribute.full_name
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.full_name
    }


def _put(path: Path, weights: Weights, name: str, array: npt.NDArray) -> None:
    if name in weights and not np.array_equal(weights[name], array):  # Keras exports some twice
        raise InputFileError(f"{path}: has two different weights named {name!r:.80}")
    weights[name] = array
