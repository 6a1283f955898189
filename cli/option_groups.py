"""Option groups: dataclasses whose fields are command-line options.

A command declares ``display: DisplayOptions``; the user sees ``--json``, ``--quiet`` and
``--verbose``. Each field is annotated like a parameter of a typer command.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_type_hints


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with one keyword parameter for each field of its option groups.

    The returned function collects the values of the fields and passes the groups to ``command``.
    """
    # Resolved, because `from __future__ import annotations` turns annotations into texts.
    # Python 3.10's `get_type_hints` would put Optional around the Annotated of a default of None.
    resolved = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {
        each.name: each.annotation for each in resolved if dataclasses.is_dataclass(each.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for parameter in resolved:
        if parameter.name in groups:
            parameters += _parameters_of(groups[parameter.name])
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def expanded(*args: Any, **values: Any) -> None:
        for name, group in groups.items():
            fields = [field.name for field in dataclasses.fields(group)]
            values[name] = group(**{field: values.pop(field) for field in fields})
        command(*args, **values)

    # typer reads both: the signature for names and defaults, the annotations for types.
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {each.name: each.annotation for each in parameters}
    return expanded


def _parameters_of(group: type) -> list[inspect.Parameter]:
    """Return the parameters of a group; ``PANEL`` of the group is their heading in the help."""
    hints = get_type_hints(group, include_extras=True)
    parameters = []
    for field in dataclasses.fields(group):
        base, option = get_args(hints[field.name])  # of Annotated[type, typer.Option(...)]
        option = copy.copy(option)  # commands may share the option, under headings of their own
        option.rich_help_panel = getattr(group, "PANEL", None)
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=Annotated[base, option],
            )
        )
    return parameters
