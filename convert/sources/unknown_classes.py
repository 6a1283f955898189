"""Find the classes of a Keras file that neither Keras nor the user has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .training_layers import Layer


def is_known(layer: Layer, objects: dict[str, Any]) -> bool:
    """Whether Keras has the class of a layer, or the user gave it."""
    import keras

    name, registered = layer.get("class_name"), layer.get("registered_name")
    if {name, registered} & objects.keys():
        return True
    if registered and keras.saving.get_registered_object(registered) is not None:
        return True
    module = layer.get("module")
    if isinstance(module, str):
        return module.split(".")[0] == "keras"
    # Older files do not state the module; the class is one of Keras' layers or of the user's.
    known = (*dir(keras.layers), "Functional", "Model", "Sequential")
    return registered in (None, name) and name in known and "module" not in layer


def is_subclassed(architecture: Any, objects: dict[str, Any]) -> bool:
    """Whether a whole model is of an unknown class, and its layers are not in its file."""
    if not isinstance(architecture, dict) or not isinstance(architecture.get("class_name"), str):
        return False
    config = architecture.get("config")
    # A class that calls keras.Model(inputs, outputs) states its layers, so it loads if it is given.
    has_layers = isinstance(config, dict) and "layers" in config
    return not has_layers and not is_known(architecture, objects)


def unknown_layers(architecture: Any, objects: dict[str, Any]) -> Iterable[str]:
    """Yield "name (class)" of the layers whose class is neither in Keras nor given."""
    todo, seen = [architecture], set[str]()
    while todo:  # no recursion: nesting may be deep
        part = todo.pop()
        if isinstance(part, dict):
            is_layer = "inbound_nodes" in part or part.get("build_config")
            if is_layer and isinstance(part.get("class_name"), str) and not is_known(part, objects):
                config = part.get("config")
                name = config.get("name", "?") if isinstance(config, dict) else "?"
                label = f"{part.get('name', name)} ({part['class_name']})"
                if label not in seen:
                    seen.add(label)
                    yield label
            todo += reversed(part.values())
        elif isinstance(part, list):
            todo += reversed(part)
