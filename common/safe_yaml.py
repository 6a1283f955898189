"""Read YAML of any origin: the core schema of YAML 1.2 without constructs that can expand.

Aliases are refused, because a text of 600 bytes can expand to gigabytes with them; so are tags and
duplicate keys. There are no sexagesimal numbers and no dates; ``on``, ``off``, ``yes`` and ``no``
are strings.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from .limits import LARGEST_YAML_NESTING

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
"""Type, pattern, and the characters with which a value of the type can start."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, tags, duplicate keys and deep nesting."""

    _depth = 0
    """Number of nodes around the current one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        refused = None
        if isinstance(event, yaml.AliasEvent):
            refused = "aliases are not allowed"
        elif event.tag is not None:
            refused = f"tags are not allowed: {event.tag!r:.60}"
        if refused:
            raise yaml.composer.ComposerError(None, None, refused, event.start_mark)
        self._depth += 1
        if self._depth > LARGEST_YAML_NESTING + 1:  # a value inside the innermost list is allowed
            raise yaml.composer.ComposerError(
                None,
                None,
                f"lists and mappings are nested more than {LARGEST_YAML_NESTING} levels deep, the "
                "limit",
                event.start_mark,
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()  # (tag, text), because the keys 1 and "1" differ
        # PyYAML silently keeps the last of two equal keys.
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key.value!r:.60}", key.start_mark
                )
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that :class:`_Loader` would read as another type."""


# PyYAML implements YAML 1.1. Here both classes get the resolvers of the core schema of YAML 1.2,
# with limits on the lengths of numbers.
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {}
    for _tag, _pattern, _first in _RESOLVERS:
        _name = f"tag:yaml.org,2002:{_tag}"
        _class.add_implicit_resolver(_name, re.compile(_pattern), list(_first))


def load_yaml(text: str) -> Any:
    """Parse a YAML text.

    Raises:
        ValueError: it is not valid YAML, or uses a refused construct; the message is one line.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # PyYAML names a text that does not come from a file.
        message = str(error).replace(' in "<unicode string>",', " in")
        raise ValueError(" ".join(message.split())) from None


def dump_yaml(data: Any) -> str:
    """Return plain data as YAML; :func:`load_yaml` returns the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
