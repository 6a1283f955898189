"""The child process of ``training_batches.prefetched``: computes batches ahead of the training.

It reads a pickled function and its steps from stdin, and writes the pickled results to stdout.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from queue import Queue
from threading import Thread
from typing import Any, BinaryIO

DEPTH = 8
"""Batches that may wait for the parent."""


def _write(batches: Queue[Any], out: BinaryIO) -> None:
    """Write batches until None; if the parent is gone, end this process."""
    try:
        with out:
            while (batch := batches.get()) is not None:
                pickle.dump(batch, out, protocol=pickle.HIGHEST_PROTOCOL)
    except OSError:
        os._exit(1)  # the other thread may wait for a free place in the queue forever


def main() -> None:
    """Compute the batches that the parent requests."""
    # Ctrl-C reaches the parent too, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not be mixed with the batches
    import cv2

    cv2.setNumThreads(1)  # the other cores train
    make, steps = pickle.load(sys.stdin.buffer)
    batches: Queue[Any] = Queue(DEPTH)
    writer = Thread(target=_write, args=(batches, out))
    writer.start()
    try:
        for step in steps:
            batches.put(make(step))
    finally:
        batches.put(None)
        writer.join()


if __name__ == "__main__":
    main()
