"""Load the model in a .keras or .h5 file without running code from it."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

from ...common.error_text import check_memory
from ...common.json_files import parse_json
from ...errors import InputFileError
from .failing_layer import reason_with_layer
from .old_keras_names import names_of_old_files
from .training_layers import Layer, without_training_layers
from .unknown_classes import is_known, is_subclassed, unknown_layers

_LARGEST_CONFIG = 64 << 20  # bytes
_DAMAGED = (
    OSError,
    KeyError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
_CODE_CLASSES = {"Lambda", "__lambda__", "function"}


def _config_text(path: Path) -> str:
    """Return the architecture, a JSON text, without loading the model.

    The suffix decides how a file is read, as in Keras: a file can be valid HDF5 and ZIP at once.
    """
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                # The size after decompression, which a small archive can make huge.
                if archive.getinfo("config.json").file_size > _LARGEST_CONFIG:
                    raise InputFileError(
                        f"{path}: its config.json is larger than {_LARGEST_CONFIG} bytes"
                    )
                return archive.read("config.json").decode("utf-8")
        if path.suffix not in (".h5", ".hdf5"):
            raise InputFileError(f"{path}: a Keras model file ends in .keras, .h5 or .hdf5")
        import h5py

        with h5py.File(path, "r") as file:
            config = file.attrs["model_config"]
            return config if isinstance(config, str) else bytes(config).decode("utf-8")
    except _DAMAGED as error:
        raise InputFileError(f"{path}: not a Keras model file, or damaged: {error}") from None


def _lambda_layers(architecture: Any) -> list[str]:
    """Return the names of the layers that contain Python code."""
    found: list[str] = []
    todo: list[Any] = [architecture]
    while todo:  # no recursion: nesting may be deep
        part = todo.pop()
        if isinstance(part, dict):
            if part.get("class_name") in _CODE_CLASSES:
                inner = part.get("config")
                found.append(str(inner.get("name", "?")) if isinstance(inner, dict) else "?")
            todo += part.values()
        elif isinstance(part, list):
            todo += part
    named = sorted(set(found) - {"?"})
    return named or sorted(set(found))


def _check_class_names(path: Path, architecture: Any) -> None:
    """Check that all names of classes are texts, on which the other checks rely."""
    todo: list[Any] = [architecture]
    while todo:  # no recursion: nesting may be deep
        part = todo.pop()
        if isinstance(part, dict):
            for key in ("class_name", "registered_name"):
                if not isinstance(part.get(key), (str, type(None))):
                    raise InputFileError(
                        f"{path}: its architecture is damaged: expected a text as {key}, got "
                        f"{part[key]!r:.60}"
                    )
            todo += part.values()
        elif isinstance(part, list):
            todo += part


def load_keras_model(
    path: Path, *, allow_lambda: bool, custom: tuple[str, ...]
) -> tuple[Any, tuple[str, ...]]:
    """Load a model without the layers of a loss or a decoder at its end.

    Returns:
        The model, and the layers left out, as "name (class)".

    Raises:
        InputFileError: the file is damaged, or it has Lambda layers or unknown classes in front of
            the outputs.
    """
    architecture = parse_json(_config_text(path), f"{path}: its architecture")
    _check_class_names(path, architecture)
    operations, is_renamed = _operations(architecture)
    objects = {**operations, **_custom_objects(path, custom)}
    shortened = None

    def is_loadable(layer: Layer) -> bool:
        if layer.get("class_name") in _CODE_CLASSES:
            return allow_lambda
        return is_known(layer, objects)

    if isinstance(architecture, dict):
        try:
            shortened = without_training_layers(architecture, is_loadable)
        except (AttributeError, KeyError, TypeError):  # not the structure that Keras writes
            shortened = None
    if shortened is not None:
        architecture = shortened.config
    code = _lambda_layers(architecture)
    if code and not allow_lambda:
        raise InputFileError(
            f"{path}: layers {', '.join(code)} run Python code stored in the file; if you "
            "trust it, set source.allow_lambda: true in the spec (init --allow-lambda)"
        )
    if shortened is None and not is_renamed:
        return _loaded(path, objects, architecture, is_safe=not allow_lambda), ()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        _write_copy(path, copy, architecture)
        model = _loaded(copy, objects, architecture, is_safe=not allow_lambda, origin=path)
    if shortened is None:
        return model, ()
    # Keras finds weights by the order of layers, so another order would mix them up.
    if [layer.name for layer in model.layers] != [*shortened.order]:
        raise InputFileError(
            f"{path}: its layers {', '.join(shortened.left_out)} cannot be left out; give their "
            "classes with --custom module:Class, or export the model without them"
        )
    return model, shortened.left_out


def _write_copy(path: Path, copy: Path, architecture: Any) -> None:
    """Write a copy of a model file with another architecture; its weights stay."""
    text = json.dumps(architecture)
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
            for item in old.infolist():
                if item.filename == "config.json":
                    new.writestr("config.json", text)
                else:
                    with old.open(item) as source, new.open(item.filename, "w") as target:
                        shutil.copyfileobj(source, target)
        return
    import h5py

    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = text


def _loaded(
    path: Path,
    objects: dict[str, Any],
    architecture: Any,
    *,
    is_safe: bool,
    origin: Path | None = None,
) -> Any:
    import keras

    known = {} if path.suffix == ".keras" else names_of_old_files(architecture)
    try:
        return keras.saving.load_model(
            path, compile=False, safe_mode=is_safe, custom_objects={**known, **objects}
        )
    except Exception as error:  # Keras raises whatever a layer's own code raises
        path = origin or path
        check_memory(error, path)
        if is_subclassed(architecture, objects):
            raise InputFileError(
                f"{path}: the model is a subclass of keras.Model ({architecture['class_name']}), "
                "whose file states no inputs; export the model as a SavedModel (model.export) in "
                "the program that trained it"
            ) from error
        unknown = list(unknown_layers(architecture, objects))
        if unknown:
            raise InputFileError(
                f"{path}: Keras does not have the classes of its layers {', '.join(unknown)}; name "
                "each class in source.custom of the spec (init --custom module:Class), or export "
                "the model as a SavedModel (model.export), which needs no classes"
            ) from error
        raise InputFileError(
            f"{path}: Keras cannot load it: {reason_with_layer(error)}; export the model as a "
            "SavedModel (model.export) in the program that trained it"
        ) from error


def _operations(architecture: Any) -> tuple[dict[str, Any], bool]:
    """Return Keras' classes of the functions of ``keras.ops`` that a model calls, by name.

    An .h5 file names them without their module, and Keras looks for layers only. If a model
    contains both a layer and a function of one name, such as Add, changes the function's name in
    the architecture.

    Returns:
        The classes, and whether a name has changed.
    """
    modules = [
        import_module(f"keras.src.ops.{name}")
        for name in ("core", "image", "linalg", "math", "nn", "numpy")
    ]
    found, layers, todo = dict[str, Any](), set[str](), [architecture]
    calls: list[Layer] = []
    while todo:  # no recursion: nesting may be deep
        part = todo.pop()
        if isinstance(part, dict):
            name, config = part.get("class_name"), part.get("config")
            if "inbound_nodes" in part and isinstance(name, str) and "module" not in part:
                # Add is a layer and a function; only the settings of layers have this key.
                if isinstance(config, dict) and "trainable" in config:
                    layers.add(name)
                else:
                    calls.append(part)
                for each in (vars(module).get(name) for module in modules):
                    if _is_operation(each):
                        found[name] = each
            todo += part.values()
        elif isinstance(part, list):
            todo += part
    ambiguous = [part for part in calls if part["class_name"] in layers & found.keys()]
    for part in ambiguous:
        name = part["class_name"]
        part["class_name"] = f"{name}Function"
        found[part["class_name"]] = found[name]
    return {name: each for name, each in found.items() if name not in layers}, bool(ambiguous)


def _is_operation(candidate: Any) -> bool:
    import keras

    return isinstance(candidate, type) and issubclass(candidate, keras.Operation)


def _custom_objects(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Import classes named "module:Class", from the current folder too."""
    found, here = dict[str, Any](), str(Path.cwd())
    for name in names:
        module, _, attribute = name.partition(":")
        sys.path.insert(0, here)
        try:
            found[attribute] = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise InputFileError(
                f"{path}: source.custom names {name}, which cannot be imported: {error}; its "
                "module must be installed or be in the current folder"
            ) from None
        finally:
            sys.path.remove(here)
    return found
