"""Load ``ocr-trt serve`` with many clients, and compare what they get with the service's goals.

python benchmarks/service_load.py DETECTOR RECOGNIZER [--parts throughput overload]

The images are the samples of the package. Clients and service share the machine. Exits with 1 if a
goal is missed.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from service_process import Answer, Request, Service, command, service, start

from ocr_trt.models.reference_models import SAMPLES

IMAGES = sorted((SAMPLES / "test").glob("*.jpg"))
DEADLINE = 20.0
"""Seconds; the default of ``--deadline``."""


class Goals:
    """Prints what was measured, and remembers whether a goal was missed."""

    def __init__(self) -> None:
        self.missed = 0

    def check(self, name: str, is_met: bool, measured: str) -> None:
        self.missed += not is_met
        print(f"  {'ok    ' if is_met else 'MISSED'} {name}: {measured}", flush=True)


def run_seconds(options: argparse.Namespace, count: int) -> float:
    images = [IMAGES[number % len(IMAGES)] for number in range(count)]
    start = time.monotonic()
    subprocess.run(
        command("run", options.detector, options.recognizer, *images, "--json"),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - start


def run_rate(options: argparse.Namespace) -> float:
    """Return the images per second of ``run`` without its start: the difference of two runs."""
    few, many = 20, 20 + options.requests
    return options.requests / (run_seconds(options, many) - run_seconds(options, few))


def good_requests(options: argparse.Namespace) -> list[Request]:
    """Return the sample images with the texts that ``run`` reads in them."""
    done = subprocess.run(
        command("run", options.detector, options.recognizer, *IMAGES, "--json"),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [
        Request(body=path.read_bytes(), texts=tuple(line["text"] for line in page["lines"]))
        for path, page in zip(IMAGES, json.loads(done.stdout), strict=True)
    ]


def garbage(good: Sequence[Request]) -> list[Request]:
    """Return bodies that are no readable image."""
    rng = np.random.default_rng(0)
    bodies = [
        b"",
        b"<html>no image</html>",
        rng.bytes(100_000),
        b"%PDF-1.7\n" + rng.bytes(2000),
        b"\x89PNG\r\n\x1a\n" + rng.bytes(2000),
        *(request.body[: len(request.body) // 3] for request in good[:3]),
    ]
    return [Request(body=body, texts=None) for body in bodies]


def percentile(answers: Sequence[Answer], share: float) -> float:
    return float(np.percentile([answer.seconds for answer in answers], share))


def throughput(options: argparse.Namespace, own: Service, goals: Goals) -> float:
    good, rates, answers = options.good, [], []
    own.closed_loop(good[:20], options.clients)
    for _ in range(options.rounds):  # alternating, so that a change of the machine affects both
        expected = run_rate(options)
        requests = [good[number % len(good)] for number in range(options.requests)]
        got, seconds = own.closed_loop(requests, options.clients)
        answers += got
        rates.append((len(got) / seconds, expected))
    rate, expected = (float(np.median(each)) for each in zip(*rates, strict=True))
    p50, p99 = percentile(answers, 50), percentile(answers, 99)
    goals.check("all answers right", all(answer.is_right for answer in answers), f"{len(answers)}")
    goals.check(
        "throughput >= 0.92 x run",
        rate >= 0.92 * expected,
        f"{rate:.2f} / {expected:.2f} images/s = {rate / expected:.3f}",
    )
    goals.check("p99 <= 3 x p50", p99 <= 3 * p50, f"{p99:.3f} / {p50:.3f} s = {p99 / p50:.2f}")
    return rate


def quarter_garbage(options: argparse.Namespace, own: Service, goals: Goals) -> None:
    good, bad = options.good, garbage(options.good)
    number = options.requests
    plain = [good[n % len(good)] for n in range(number)]
    mixed = [
        bad[n // 4 % len(bad)] if n % 4 == 0 else plain[n % number] for n in range(number * 4 // 3)
    ]
    _, seconds = own.closed_loop(plain, options.clients)
    answers, mixed_seconds = own.closed_loop(mixed, options.clients)
    refused = [answer for answer in answers if answer.is_garbage]
    read = [answer for answer in answers if not answer.is_garbage]
    statuses = dict(Counter(answer.status for answer in refused))
    goals.check("garbage gets 4xx", all(each.is_right for each in refused), f"{statuses}")
    goals.check("the rest is right", all(each.is_right for each in read), f"{len(read)}")
    rate, alone = len(read) / mixed_seconds, number / seconds
    goals.check("good images/s no lower (0.97)", rate >= 0.97 * alone, f"{rate:.2f} / {alone:.2f}")


def overload(options: argparse.Namespace, own: Service, goals: Goals) -> None:
    answers, seconds = own.closed_loop(options.good * 2, options.clients)
    capacity = len(answers) / seconds
    answers = own.open_loop(options.good, 2 * capacity, options.seconds)
    accepted = [answer for answer in answers if answer.status == 200]
    statuses = Counter(answer.status for answer in answers)
    shown = f"{dict(statuses)} at 2 x {capacity:.1f}/s for {options.seconds:.0f} s"
    goals.check("only 200 and 503", set(statuses) <= {200, 503}, shown)
    goals.check("accepted answers right", all(each.is_right for each in accepted), "")
    p50, p99 = percentile(accepted, 50), percentile(accepted, 99)
    goals.check(f"p99 <= {DEADLINE:g} s", p99 <= DEADLINE, f"{p99:.2f} s; p50 {p50:.2f} s")
    rate = len(accepted) / options.seconds
    goals.check("accepted >= 0.8 x capacity", rate >= 0.8 * capacity, f"{rate:.1f}/s")


def memory(options: argparse.Namespace, own: Service, goals: Goals) -> None:
    many = options.many
    requests = [options.good[number % len(options.good)] for number in range(many)]
    own.closed_loop(requests[: many // 10], options.clients)
    before = own.resident()
    own.closed_loop(requests[many // 10 :], options.clients)
    growth = own.resident() - before
    goals.check(
        f"growth after {many // 10} of {many} requests < 30 MiB",
        growth < 30,
        f"{growth:+.1f} MiB from {before:.0f} MiB",
    )


def counters(options: argparse.Namespace, own: Service, goals: Goals) -> None:
    for status, count in sorted(own.counts.items()):
        counted = own.counted(status)
        goals.check(
            f"/metrics counts status {status}", counted == count, f"{counted:.0f} / {count}"
        )


def restart(options: argparse.Namespace, own: Service, goals: Goals) -> None:
    own.process.send_signal(signal.SIGKILL)
    own.process.wait()
    begin = time.monotonic()
    again = start(options.detector, options.recognizer, "--port", own.port)
    seconds = time.monotonic() - begin
    answers, _ = again.closed_loop(options.good[:4], 4)
    goals.check("right after kill -9", all(answer.is_right for answer in answers), "")
    goals.check("starts in < 5 s", seconds < 5, f"{seconds:.2f} s")
    begin = time.monotonic()
    again.process.send_signal(signal.SIGTERM)
    code = again.process.wait()
    goals.check("SIGTERM: exit 0", code == 0, f"{code} after {time.monotonic() - begin:.2f} s")


PARTS: dict[str, Callable[[argparse.Namespace, Service, Goals], object]] = {
    "throughput": throughput,
    "garbage": quarter_garbage,
    "overload": overload,
    "memory": memory,
    "counters": counters,
    "restart": restart,
}
"""In the order in which they run; all use one service."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector", type=Path)
    parser.add_argument("recognizer", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3, help="of run and serve in turn")
    parser.add_argument("--many", type=int, default=2000, help="requests of the part memory")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    parser.add_argument("--serve", nargs="*", default=[], help="further options, without --")
    options = parser.parse_args()
    options.good = good_requests(options)
    goals = Goals()
    further = [f"--{each}" for each in options.serve]
    with service(options.detector, options.recognizer, *further) as own:
        for name in (part for part in PARTS if part in options.parts):
            print(name, flush=True)
            PARTS[name](options, own, goals)
    sys.exit(1 if goals.missed else 0)


if __name__ == "__main__":
    main()
