"""What differs between two bundles: the model, its graph, precision, ranges, accuracy, speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..onnx_file import read_onnx
from .bundle import Bundle
from .manifest import Calibration, Manifest, Verdict


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not the same. ``None``: one of them has no such thing."""

    what: str
    first: str | None
    second: str | None


def bundle_differences(first: Bundle, second: Bundle) -> tuple[Difference, ...]:
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
        *_fields("float: ", one.node_precisions, other.node_precisions),
        *_ranges(one.calibration, other.calibration),
    )


def facts(manifest: Manifest) -> dict[str, object]:
    """Return what a bundle is and what was measured of it, in words; None: it has no such thing."""
    calibration = manifest.calibration
    share = manifest.int8_share
    return {
        "source": f"SHA-256 {manifest.source_sha256[:12]}",
        "target": manifest.target,
        "precision": manifest.precision,
        "FLOPs in int8": None if share is None else f"{100 * share:.1f} %",
        "largest int8 weight": manifest.largest_weight,
        "calibration method": calibration and calibration.method,
        "remedies": calibration and (", ".join(calibration.remedies) or None),
        "calibration pictures": calibration
        and f"{calibration.pictures}, SHA-256 {calibration.data_sha256[:12]}",
        **_measured(manifest.verdict),
    }


def _measured(verdict: Verdict | None) -> dict[str, object]:
    if verdict is None:
        return {}
    found: dict[str, object] = {
        "measured against": verdict.baseline,
        "fp32 differs by": f"{verdict.max_difference:.1e}",
    }
    if (metric := verdict.metric) is not None:
        found[metric.name] = f"{100 * metric.engine:.2f} on {metric.samples} samples"
        found["points lost"] = f"{metric.loss:+.2f}"
    if (latency := verdict.latency) is not None:
        found["latency"] = f"{latency.engine:.2f} ms, {latency.speedup:.2f}x"
    return found


def _plain(spec: Any) -> dict[str, object]:
    """Return a spec's fields by dotted name; where its source lies says nothing."""

    def flat(data: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
        for key, value in data.items():
            if isinstance(value, Mapping):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return {f".{k}": v for k, v in flat(spec.model_dump(mode="json"), "") if k != "source.path"}


def _fields(
    prefix: str, first: Mapping[str, object], second: Mapping[str, object]
) -> Iterator[Difference]:
    for key in dict.fromkeys((*first, *second)):
        one, other = first.get(key), second.get(key)
        if one != other:
            yield Difference(what=f"{prefix}{key}", first=_text(one), second=_text(other))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _graphs(first: Bundle, second: Bundle) -> Iterator[Difference]:
    models = [
        {engine.width: (bundle, engine.model) for engine in bundle.manifest.engines}
        for bundle in (first, second)
    ]
    for width in sorted(models[0].keys() & models[1].keys()):
        (one, name), (other, other_name) = models[0][width], models[1][width]
        if one.manifest.files[name] == other.manifest.files[other_name]:
            continue
        counts = [_ops(b, n) for b, n in ((one, name), (other, other_name))]
        if counts[0] == counts[1]:
            yield Difference(what=f"graph at width {width}", first="numbers", second="differ")
        for op in sorted(counts[0].keys() | counts[1].keys()):
            if counts[0][op] != counts[1][op]:
                yield Difference(
                    what=f"{op} nodes at width {width}",
                    first=str(counts[0][op]),
                    second=str(counts[1][op]),
                )


def _ops(bundle: Bundle, name: str) -> Counter[str]:
    return Counter(node.op_type for node in read_onnx(bundle.path(name)).graph)


def _ranges(first: Calibration | None, second: Calibration | None) -> Iterator[Difference]:
    if first is None or second is None:
        return
    both = [name for name in first.ranges if name in second.ranges]
    changed = [name for name in both if first.ranges[name] != second.ranges[name]]
    if not changed:
        return

    def step(name: str) -> float:
        one, other = first.ranges[name], second.ranges[name]
        return abs(one - other) / max(abs(one), abs(other))

    most = max(changed, key=step)
    what = f"ranges ({len(changed)} of {len(both)}), most of all {most}"
    one, other = f"{first.ranges[most]:.4g}", f"{second.ranges[most]:.4g}"
    yield Difference(what=what, first=one, second=other)
