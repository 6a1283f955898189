"""Convert random Keras models; each must equal TensorFlow, or be refused for a reason.

    python tests/random_models.py --models 300 --seed 1
    python tests/random_models.py --seed 1 --only 17 --shrink --keep folder

Model number ``i`` depends only on the seed and ``i``. Each is built, saved, drafted a spec for as
by ``ocr-trt init``, converted, and compared with TensorFlow as by ``ocr-trt build``, all in this
process. Failures are: wrong numbers, an exception other than an ``OcrTrtError``, and a model that
takes longer than the limit.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

from ocr_trt.builder.compare import check_parity
from ocr_trt.builder.convert import ConvertedModel, convert_sizes
from ocr_trt.builder.tolerance import tolerance_of
from ocr_trt.common.progress import SilentReporter
from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.sources.pixels import pixel_noise
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import OcrTrtError
from ocr_trt.spec import SourceSpec, with_max_batch

if __package__:
    from .random_layers.plans import CLASSES, Plan, build, draw_plan, save
else:
    from random_layers.plans import CLASSES, Plan, build, draw_plan, save

SECONDS = 60.0
"""Time limit of a model."""
EQUAL, UNSTABLE, REFUSED = "equal", "unstable", "refused"
WRONG, BUG, LATE, UNBUILT = "wrong numbers", "internal error", "over time", "not a model"
FAILURES = (WRONG, BUG, LATE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one model."""

    number: int
    plan: Plan
    kind: str
    text: str = ""
    """The message of the error."""
    trace: str = ""
    """The traceback of a bug."""
    seconds: float = 0.0

    @property
    def group(self) -> str:
        """The error without what differs between models."""
        text = re.sub(r"'[^']*'|\"[^\"]*\"|\S*/\S+|layers? .*", "*", self.text)
        return f"{self.kind}: {re.sub(r'[0-9.e+-]*[0-9]', '#', text)[:110]}"


