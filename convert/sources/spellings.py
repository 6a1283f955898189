"""Accept the usual spellings of the names of a model's inputs and outputs.

TensorFlow, Keras and exporters have several names for one tensor: ``image``, ``image:0``,
``serving_default_image`` and ``serving_default_image:0``; ``dense``, ``output_0``, ``Identity`` and
``StatefulPartitionedCall:0``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from . import Cut, Signature, Source
from .joined_outputs import JOIN
from .large_weights import Exported
from .pixels import rename

_PREFIX, _PORT = "serving_default_", re.compile(r":\d+$")
_BY_NUMBER = re.compile(
    r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?:(?P<port>\d+)"
    r"|(?:output_|Identity_)(?P<index>\d+)(?::0)?|(?:(?:Stateful)?PartitionedCall|Identity)(?::0)?)$"
)
"""Names that a SavedModel gives to its outputs, in the order of the signature."""


class SpelledSource:
    """A source whose inputs and outputs may be spelled as TensorFlow's tools spell them."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def signature(self) -> Signature:
        """Return the model's inputs and outputs."""
        return self._source.signature()

    def cut(self, rank: int) -> Cut | None:
        """Find the network inside the model."""
        return self._source.cut(rank)

    def input_name(self, name: str) -> str:
        """Return the model's own spelling of an input's name; other names stay."""
        return own_spelling(name, [info.name for info in self.signature().inputs])

    def _output_name(self, name: str) -> str:
        known = [info.name for info in self.signature().outputs]
        return own_spelling(name, known, numbered=True)

    def _output_names(self, name: str) -> str:
        """Return the model's own spelling of an output, or of each of several joined ones."""
        if name in [info.name for info in self.signature().outputs]:
            return name
        return JOIN.join(map(self._output_name, name.split(JOIN)))

    def function(self, input_name: str, output_name: str) -> Any:
        """Return the part between two tensors as a TensorFlow function, or None."""
        return self._source.function(self.input_name(input_name), self._output_names(output_name))

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return the part between two tensors as raw ONNX, with the names that were given."""
        own = self.input_name(input_name), self._output_names(output_name)
        exported = self._source.to_onnx(own[0], shape, own[1])
        graph = exported.model.graph
        # The caller looks for the names in the spec.
        names = {graph.input[0].name: input_name, graph.output[0].name: output_name}
        if any(own != given for own, given in names.items()):
            rename(graph, names)
            graph.input[0].name, graph.output[0].name = input_name, output_name
        return exported


def own_spelling(name: str, known: Sequence[str], *, numbered: bool = False) -> str:
    """Return the one of ``known`` that ``name`` spells differently; ``name`` if there is none.

    ``numbered``: accept names that state the position of an output, too.
    """
    if name in known:
        return name
    same = [each for each in known if _plain(each) == _plain(name)]
    if len(same) == 1:
        return same[0]
    match = _BY_NUMBER.match(name) if numbered else None
    if match is not None:
        index = int(match["port"] or match["index"] or 0)
        if index < len(known):
            return known[index]
    return name


def _plain(name: str) -> str:
    return _PORT.sub("", name).removeprefix(_PREFIX)
