"""``ocr-trt inspect``: what is in a model, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import ConsoleReporter, print_json, print_table, quiet_libraries
from .options import Json, Verbose
from .specs import is_spec, spec_paths

if TYPE_CHECKING:
    from ..convert.audit import Audit
    from ..convert.sources import Signature


def inspect(
    model: Annotated[Path, typer.Argument(help="A spec, or a model without one.")],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show a model's inputs and outputs; for a spec also every op, and what becomes of it.

    Ends with exit code 3 if an op cannot be converted.

    Example: `ocr-trt inspect detector.yaml`
    """
    quiet_libraries(verbose=verbose)
    spec_paths([model])
    if is_spec(model):
        _inspect_spec(model, json)
    else:
        _inspect_model(model, json)


def _inspect_model(path: Path, json: bool) -> None:
    from ..convert.sources import open_source
    from ..spec import SourceSpec

    signature = open_source(SourceSpec(path=path)).signature()
    if json:
        print_json(_signature_dict(signature))
        return
    _print_signature(path, signature)
    print(f"To see what becomes of its ops, write a spec: ocr-trt init {path} --role ...")


def _inspect_spec(path: Path, json: bool) -> None:
    from dataclasses import asdict

    from ..convert.audit import audit
    from ..convert.pipeline import convert
    from ..convert.sources import open_source
    from ..spec import load_spec

    spec = load_spec(path)
    source = open_source(spec.source)
    with ConsoleReporter(silent=json).step(f"convert {spec.name}"):
        found = audit(convert(source, spec))
    if json:
        print_json({"signature": _signature_dict(source.signature()), **asdict(found)})
        return
    _print_signature(spec.source.path, source.signature())
    _print_audit(spec.name, found)


def _signature_dict(signature: Signature) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(signature)


def _print_signature(path: Path, signature: Signature) -> None:
    rows = [
        (kind, info.name, info.dtype, _shape(info.shape))
        for kind, infos in (("input", signature.inputs), ("output", signature.outputs))
        for info in infos
    ]
    print_table(f"{path}", ("", "name", "dtype", "shape"), rows)


def _shape(shape: tuple[int | None, ...] | None) -> str:
    return "any" if shape is None else "x".join("?" if d is None else str(d) for d in shape)


def _fate(raw: int, clean: int) -> str:
    if not raw:
        return "made by a rule"
    if not clean:
        return "folded or rewritten"
    return "kept" if clean == raw else "partly folded or rewritten" if clean < raw else "more made"


def _print_audit(name: str, found: Audit) -> None:
    rows = [(row.op, row.raw, row.clean, _fate(row.raw, row.clean)) for row in found.ops]
    rows.append(("all", found.raw_nodes, found.clean_nodes, ""))
    print_table(f"{name}: ops", ("op", "exported", "clean", "what became of it"), rows)
    print(f"{found.parameters / 1e6:.2f} M parameters, {found.flops / 1e9:.2f} GFLOP at batch 1")
    for note in found.notes:
        print(f"note: {note}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(inspect)
