"""``ocr-trt inspect``: what a model contains, and how it is converted."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConversionError, UserError, unknown
from .calibration_options import CalibrationOptions, check_paths
from .choices import RequestedPrecision, TargetChoice
from .inspect_ranges import inspect_ranges
from .model_options import check_exists, is_spec, load_spec_file
from .printing import print_json, print_table
from .shared_options import DisplayOptions, Trust

if TYPE_CHECKING:
    from ..convert.audit import Audit, OpRow
    from ..convert.sources import Signature
    from ..convert.verify import PassCheck
    from ..spec import ModelSpec


def inspect(
    model: Annotated[Path, typer.Argument(help="A spec, or a model without a spec.")],
    *,
    target: Annotated[
        TargetChoice | None, typer.Option(help="Also report which ops this target refuses.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(help="Show where this rule did not apply, and why.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the graph with the model after every rule.")
    ] = False,
    precision: Annotated[
        RequestedPrecision,
        typer.Option(help="With --calibration: the precision to find ranges for."),
    ] = RequestedPrecision.INT8,
    ranges: Annotated[
        Path | None, typer.Option(help="JSON file to write the ranges to, for build --ranges.")
    ] = None,
    trust: Trust = False,
    calibration: CalibrationOptions,
    display: DisplayOptions,
) -> None:
    """Show a model's inputs and outputs; for a spec, also every op and how it is converted.

    With --calibration: measure the range of every tensor without building anything, and report
    tensors whose range is doubtful. A dead tensor is always 0, a clipped one has values beyond its
    range, and the range of a moving one still changes with more images.

    For an ONNX graph with Q/DQ pairs from any tool: show which layers TensorRT runs in int8, and
    why it does not run the others in int8.

    The exit code is 3 if an op cannot be converted, or if the target refuses one.

    Example: `ocr-trt inspect detector.yaml --target tensorrt-rtx`
    """
    check_exists(model)
    check_paths(calibration)
    # An option of the group was given if the group differs from its defaults.
    needs_spec = target or explain or verify or ranges or calibration != CalibrationOptions()
    if not is_spec(model):
        # Without these options a model needs no spec: only its signature or its Q/DQ are shown.
        if needs_spec:
            raise UserError(
                f"{model} is a model: --target, --explain, --verify and --calibration need a spec; "
                f"write one with: ocr-trt init {model}"
            )
        if not _inspect_quantized(model, display.json):
            _inspect_model(model, display.json)
        return
    spec = load_spec_file(model)
    if calibration.calibration is not None:
        inspect_ranges(spec, precision, calibration, display, output=ranges, is_trusted=trust)
    elif ranges or calibration != CalibrationOptions():
        raise UserError("--ranges, --method, --skip-bad and --detector need --calibration DIR")
    elif verify:
        _verify(spec, display)
    else:
        _inspect_spec(spec, target.value if target else None, explain, display)


def _inspect_quantized(path: Path, json: bool) -> bool:
    """Print how TensorRT runs an ONNX graph with Q/DQ pairs; return False for any other file.

    Raises:
        ConversionError: TensorRT refuses an op.
    """
    if path.suffix != ".onnx":
        return False
    from ..calibration.lint import is_quantized, lint, prepared
    from ..common.onnx_files import read_onnx

    graph = read_onnx(path)
    if not is_quantized(graph):
        return False
    results = lint(prepared(graph))
    if json:
        print_json([asdict(each) for each in results])
    else:
        rows = [(each.node, each.op_type, each.runs, each.reason) for each in results]
        print_table(f"{path}: how TensorRT runs it", ("node", "op", "runs in", "why"), rows)
        total = sum(each.flops for each in results)
        in_int8 = sum(each.flops for each in results if each.runs == "int8")
        if total:
            print(f"{100 * in_int8 / total:.1f} % of the FLOPs of its layers run in int8")
    # After the table, so that it is printed in any case.
    refused = [each for each in results if each.runs == "refused"]
    if refused:
        listed = "; ".join(f"{each.node}: {each.reason}" for each in refused[:5])
        more = f"; and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise ConversionError(f"TensorRT refuses {path.name}: {listed}{more}")
    return True


def _inspect_model(path: Path, json: bool) -> None:
    from ..convert.sources import open_source
    from ..spec import SourceSpec

    signature = open_source(SourceSpec(path=path)).signature()
    if json:
        print_json(asdict(signature))
        return
    _print_signature(path, signature)
    print(f"To see how its ops are converted, write a spec: ocr-trt init {path} --role ROLE")


def _inspect_spec(
    spec: ModelSpec,
    target: str | None,
    explain: str | None,
    display: DisplayOptions,
) -> None:
    from ..convert.audit import audit
    from ..convert.pass_order import rule_names
    from ..convert.pipeline import convert
    from ..convert.sources import open_source
    from ..engines.targets import backend

    # Checked before the model is converted, which may take minutes.
    if explain is not None and explain not in (rules := rule_names()):
        raise UserError(unknown("rule", explain, rules))
    source = open_source(spec.source)
    with display.reporter().step(f"convert {spec.name}"):
        converted = convert(source, spec)
        refusals = backend(target).refusals(converted.model) if target else None
        result = audit(converted, refusals)
    if display.json:
        facts = {"signature": asdict(source.signature()), "batch_limit": converted.batch_limit}
        print_json({**facts, **asdict(result)})
    elif explain is not None:
        _print_skips(explain, result)
    else:
        _print_signature(spec.source.path, source.signature(), spec)
        _print_audit(spec.name, result, target)
        if converted.batch_limit:
            print(f"note: engines accept one image at a time: {converted.batch_limit}")
    if result.refused:
        # An empty name stands for the whole graph.
        listed = "; ".join(f"{node or 'the graph'}: {why}" for node, why in result.refused.items())
        raise ConversionError(f"{target} refuses {listed}")


def _verify(spec: ModelSpec, display: DisplayOptions) -> None:
    from ..convert.sources import open_source
    from ..convert.verify import verify
    from ..engines.tensorflow.baseline import baseline_runner

    source = open_source(spec.source)
    # Opened at its first use: the conversion checks first whether the model fits the memory.
    baseline = cache(lambda: baseline_runner(source, spec))
    with display.reporter().step(f"convert {spec.name} step by step"):
        checks = verify(source, spec, lambda images: baseline().run(images))
    if display.json:
        print_json([asdict(check) for check in checks])
    else:
        rows = [(check.name, f"{check.difference:.2g}") for check in checks]
        title = f"{spec.name}: difference from {baseline().label} after each rule"
        print_table(title, ("rule", "largest difference"), rows)
    _refuse_differences(checks, spec)


def _refuse_differences(checks: tuple[PassCheck, ...], spec: ModelSpec) -> None:
    # With fake quantization in the graph, a tiny difference may become a whole rounding step.
    exact = [check for check in checks if not check.rounds]
    # "not <=" instead of ">": NaN is a difference, too.
    wrong = next((check for check in exact if not check.difference <= check.allowed), None)
    if wrong is not None:
        limit = f"accuracy.max_difference {spec.accuracy.max_difference:g}"
        if wrong.allowed > spec.accuracy.max_difference:
            limit += f" and the rounding of a 16-bit model allow ({wrong.allowed:.3g})"
        place = (
            f"; the first value that differs is the output of {wrong.node}" if wrong.value else ""
        )
        raise ConversionError(
            f"after {wrong.name} the graph differs from the model by {wrong.difference:.3g}, more "
            f"than {limit}{place}; please report this model"
        )


def _print_signature(path: Path, signature: Signature, spec: ModelSpec | None = None) -> None:
    from ..convert.sources.spellings import own_spelling

    known = [info.name for info in signature.inputs]
    constants = spec.source.constants if spec else {}
    given = {own_spelling(name, known): _value(value) for name, value in constants.items()}
    rows = []
    for kind, infos in (("input", signature.inputs), ("output", signature.outputs)):
        for info in infos:
            fixed = ""
            if spec and info.name == spec.input.name:
                fixed = _fixed(info.shape, spec)
            elif spec and kind == "input":
                fixed = given.get(info.name, "")
            rows.append((kind, info.name, info.dtype, _shape(info.shape), fixed))
    if spec:
        # Names that are not in the signature are inner tensors at which the spec cuts the model.
        shown = {row[1] for row in rows}
        ends = ((spec.input.name, _shape(spec.input.shape)), (spec.output.name, ""))
        rows += [("cut at", name, "", "", size) for name, size in ends if name not in shown]
    header = ("", "name", "dtype", "shape", "fixed by the spec to")
    columns = 5 if spec else 4  # only a spec fixes sizes
    print_table(f"{path}", header[:columns], [row[:columns] for row in rows])


def _value(value: Path | float) -> str:
    return f"value {value:g}" if isinstance(value, float) else f"value {value}"


def _fixed(shape: tuple[int | None, ...] | None, spec: ModelSpec) -> str:
    """Return the sizes that the spec gives to the axes that the model leaves open."""
    if shape is None:
        return _shape(spec.input.shape)
    fixed = [str(size) for size in spec.input.shape]
    fixed[0] = f"1..{spec.input.max_batch}" if spec.input.max_batch > 1 else fixed[0]
    # The model has an engine for each of its sizes.
    for axis, sides in enumerate(zip(*spec.input_sizes, strict=True), spec.input.layout.index("H")):
        fixed[axis] = " or ".join(map(str, sorted(set(sides))))
    return ", ".join(
        f"{name} {size}"
        for name, size, known in zip(spec.input.layout, fixed, shape, strict=True)
        if known is None
    )


def _shape(shape: tuple[int | None, ...] | None) -> str:
    # None is an unknown rank, and a None in the shape is an axis of any size.
    return "any" if shape is None else "x".join("?" if d is None else str(d) for d in shape)


def _changes(row: OpRow, target: str | None) -> str:
    """Return by which rules the number of an op changed, or whether the target accepts it."""
    rules = ", ".join(f"{name} {change:+d}" for name, change in row.rules.items())
    if row.refused:
        more = f" and {len(row.refused) - 1} more" if len(row.refused) > 1 else ""
        return f"refused: {next(iter(row.refused))}{more}"
    native = f"accepted by {target}" if target and row.clean else ""
    return "; ".join(part for part in (rules, native) if part)


def _print_audit(name: str, result: Audit, target: str | None) -> None:
    accepted_by = target if "" not in result.refused else None  # "": the whole graph is refused
    rows = [(row.op, row.raw, row.clean, _changes(row, accepted_by)) for row in result.ops]
    rows.append(("all", result.raw_nodes, result.clean_nodes, ""))
    for note in result.notes:
        print(f"note: {note}")
    print_table(f"{name}: ops", ("op", "exported", "clean", "changed by"), rows)
    header = ("height x width", "nodes", "parameters", "MFLOP", "MB", "FLOP/byte")
    stages = [
        (
            stage.size,
            stage.nodes,
            f"{stage.parameters:,}",
            f"{stage.flops / 1e6:.1f}",
            f"{stage.bytes / 1e6:.2f}",
            f"{stage.intensity:.1f}",
        )
        for stage in result.stages
    ]
    print_table(f"{name}: work at batch 1, by size of the output", header, stages)
    print(f"{result.parameters / 1e6:.2f} M parameters, {result.flops / 1e9:.2f} GFLOP at batch 1")
    for rule, skips in result.skipped.items():
        places = f"{len(skips)} place{'s' if len(skips) > 1 else ''}"
        print(f"note: {rule} did not apply in {places}; see --explain {rule}")


def _print_skips(rule: str, result: Audit) -> None:
    skips = result.skipped.get(rule, {})
    for value, reason in skips.items():
        print(f"{value}: {reason}")
    if not skips:
        print(f"{rule} applied wherever it matched")
