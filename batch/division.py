"""How CPUs are divided among actors, and images among blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import UserError

HELPERS = 2
"""CPUs for Ray's tasks that filter and divide rows, which are idle most of the time.

On a single machine they are in addition to the real ones; in a cluster, no actor uses them.
"""
_FEWEST = 2
_THREADS = 4
"""Most threads of an actor by default: more actors use the cores better, but need more memory."""
_USED = 0.95
"""The actors use at least this share of the CPUs that the best division would use."""
_SMALLEST_BLOCK, _LARGEST_BLOCK = 8, 256
_BLOCKS_PER_ACTOR = 16
"""Blocks that each actor reads at least, so that all end at about the same time."""


def divide_cpus(
    cpus: Sequence[int], *, actors: int = 0, threads: int = 0, spare: int = 0
) -> tuple[int, int]:
    """Return the number of actors, and the threads of each.

    Actors x threads = CPUs, as far as they can be divided.

    Args:
        cpus: the CPUs of each machine.
        actors: the number that the user requests; 0: none.
        threads: the number that the user requests; 0: none.
        spare: how many of all CPUs must stay free.

    Raises:
        UserError: no machine has the CPUs that an actor needs.
    """
    if threads > max(cpus):
        raise UserError(
            f"--threads {threads}: no machine has so many CPUs; the largest has {max(cpus)}"
        )
    if actors and not threads:
        threads = max(1, min(min(cpus), sum(cpus) // actors))
    if actors:
        return actors, threads
    numbers = [threads] if threads else list(range(_THREADS, 0, -1))
    used = {each: each * _room(cpus, each, spare) for each in numbers}
    # Fewer actors need less memory, so it is the largest number of threads that is good enough.
    best = max(used.values())
    if not best:  # a single actor leaves no CPU, or none spare
        return 1, threads or 1
    threads = next(each for each in numbers if used[each] >= _USED * best)
    return used[threads] // threads, threads


def _room(cpus: Sequence[int], threads: int, spare: int) -> int:
    """Return how many actors fit if ``spare`` CPUs stay free."""
    return min(sum(each // threads for each in cpus), max(0, sum(cpus) - spare) // threads)


def cpus_of_cluster() -> list[int]:
    """Return the CPUs of each machine of the cluster that this process is connected to.

    Raises:
        UserError: there are less than two.
    """
    import ray

    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    cpus = [int(each) for each in nodes if each >= 1]
    if sum(cpus) < _FEWEST:
        raise UserError(
            f"the cluster has {sum(cpus)} CPUs, expected at least {_FEWEST}: one reads images, and "
            "one distributes them; see: ray start --num-cpus"
        )
    return cpus


def block_size(images: int, actors: int) -> int:
    """Return how many images are read and written together.

    A killed actor loses the block that it reads, so blocks are small. Each is a task of Ray and a
    file, so there are not too many.
    """
    return max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, math.ceil(images / actors / _BLOCKS_PER_ACTOR)))