class _Late(BaseException):
    """The time is up. No Exception, which the code under test might catch."""


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, stop)
    # Again every five seconds: an exception in a finalizer, or in a bare except, is lost.
    signal.setitimer(signal.ITIMER_REAL, seconds, 5.0)
    # Code of C++ cannot be interrupted: end the process with a traceback in place of a hang.
    faulthandler.dump_traceback_later(seconds + 120, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def _compare(spec: Any, source: Any, model: ConvertedModel) -> tuple[str, str]:
    """Return the kind of outcome of converted graphs, and the difference as text."""
    tolerance = tolerance_of(model, spec)
    ours = Engine.from_graphs(model.graphs.__getitem__, spec=spec, label="fp32 graph")
    theirs = Engine(
        label="tensorflow",
        spec=spec,
        open_runner=lambda size: baseline_runner(source, spec, size),
    )
    text, worst = "", 0.0
    with ours, theirs:
        try:
            check_parity(ours, theirs, tolerance, graphs=model.graphs)
            # Of a model in 16 bits, the rounding at this batch is not known.
            if spec.input.max_batch > 1 and tolerance.float_type is None:
                images = pixel_noise(spec.input, 3, spec.input.size, np.random.default_rng(1))
                one, other = ours.runner().run(images), theirs.runner().run(images)
                if one.shape != other.shape:
                    return WRONG, f"batch 3: {one.shape} in place of {other.shape}"
                worst = float(np.abs(one - other).max())
                if not worst <= spec.accuracy.max_difference:
                    text = f"batch 3: differs by {worst:.3g}"
        except OcrTrtError as error:
            if "the model itself returns NaN" in str(error):
                return UNBUILT, str(error)
            if "differs from the model" not in str(error):
                return (WRONG if "returns" in str(error) else REFUSED), str(error)
            text = str(error)
        if not text:
            return EQUAL, ""
        return (UNSTABLE if _is_unstable(theirs.runner(), spec) else WRONG), text


def _is_unstable(runner: Any, spec: Any) -> bool:
    """Whether rounding in the input changes the model's own output as much as an error would."""
    rng = np.random.default_rng(0)
    image = pixel_noise(spec.input, 1, spec.input.size, rng)
    before = runner.run(image)
    largest = 0.0
    for _ in range(8):
        noise = rng.uniform(-1e-6, 1e-6, image.shape).astype(np.float32)
        largest = max(largest, float(np.abs(runner.run(image + noise) - before).max()))
    return not largest <= spec.accuracy.max_difference / 4


def examine(number: int, plan: Plan, folder: Path, seconds: float = SECONDS) -> Outcome:
    """Build, convert and compare one model."""
    begin = time.monotonic()

    def outcome(kind: str, text: str = "", trace: str = "") -> Outcome:
        spent = time.monotonic() - begin
        return Outcome(number=number, plan=plan, kind=kind, text=text, trace=trace, seconds=spent)

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        path = save(build(plan), plan, folder)
    except Exception as error:  # of Keras, which cannot save every model that it can build
        return outcome(UNBUILT, f"{type(error).__name__}: {error}".split("\n")[0])
    try:
        with _limit(seconds):
            return outcome(*_convert_and_compare(plan, path))
    except _Late:
        return outcome(LATE, trace=traceback.format_exc(), text=_place())
    except OcrTrtError as error:
        kind = REFUSED if _keras_runs(plan) else UNBUILT
        return outcome(kind, f"{type(error).__name__}: {error}")
    except Exception as error:  # what the command line reports as a bug
        text = f"{type(error).__name__}: {error}".split("\n")[0]
        return outcome(BUG, text, traceback.format_exc())


def _keras_runs(plan: Plan) -> bool:
    """Whether the model itself accepts an image; Keras builds some models that do not."""
    try:
        build(plan)(np.zeros((plan.batch or 1, *plan.shape), np.float32))
    except Exception:  # of any kind: Keras and TensorFlow have no common class of errors
        return False
    return True


def _place() -> str:
    """Return the innermost line of ocr-trt that the current exception passed through."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    own = [frame for frame in frames if "/convert/" in frame.filename]
    return f"in {Path(own[-1].filename).name}: {own[-1].name}" if own else ""


def _convert_and_compare(plan: Plan, path: Path) -> tuple[str, str]:
    source_spec = SourceSpec(path=path, allow_lambda=True)
    height, width, channels = plan.shape
    hints = Hints(
        source=source_spec,
        # A free size would become that of a large image.
        input=("image", (1, height, width, channels)) if plan.is_free else None,
        charset=None if plan.role == "detector" else "".join(map(chr, range(97, 96 + CLASSES))),
    )
    spec = draft_spec(plan.role, hints)  # type: ignore[arg-type]
    source = open_source(spec.source)
    model = convert_sizes(source, spec, SilentReporter())
    if model.batch_limit:
        spec = with_max_batch(spec, 1)
    return _compare(spec, source, model)


def shrink(outcome: Outcome, folder: Path) -> Outcome:
    """Leave out steps, and simplify choices, as long as the error stays the same."""
    best, changed = outcome, True
    while changed:
        changed = False
        for plan in _smaller(best.plan):
            tried = examine(outcome.number, plan, folder)
            if tried.group == outcome.group:
                best, changed = tried, True
                break
    return best


def _smaller(plan: Plan) -> Iterator[Plan]:
    for field in ("maps", "sequences"):
        steps = getattr(plan, field)
        for i in range(len(steps)):
            yield replace(plan, **{field: steps[:i] + steps[i + 1 :]})
    simple = {"policy": "float32", "format": "keras", "is_free": False, "batch": 1}
    for field, value in simple.items():
        if getattr(plan, field) != value:
            yield replace(plan, **{field: value})


def outcomes(
    models: int, seed: int, first: int = 0, *, seconds: float = SECONDS
) -> Iterator[Outcome]:
    """Examine models; those that Keras cannot build are replaced by later ones."""
    import ocr_trt.convert.sources.tf_graph as tf_graph

    tf_graph.import_tensorflow()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        number, done = first, 0
        while done < models:
            outcome = examine(number, draw_plan(seed, number), Path(folder) / "model", seconds)
            done += outcome.kind != UNBUILT
            number += 1
            yield outcome


def described(plan: Plan) -> str:
    """Return a plan in one line."""
    steps = [name.split(".")[-1] for name, _ in (*plan.maps, *plan.sequences)]
    shape = "x".join(map(str, (plan.batch or "N", *plan.shape)))
    free = " free" if plan.is_free else ""
    return f"{plan.role} {plan.format} {plan.policy} {shape}{free}: {' '.join(steps)}"


def report(found: list[Outcome], seed: int) -> str:
    """Return the failures, grouped by error, and how many models had which outcome."""
    groups = defaultdict[str, list[Outcome]](list)
    for outcome in found:
        if outcome.kind in (*FAILURES, REFUSED, UNSTABLE):
            groups[outcome.group].append(outcome)
    lines = []
    order = sorted(groups, key=lambda g: (groups[g][0].kind not in FAILURES, -len(groups[g])))
    for group in order:
        members = groups[group]
        lines += [f"\n## {len(members)} x {group}", f"    {members[0].text[:400]}"]
        for each in sorted(members, key=lambda o: len(o.plan.maps) + len(o.plan.sequences))[:6]:
            lines.append(f"    --seed {seed} --only {each.number}   {described(each.plan)}")
    counts = Counter(outcome.kind for outcome in found)
    seconds = sum(outcome.seconds for outcome in found) / max(1, len(found))
    counted = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return "\n".join([f"{len(found)} models: {counted}; {seconds:.2f} s per model", *lines])


def main() -> None:
    """Examine models, and print the failures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first model")
    parser.add_argument("--only", type=int, help="examine this model alone, and print all")
    parser.add_argument("--shrink", action="store_true", help="leave out layers (with --only)")
    parser.add_argument("--keep", type=Path, help="folder to save the model of --only in")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit for a model")
    options = parser.parse_args()
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    if options.only is not None:
        _examine_one(options)
        return
    found = []
    # SIGTERM, such as from `timeout`, ends the run early, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    with contextlib.suppress(KeyboardInterrupt):
        for outcome in outcomes(
            options.models, options.seed, options.first, seconds=options.seconds
        ):
            found.append(outcome)
            if sys.stderr.isatty() or outcome.kind in FAILURES:
                line = f"{outcome.number} {outcome.kind} {outcome.seconds:.1f} s {outcome.text}"
                print(line[:150], file=sys.stderr, flush=True)
    print(report(found, options.seed))
    sys.exit(any(outcome.kind in FAILURES for outcome in found))


def _examine_one(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "model"
        outcome = examine(
            options.only, draw_plan(options.seed, options.only), folder, options.seconds
        )
        if options.shrink:
            outcome = shrink(outcome, folder)
            examine(options.only, outcome.plan, folder)
        build(outcome.plan).summary()
    print(outcome.trace, outcome.plan, described(outcome.plan), sep="\n")
    print(f"{outcome.kind}: {outcome.text} ({outcome.seconds:.1f} s)")


if __name__ == "__main__":
    main()
