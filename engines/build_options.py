"""Build options of single targets: ``ocr-trt build --option NAME=VALUE``.

Outside a target's folder these options are text. The target declares its options as a pydantic
model and parses them with :func:`parse_options`. The option ``version-compatible`` is the field
``version_compatible``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import UserError, unknown
from .targets import backend, target_names

if TYPE_CHECKING:
    from .base import Backend

_Options = TypeVar("_Options", bound=BaseModel)


def split_words(words: Iterable[str]) -> dict[str, str]:
    """Split ``NAME=VALUE`` words into a mapping sorted by name; the last of equal names counts.

    Raises:
        UserError: a word has no ``=``.
    """
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--option {word}: expected NAME=VALUE, such as workspace=2048")
        options[_option_name(name.strip())] = value.strip()
    return dict(sorted(options.items()))


def option_names(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of the options that a model declares, as users write them."""
    return tuple(_option_name(field) for field in model.model_fields)


def parse_options(model: type[_Options], options: Mapping[str, str]) -> _Options:
    """Parse the options that a model declares; all others are ignored.

    Raises:
        UserError: a value is wrong.
    """
    # Values stay text here: pydantic converts "4096", "yes" and the like.
    fields = {_option_name(field): field for field in model.model_fields}
    own = {field: options[name] for name, field in fields.items() if name in options}
    try:
        return model.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        # pydantic prefixes the messages of validators.
        field, reason = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        raise UserError(f"option {_option_name(field)}={own[field]}: {reason}") from None


def check_options(targets: Sequence[Backend], options: Mapping[str, str]) -> list[str]:
    """Check that at least one target accepts each option, and that all values are valid.

    Returns:
        Notes for the user: which target lacks an option that another one accepts, and why.

    Raises:
        UserError: no target accepts an option, or a value is wrong.
        TargetMissingError: an option needs something that is not installed.
    """
    notes = []
    for name in options:
        # An option may be for one of several requested targets; the others ignore it.
        accepting = [target.name for target in targets if name in target.option_names]
        refusals = [
            f"{target.name} {target.refused_options[name]}"
            for target in targets
            if name in target.refused_options
        ]
        if not accepting:
            raise UserError(f"option {name}: {'; '.join(refusals) or _unknown(name, targets)}")
        notes += [
            f"option {name} is used for {', '.join(accepting)} only: {why}" for why in refusals
        ]
    for target in targets:
        target.check_options(options)
    return notes


def _unknown(name: str, targets: Sequence[Backend]) -> str:
    """Return why no target accepts an option, and which options there are."""
    # Targets that were not requested, but have the option.
    others = [other for other in target_names() if name in backend(other).option_names]
    requested, is_one = " and ".join(target.name for target in targets), len(targets) == 1
    if others:
        verb = "has" if is_one else "have"
        return f"{requested} {verb} no such option; leave it out, or add --target {others[0]}"
    known = {option for target in targets for option in target.option_names}
    if not known:
        verb = "accepts" if is_one else "accept"
        return f"there is no such option, and {requested} {verb} no options; leave it out"
    return f"{unknown('option', name, sorted(known))} (options of {requested})"


def _option_name(field: str) -> str:
    return field.replace("_", "-")
