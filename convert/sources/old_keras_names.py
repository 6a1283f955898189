"""What the names in an .h5 file mean, for the cases in which Keras 3 does not find it."""

from __future__ import annotations

import inspect
from typing import Any


def names_of_old_files(architecture: Any) -> dict[str, Any]:
    """Return custom objects for ``keras.saving.load_model``.

    * In an .h5 file, Keras replaces each string of a config that is the name of a function of
      ``keras.layers``, for example score_mode="dot" of Attention, unless its custom objects contain
      something else. Therefore they contain the string itself.
    * A layer inside another one, for example the LSTM of Bidirectional, has no module in files of
      Keras 2, and Keras 3 looks for its class in the custom objects only.
    """
    import keras

    found: dict[str, Any] = {
        name: name for name, each in vars(keras.layers).items() if inspect.isfunction(each)
    }
    todo = [architecture]
    while todo:  # no recursion: nesting may be deep
        part = todo.pop()
        if isinstance(part, dict):
            name = part.get("class_name")
            layer = getattr(keras.layers, name, None) if isinstance(name, str) else None
            if "module" not in part and "inbound_nodes" not in part and inspect.isclass(layer):
                found[str(name)] = layer
            todo += part.values()
        elif isinstance(part, list):
            todo += part
    return found
