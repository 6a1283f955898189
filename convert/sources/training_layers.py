"""Leave out the layers of a loss or a decoder at the end of a Keras model.

A model that was trained with CTC often ends in a layer that computes the loss, or in one that
decodes text. It is a class of the user or a Lambda layer, so that it cannot be loaded without the
user's code. The network in front of it can. The model's architecture is read as JSON, not run:

    image -> network -> scores -> CTCLayer(labels, scores)     ->     image -> network -> scores
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Layer = dict[str, Any]

_IMAGE_RANK = 4
_DECODER = re.compile(r"ctc|decode|loss", re.IGNORECASE)
"""Names of layers and classes that compute a loss or text from scores."""


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """An architecture without its training layers."""

    config: dict[str, Any]
    """The JSON data of the whole model."""
    left_out: tuple[str, ...]
    """The layers left out, as "name (class)"."""
    order: tuple[str, ...]
    """The names of the layers that stay, in the order of the file."""


class _Graph:
    """The layers of a functional model, and which layers read which."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.layers: dict[str, Layer] = {str(each["name"]): each for each in config["layers"]}
        self.parents = {
            name: tuple(dict.fromkeys(_names_in(each.get("inbound_nodes", ()), self.layers)))
            for name, each in self.layers.items()
        }
        self.outputs = tuple(dict.fromkeys(_names_in(config["output_layers"], self.layers)))
        self.children: dict[str, set[str]] = {name: set() for name in self.layers}
        for name, parents in self.parents.items():
            for parent in parents:
                self.children[parent].add(name)

    def needed_by(self, names: Iterable[str]) -> set[str]:
        """Return layers and all layers that they depend on."""
        found, todo = set[str](), list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.parents[name]
        return found

    def inputs_of(self, name: str) -> set[str]:
        """Return the input layers that a layer depends on."""
        return {n for n in self.needed_by([name]) if self.layers[n]["class_name"] == "InputLayer"}


def without_training_layers(
    model: dict[str, Any], is_known: Callable[[Layer], bool]
) -> Shortened | None:
    """Return a functional model without the layers behind its network; None if there are none.

    A layer is left out if its class is not known, no known layer depends on it, and it either
    depends on further inputs besides the image, such as labels, or has the name of a decoder.

    Args:
        model: the architecture, from the file.
        is_known: whether the class of a layer can be loaded.
    """
    config = model.get("config")
    if not isinstance(config, dict) or not {"layers", "output_layers"} <= config.keys():
        return None  # a Sequential or a subclassed model
    graph = _Graph(config)
    images = [name for name, each in graph.layers.items() if _is_image(each)]
    if len(images) != 1:
        return None
    ends = _ends(graph, images[0], is_known)
    outputs = _outputs_without(graph, ends, images[0])
    if not ends or not outputs:
        return None
    kept = graph.needed_by(outputs)
    if not _keeps_weight_names(graph, kept):
        return None
    shortened = copy.deepcopy(model)
    inner = shortened["config"]
    inner["layers"] = [each for each in inner["layers"] if each["name"] in kept]
    inner["input_layers"] = [[images[0], 0, 0]]
    inner["output_layers"] = [[name, 0, 0] for name in outputs]
    return Shortened(
        config=shortened,
        left_out=tuple(f"{n} ({graph.layers[n]['class_name']})" for n in graph.layers if n in ends),
        order=tuple(name for name in graph.layers if name in kept),
    )


def _ends(graph: _Graph, image: str, is_known: Callable[[Layer], bool]) -> set[str]:
    """Return the layers to leave out."""
    ends = set[str]()
    while True:  # from the end of the model towards its input, until nothing changes
        new = {
            name
            for name, each in graph.layers.items()
            if name not in ends
            and graph.children[name] <= ends
            and not is_known(each)
            and (graph.inputs_of(name) - {image} or _DECODER.search(f"{name} {each['class_name']}"))
        }
        if not new:
            return ends
        ends |= new


def _outputs_without(graph: _Graph, ends: set[str], image: str) -> list[str]:
    """Return the outputs of the model without some layers: what these layers read from the image.

    Each output depends on the image alone, because a network that needs further inputs would lose
    a part of itself.
    """
    names = [name for name in graph.outputs if name not in ends]
    lost = graph.needed_by(graph.outputs) & ends
    for end in (name for name in graph.layers if name in lost):
        names += [name for name in graph.parents[end] if name not in ends]
    names = [n for n in dict.fromkeys(names) if n != image and graph.inputs_of(n) == {image}]
    # A layer that is called twice has two outputs, and the file does not state which one is read.
    return names if all(len(graph.layers[n]["inbound_nodes"]) == 1 for n in names) else []


def _keeps_weight_names(graph: _Graph, kept: set[str]) -> bool:
    """Whether the layers that stay find their own weights in the file.

    Keras numbers the layers of each class in the order of the model. A layer that is left out must
    not stand before one of its class that stays.
    """
    missing = set[str]()
    for name, each in graph.layers.items():
        if name in kept and each["class_name"] in missing:
            return False
        if name not in kept and each["class_name"] != "InputLayer":
            missing.add(each["class_name"])
    return True


def _is_image(layer: Layer) -> bool:
    settings = layer.get("config", {})
    shape = settings.get("batch_shape") or settings.get("batch_input_shape") or ()
    return layer["class_name"] == "InputLayer" and len(shape) == _IMAGE_RANK


def _names_in(part: Any, layers: dict[str, Layer]) -> Iterator[str]:
    """Yield the layers whose outputs a piece of JSON refers to, as [name, node, tensor].

    Keras 3 writes {"class_name": "__keras_tensor__", "config": {"keras_history": [name, ...]}} in
    the arguments of a call; older versions write [name, node, tensor, keywords].
    """
    todo = [part]
    while todo:  # no recursion: nesting may be deep
        part = todo.pop()
        if isinstance(part, dict):
            todo += reversed(part.values())
        elif isinstance(part, (list, tuple)):
            match part:
                case [str(name), int(), int(), *_] if name in layers:
                    yield name
            todo += reversed(part)
