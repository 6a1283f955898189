"""Read thousands of damaged files: each must be read, or refused with an error of ocr-trt.

    python tests/fuzz.py --images 20000 --pages 4000 --specs 2000 --manifests 2000 --models 2000
    python tests/fuzz.py --images 1 --first 4711      repeats one case of a summary

Case number ``i`` of a kind depends only on the seed, the kind and ``i``. Cases run in chunks in
child processes; if one crashes, the crash is reported and the remaining cases run. A case has five
seconds of processor time. Failures are: a signal, a hang, an exception other than an
``OcrTrtError``, and a result that contradicts the reader's documentation.

``--plans`` gives onnxruntime and OpenVINO damaged plans whose manifest has matching hashes, which
no damaged download or disk produces. ``--keras_files``, ``--tflite`` and ``--saved_models`` give
TensorFlow damaged models. Native code of these libraries may crash; this is reported, but is not a
failure of ocr-trt (SECURITY.md).
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SCRIPT = HERE / "fuzz.py"
# In this order, because the place of a kind seeds its cases; new kinds come last.
KINDS = (
    *("images", "specs", "manifests", "models", "plans", "labels", "charsets", "constants"),
    *("foreign_images", "keras_files", "tflite", "saved_models", "pages", "integer_models"),
)
NATIVE = ("plans", "keras_files", "tflite", "saved_models")
"""Kinds that are parsed by native code of other libraries, whose crashes are not ours."""
CHUNK = 500
"""Cases per child process."""
CPU_SECONDS = 5.0
"""Processor time of a case; twelve times as much for a conversion by TensorFlow."""
WALL_SECONDS = 600.0
"""Time without output of a child, including its start."""


@dataclass(kw_only=True)
class Outcome:
    """The results of the cases of one kind.

    ``crashes``: one line per crash of a library in a case of ``NATIVE``. ``wrong``: one line per
    failure.
    """

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """The number of cases that were run."""
        return self.read + self.refused.total() + len(self.crashes) + len(self.wrong)


def run_chunk(kind: str, first: int, count: int, seed: int) -> None:
    """Run cases in this process; print a line for the parent before and after each."""
    from fuzz_cases import CASES

    from ocr_trt.errors import OcrTrtError

    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, native code or not
    parent = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is not for the parent
    with tempfile.TemporaryDirectory() as scratch:
        case = CASES[kind](Path(scratch))
        for number in range(first, first + count):
            print("case", number, file=parent, flush=True)
            rng = np.random.default_rng([seed, KINDS.index(kind), number])
            signal.setitimer(signal.ITIMER_PROF, _limit(kind))
            try:
                case(rng)
                report = "read"
            except OcrTrtError as error:
                report = f"refused {type(error).__name__}"
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                text = " ".join(str(error).split())[:200]
                report = f"wrong {type(error).__name__}: {text} ({where.filename}:{where.lineno})"
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            print(report, file=parent, flush=True)


def _lines(child: subprocess.Popen[str]) -> str | None:
    """Return the next line of a child; None if there is none in time, "" at its end."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        if not selector.select(WALL_SECONDS):
            return None
    return child.stdout.readline()


def _limit(kind: str) -> float:
    return 12 * CPU_SECONDS if kind in NATIVE[1:] else CPU_SECONDS


def _died(child: subprocess.Popen[str], kind: str) -> str:
    child.kill()
    code = child.wait()
    if code == -signal.SIGPROF:
        return f"hang: over {_limit(kind):g} s of processor time"
    if code == -signal.SIGKILL:
        return f"hang: no word for {WALL_SECONDS:g} s"
    return f"crash: {signal.Signals(-code).name}" if code < 0 else f"crash: exit code {code}"


def _watch(kind: str, first: int, count: int, seed: int, outcome: Outcome) -> int:
    """Run a chunk in a child until it ends or dies; return the number of cases that were run."""
    options = [f"--{kind}", str(count), "--first", str(first), "--seed", str(seed), "--child"]
    command = [sys.executable, str(SCRIPT), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    ) as child:
        assert child.stdout is not None
        number, done = first - 1, 0
        while done < count:
            line = _lines(child)
            if not line:  # also between two cases, where nothing should happen
                number = max(number, first + done)
                how = _died(child, kind)
                is_theirs = kind in NATIVE and how.startswith("crash: SIG")
                lines = outcome.crashes if is_theirs else outcome.wrong
                lines.append(f"{kind} {number}, seed {seed}: {how}")
                return number - first + 1
            word, _, rest = line.strip().partition(" ")
            if word == "case":
                number = int(rest)
                continue
            done += 1
            if word == "read":
                outcome.read += 1
            elif word == "refused":
                outcome.refused[rest] += 1
            else:
                outcome.wrong.append(f"{kind} {number}, seed {seed}: {rest}")
    return count


def fuzz(kind: str, count: int, seed: int = 0, first: int = 0) -> Outcome:
    """Run ``count`` cases of one kind in child processes."""
    outcome, end = Outcome(), first + count
    while first < end:
        first += _watch(kind, first, min(CHUNK, end - first), seed, outcome)
    return outcome


def main() -> int:
    """Print a line per kind and per failure; return 1 if ocr-trt failed in any case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=0, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true", help="run in this process")
    options = parser.parse_args()
    expected = {kind: getattr(options, kind) for kind in KINDS if getattr(options, kind)}
    failed = False
    for kind, count in expected.items():
        if options.child:
            run_chunk(kind, options.first, count, options.seed)
            continue
        outcome = fuzz(kind, count, options.seed, options.first)
        refused = ", ".join(f"{number} {name}" for name, number in outcome.refused.most_common())
        print(
            f"{kind}: {outcome.cases} cases, {outcome.read} read, {outcome.refused.total()} "
            f"refused ({refused}), {len(outcome.crashes)} crashes of libraries, "
            f"{len(outcome.wrong)} wrong",
            flush=True,
        )
        for line in (*outcome.crashes, *outcome.wrong):
            print(f"  {line}", flush=True)
        failed |= bool(outcome.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
