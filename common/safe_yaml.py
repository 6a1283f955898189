"""YAML from strangers: the core schema of YAML 1.2, without anything that can grow.

No aliases (a text of 600 bytes can stand for gigabytes), no tags, no key twice, no sexagesimal
numbers, no dates; ``on``, ``off``, ``yes`` and ``no`` are texts.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_RESOLVERS = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^(?:[-+]?(?:0|[1-9][0-9]{0,17}))$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?)$",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with less in it."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        refused = None
        if isinstance(event, yaml.AliasEvent):
            refused = "aliases are not taken"
        elif event.tag is not None:
            refused = f"tags are not taken: {event.tag!r:.60}"
        if refused:
            raise yaml.composer.ComposerError(None, None, refused, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r:.60} stands here twice", key.start_mark
                )
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what :class:`_Loader` would take for something other than a text."""


for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {}
    for _tag, _pattern, _first in _RESOLVERS:
        _name = f"tag:yaml.org,2002:{_tag}"
        _class.add_implicit_resolver(_name, re.compile(_pattern), list(_first))


def load_yaml(text: str) -> Any:
    """Return what a YAML text says.

    Raises:
        ValueError: it is not valid YAML, or holds what is not taken; in one line.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def dump_yaml(data: Any) -> str:
    """Return plain data as YAML that :func:`load_yaml` reads back as it was."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
