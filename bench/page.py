"""Pages from the templates beside this file."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(name: str, *, escape: bool, **values: object) -> str:
    """Fill a template in. ``escape``: for HTML, so that no text can become markup."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)
