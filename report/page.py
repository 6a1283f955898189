"""Pages from templates, which share the style beside this file."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render(name: str, *, escape: bool, package: str = __package__, **values: object) -> str:
    """Fill in a template of a package.

    ``escape``: for HTML, so that no text can become markup.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader(__package__, ".")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)
