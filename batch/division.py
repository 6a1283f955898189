"""How CPUs are divided among actors, and images among blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..common.cores import usable_cores
from ..common.memory import available_memory
from ..errors import UserError

HELPERS = 2
"""CPUs for Ray's tasks that filter and divide rows, which are idle most of the time.

On a single machine they are in addition to the real ones; in a cluster, no actor uses them.
"""
_FEWEST = 2
_THREADS = 4
"""Most threads of an actor by default: more would wait for each other at the end of each block."""
_MEMORY = 1 << 30
"""Bytes that an actor needs, roughly: the reference models with one thread need half of it."""
_USED = 0.95
"""The actors use at least this share of the CPUs that the best division would use."""
_SMALLEST_BLOCK, _LARGEST_BLOCK = 8, 256
_BLOCKS_PER_ACTOR = 16
"""Blocks that each actor reads at least, so that all end at about the same time."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What Ray may assign of a machine."""

    cpus: int
    memory: int
    """Bytes."""


def divide_cpus(
    machines: Sequence[Machine],
    *,
    actors: int = 0,
    threads: int = 0,
    spare: int = 0,
    gpus: int = 0,
) -> tuple[int, int]:
    """Return the number of actors, and the threads of each.

    Actors x threads = CPUs, as far as they can be divided. An actor with one thread never waits for
    the last image of a block, so there are more threads only if memory is short.

    Args:
        machines: those that read.
        actors: the number that the user requests; 0: none.
        threads: the number that the user requests; 0: none.
        spare: how many of all CPUs must stay free.
        gpus: how many there are, if each actor needs one.

    Raises:
        UserError: no machine has the CPUs that an actor needs.
    """
    cpus = [machine.cpus for machine in machines]
    if threads > max(cpus):
        raise UserError(
            f"--threads {threads}: no machine has that many CPUs; give at most {max(cpus)}"
        )
    if gpus:  # several threads keep a GPU busy
        actors = actors or gpus
        threads = threads or max(1, min(_THREADS, min(cpus), (sum(cpus) - spare) // actors))
    if actors and not threads:
        threads = max(1, min(min(cpus), sum(cpus) // actors))
    if actors:
        return actors, threads
    numbers = [threads] if threads else list(range(1, _THREADS + 1))
    used = {each: each * _room(cpus, each, spare) for each in numbers}
    best = max(used.values())
    if not best:  # a single actor leaves no CPU, or none spare
        return 1, threads or 1
    good = [each for each in numbers if used[each] >= _USED * best]
    threads = next((each for each in good if _fits(machines, each)), good[-1])
    return used[threads] // threads, threads


def _room(cpus: Sequence[int], threads: int, spare: int) -> int:
    """Return how many actors fit if ``spare`` CPUs stay free."""
    return min(sum(each // threads for each in cpus), max(0, sum(cpus) - spare) // threads)


def _fits(machines: Sequence[Machine], threads: int) -> bool:
    return all(each.cpus // threads * _MEMORY <= each.memory for each in machines)


def this_machine() -> Machine:
    """Return the cores and the memory that this process may use."""
    return Machine(cpus=usable_cores(), memory=available_memory())


def machines_of_cluster() -> list[Machine]:
    """Return the machines of the cluster that this process is connected to.

    Raises:
        UserError: they have less than two CPUs.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    machines = [
        Machine(cpus=int(each["CPU"]), memory=int(each.get("memory", 0)))
        for each in nodes
        if each.get("CPU", 0) >= 1
    ]
    total = sum(machine.cpus for machine in machines)
    if total < _FEWEST:
        raise UserError(
            f"the cluster has {total} CPUs, expected at least {_FEWEST}: one reads images, and one "
            "distributes them; see: ray start --num-cpus"
        )
    return machines


def gpus_of_cluster() -> int:
    """Return the number of GPUs that Ray may assign.

    Raises:
        UserError: there are none.
    """
    import ray

    if not (gpus := int(ray.cluster_resources().get("GPU", 0))):
        raise UserError(
            "the bundles are for GPUs, and Ray finds none; start Ray on machines with GPUs, or "
            "build the bundles for a target that runs on the CPU"
        )
    return gpus


def block_size(images: int, actors: int) -> int:
    """Return how many images are read and written together.

    A killed actor loses the block that it reads, so blocks are small. Each is a task of Ray and a
    file, so there are not too many.
    """
    return max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, math.ceil(images / actors / _BLOCKS_PER_ACTOR)))
