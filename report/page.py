"""Render the templates of reports. This folder contains their style and macros for sections."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from .sections import markdown_table


def render(name: str, *, escape: bool, package: str, **values: object) -> str:
    """Render the template ``name`` of a package with ``values``.

    ``escape``: whether to escape values for HTML, so that no text becomes markup.
    """
    # Templates include style and macros of this package by their bare names.
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader(__package__, ".")]),
        autoescape=escape,
        undefined=StrictUndefined,  # a misspelled name is an error, not an empty text
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["markdown_table"] = markdown_table
    return environment.get_template(name).render(**values)
