"""Find the differences between two bundles: model, graphs, precision, ranges, accuracy, speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.input_size import by_area
from ..common.onnx_files import read_onnx
from ..ocr.metrics.metric import METRICS
from .bundle import Bundle
from .manifest import Calibration, Compression, Manifest, TargetTrial, Verdict
from .points_text import loss_text, signed_points


@dataclass(frozen=True, kw_only=True)
class BundleDifference:
    """One fact that differs; None if a bundle does not have it."""

    what: str
    first: str | None
    second: str | None


def bundle_differences(first: Bundle, second: Bundle) -> tuple[BundleDifference, ...]:
    """Compare two bundles whose files have been checked.

    Raises:
        InputFileError: a graph is damaged.
    """
    one, other = first.manifest, second.manifest
    return (
        *_fields("spec", _plain(one.spec), _plain(other.spec)),
        *_fields("", facts(one), facts(other)),
        *_fields("version of ", one.versions, other.versions),
        *_fields("setting ", one.settings, other.settings),
        *_graphs(first, second),
        *_decisions(one.compression, other.compression),
        *_fields("in float: ", one.precision_exceptions, other.precision_exceptions),
        *_ranges(one.calibration, other.calibration),
    )


def facts(manifest: Manifest) -> dict[str, object]:
    """Return the properties and measurements of a bundle as text; None: not applicable."""
    calibration = manifest.calibration
    share, choice = manifest.int8_share, manifest.choice
    others = [each for each in manifest.compared_targets if not each.chosen]
    return {
        "source": f"SHA-256 {manifest.source_sha256[:12]}",
        "target": manifest.target,
        "precision": manifest.precision,
        "chose": choice and f"{choice.label}: {choice.reason}",
        **{f"compared with {each.target}": _trial_text(each) for each in others},
        **_compressed(manifest.compression),
        "FLOPs in int8": None if share is None else f"{100 * share:.1f} %",
        "one image at a time because": manifest.batch_limit or None,
        "largest int8 weight": manifest.largest_weight,
        "calibration method": calibration and calibration.method,
        "corrections": calibration and (", ".join(calibration.corrections) or None),
        "calibration images": calibration
        and f"{calibration.images}, SHA-256 {calibration.data_sha256[:12]}",
        **_measured(manifest.verdict),
    }


def _compressed(compression: Compression | None) -> dict[str, object]:
    """Return what was compressed, or why nothing was."""
    if compression is None:
        return {}
    factored = [each for each in compression.decisions if each.kind == "factor"]
    pruned = [each for each in compression.decisions if each.kind == "prune"]
    metric, interval = compression.metric, compression.interval
    lost = loss_text(metric.loss, interval, of=METRICS[metric.name].title) if metric else ""
    agreement = compression.agreement
    parts = (
        f"{len(factored)} layers factored",
        f"{len(pruned)} groups of channels pruned",
        f"{compression.dead_channels} dead channels removed" if compression.dead_channels else "",
        f"2:4 sparse weights in {compression.sparse_layers} layers"
        if compression.sparse_layers
        else "",
        f"{100 * compression.kept_flops:.1f} % of the FLOPs remain",
        f"fitted to {compression.images} images",
        lost and f"{lost} in fp32",
        "" if agreement is None else f"{100 * agreement:.2f} % agreement with the model",
    )
    before = compression.uncompressed
    return {
        "compression": ", ".join(part for part in parts if part)
        if compression.is_applied
        else "none",
        "reason of the compression": compression.reason,
        "latency without compression": before and f"{before.engine:.2f} ms, {before.speedup:.2f}x",
    }


def _trial_text(trial: TargetTrial) -> str:
    """Return the figures of a target that was not chosen, or why it has no engine."""
    if trial.error:
        return f"no engine: {trial.error}"
    metric, latency = trial.metric, trial.latency
    return "; ".join(
        (
            trial.label,
            *((f"{latency.engine:.2f} ms, {latency.speedup:.2f}x",) if latency else ()),
            *((f"{metric.name} {100 * metric.engine:.2f}",) if metric else ()),
            *((f"points lost {signed_points(metric.loss)}",) if metric else ()),
        )
    )


def _measured(verdict: Verdict | None) -> dict[str, object]:
    if verdict is None:
        return {}
    result: dict[str, object] = {
        "measured against": verdict.baseline,
        "fp32 differs by": f"{verdict.max_difference:.1e}",
    }
    if (metric := verdict.metric) is not None:
        against = "labels" if metric.labeled else "the model's own output"
        result[metric.name] = (
            f"{100 * metric.engine:.2f} on {metric.samples} samples against {against}, run by "
            f"{metric.engine_run_by}"
        )
        result["points lost"] = signed_points(metric.loss)
    if (latency := verdict.latency) is not None:
        result["latency"] = f"{latency.engine:.2f} ms, {latency.speedup:.2f}x"
    return result


def _plain(spec: Any) -> dict[str, object]:
    """Return a spec's fields by dotted name, without the path of its source."""

    def flat(data: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
        for key, value in data.items():
            if isinstance(value, Mapping):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    # The path differs between folders; the hash of the source is compared in its place.
    return {f".{k}": v for k, v in flat(spec.model_dump(mode="json"), "") if k != "source.path"}


def _fields(
    prefix: str, first: Mapping[str, object], second: Mapping[str, object]
) -> Iterator[BundleDifference]:
    for key in dict.fromkeys((*first, *second)):  # each key once, those of the first bundle first
        one, other = first.get(key), second.get(key)
        if one != other:
            yield BundleDifference(what=f"{prefix}{key}", first=_text(one), second=_text(other))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _graphs(first: Bundle, second: Bundle) -> Iterator[BundleDifference]:
    engines = [{e.size: e for e in bundle.manifest.engines} for bundle in (first, second)]
    for size in sorted(engines[0].keys() & engines[1].keys(), key=by_area):
        one, other = engines[0][size], engines[1][size]
        sums = [b.manifest.files for b in (first, second)]
        # Counting ops reads both graphs, so it is done only for graphs that differ.
        if sums[0][one.model] != sums[1][other.model]:
            counts = [_ops(b, e.model) for b, e in ((first, one), (second, other))]
            yield from _fields(f"nodes at {size}: ", counts[0], counts[1])
        for what, name, other_name in (
            ("graph", one.model, other.model),
            ("plan", one.plan, other.plan),
        ):
            if sums[0][name] != sums[1][other_name]:
                yield BundleDifference(
                    what=f"{what} at {size}",
                    first=f"SHA-256 {sums[0][name].sha256[:12]}",
                    second=f"SHA-256 {sums[1][other_name].sha256[:12]}",
                )


def _ops(bundle: Bundle, name: str) -> Counter[str]:
    return Counter(node.op_type for node in read_onnx(bundle.path(name)).graph.all_nodes())


def _decisions(first: Compression | None, second: Compression | None) -> Iterator[BundleDifference]:
    """Yield the layers and groups that were compressed in different ways."""
    one, other = (_decided(each) for each in (first, second))
    yield from _fields("compression of ", one, other)


def _decided(compression: Compression | None) -> dict[str, object]:
    """Return what was done to each layer and group, by its name."""
    decided: dict[str, object] = {}
    for each in compression.decisions if compression is not None else ():
        if each.kind == "factor":
            decided[f"layer {each.layer}"] = f"rank {each.rank}"
        else:
            decided[f"group {each.group}"] = f"{len(each.kept)} channels: {_spans(each.kept)}"
    return decided


def _spans(numbers: Sequence[int]) -> str:
    """Return ascending numbers as text: "0-3, 7"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def _ranges(first: Calibration | None, second: Calibration | None) -> Iterator[BundleDifference]:
    if first is None or second is None:
        return
    one, other = first.ranges, second.ranges
    for name in dict.fromkeys((*one, *other)):
        if (name in one) != (name in other):
            limits = [f"{ranges[name]:.4g}" if name in ranges else None for ranges in (one, other)]
            yield BundleDifference(what=f"range of {name}", first=limits[0], second=limits[1])
    # Relative to the larger limit, so that the order of the bundles does not matter.
    changed = {
        name: abs(limit - other[name]) / max(limit, other[name])
        for name, limit in one.items()
        if name in other and limit != other[name]
    }
    if changed:
        largest = max(changed, key=lambda name: changed[name])
        what = f"{len(changed)} ranges; the largest change is that of {largest}"
        yield BundleDifference(
            what=what, first=f"{one[largest]:.4g}", second=f"{other[largest]:.4g}"
        )
