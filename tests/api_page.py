"""Write docs/api.md: the public Python API, from its docstrings.

python tests/api_page.py
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import ocr_trt

DOCUMENT = Path(__file__).parent.parent / "docs" / "api.md"

SECTIONS = {
    "Read images": (
        *("open_reader", "Reader", "ReadResult", "TextLine", "ReadSettings"),
        *("open_image", "ImageFile", "load_image"),
    ),
    "Build engines": (
        *("load_spec", "load_calibration", "load_dataset", "BuildRequest", "build"),
        *("BuildResult", "Reporter"),
    ),
    "Compare engines": ("compare", "Report"),
    "Engines": ("load_bundle", "Bundle", "Engine", "OcrReader", "GpuReader"),
}
"""The public names but the errors, in the order of the page."""

_HEAD = """\
# Python API

`python tests/api_page.py` writes this page from docstrings. A test runs all its examples in a
folder with two bundles, their specs and some images. `help(ocr_trt)` shows the same texts.
"""


def page() -> str:
    """Return the document."""
    parts = [_HEAD, _contents(), _markdown(ocr_trt.__doc__ or "").split("\n", 2)[2]]
    for title, names in SECTIONS.items():
        parts += [f"## {title}", *(_entry(name) for name in names)]
    parts += ["## Errors", _errors()]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _contents() -> str:
    lines = []
    for title, names in SECTIONS.items():
        links = ", ".join(f"[{name}](#{name.lower()})" for name in names)
        lines.append(f"- [{title}](#{title.lower().replace(' ', '-')}): {links}")
    return "\n".join([*lines, "- [Errors](#errors)"])


def _entry(name: str) -> str:
    thing = getattr(ocr_trt, name)
    parts = [f"### {name}", _signature(name, thing), _markdown(inspect.getdoc(thing) or "")]
    if inspect.isclass(thing):
        fields = _fields(thing)
        if fields:
            rows = [f"| `{each}` | {text} |" for each, text in fields.items()]
            parts.append("\n".join(["| field | meaning |", "|---|---|", *rows]))
        for own, member in _members(thing):
            if isinstance(member, property):
                text = _markdown(inspect.getdoc(member) or "")
                parts += [f"#### {name}.{own}", text]
            else:
                parts += [
                    f"#### {name}.{own}",
                    _signature(own, member),
                    _markdown(inspect.getdoc(member) or ""),
                ]
    return "\n\n".join(part for part in parts if part)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class defines itself."""
    for name, member in vars(kind).items():
        is_method = inspect.isfunction(member) or isinstance(member, (classmethod, property))
        if is_method and not name.startswith("_"):
            yield name, member if isinstance(member, property) else getattr(kind, name)


def _fields(kind: type) -> dict[str, str]:
    """Return the texts below the annotated fields of a class, by field."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    fields: dict[str, str] = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            text = inspect.cleandoc(str(after.value.value)) if is_text else ""
            fields[node.target.id] = _inline(" ".join(text.split()))
    return fields


def _signature(name: str, thing: Any) -> str:
    """Return the first lines of a function or class with all parameters, as a code block."""
    if inspect.isclass(thing) and getattr(thing, "_is_protocol", False):
        return ""
    if inspect.isclass(thing) and issubclass(thing, BaseModel):  # data that programs only read
        return ""
    signature = inspect.signature(thing)
    own = [each for each in signature.parameters.values() if each.name != "self"]
    first_keyword = next((each for each in own if each.kind is each.KEYWORD_ONLY), None)
    parameters: list[str] = []
    for each in own:
        parameters += ["*"] if each is first_keyword else []
        default = "" if each.default is each.empty else f" = {_default(each.default)}"
        parameters.append(f"{each.name}: {_annotation(each.annotation)}{default}")
    is_async = inspect.iscoroutinefunction(thing)
    start = f"{'async ' if is_async else ''}{name}("
    end = ")" if inspect.isclass(thing) else f") -> {_annotation(signature.return_annotation)}"
    text = f"{start}{', '.join(parameters)}{end}"
    if len(text) > 100:
        text = "\n".join([start, *(f"    {each}," for each in parameters), end])
    return f"```text\n{text}\n```"


def _annotation(text: str) -> str:
    # Annotated[Type, schema]: only the type is of interest.
    return re.sub(r"Annotated\[([\w| ]+), .*\]", r"\1", text)


def _default(value: Any) -> str:
    if callable(value):
        return value.__name__
    return "..." if repr(value) == "<factory>" else repr(value)


def _markdown(text: str) -> str:
    """Turn a docstring of Google's style into Markdown."""
    blocks = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        head = block.partition("\n")[0]
        if block.startswith(">>> "):
            blocks.append(f"```pycon\n{block}\n```")
        elif re.fullmatch(r"(Args|Returns|Raises|Attributes|Yields)( \(.*\))?:", head):
            blocks += _sections(block)
        else:
            blocks.append(_inline(block))
    return "\n\n".join(blocks)


def _sections(block: str) -> Iterator[str]:
    """Yield the sections of a block that has no empty line between them."""
    for part in re.split(r"\n(?=\w)", block):
        head, _, body = part.partition("\n")
        body = inspect.cleandoc(f"\n{body}")
        items = re.split(r"\n(?=\w[\w, ]*: )", body)
        if re.match(r"\w[\w, ]*: ", body) and not head.startswith(("Returns", "Yields")):
            named = (item.partition(": ") for item in items)
            lines = [f"- `{name}`: {_inline(' '.join(t.split()))}" for name, _, t in named]
            yield f"{head}\n\n" + "\n".join(lines)
        else:
            yield f"{head.removesuffix(':')}: {_inline(body)}"


def _inline(text: str) -> str:
    text = re.sub(r":(?:func|class|meth|attr|mod):`[~.]?(?:ocr_trt\.)?([\w.]+)`", r"`\1`", text)
    return text.replace("``", "`")


def _errors() -> str:
    rows = ["| error | base | meaning |", "|---|---|---|"]
    for name in ocr_trt.__all__:
        thing = getattr(ocr_trt, name)
        if name.endswith("Error"):
            text = " ".join((inspect.getdoc(thing) or "").split())
            rows.append(f"| `{name}` | `{thing.__base__.__name__}` | {_inline(text)} |")
    return "\n".join(rows)


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
