"""Available memory within control groups, and the budget that threads share."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocr_trt.common.memory import MemoryBudget, available_memory

MIB = 1 << 20


def write_group(folder: Path, limit: int | str, used: int, cached: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")


def test_least_limit_of_all_groups_counts(tmp_path: Path) -> None:
    root, own = tmp_path / "root", tmp_path / "cgroup"
    own.write_text("0::/system.slice/ocr.service\n")
    write_group(root / "system.slice", 300 * MIB, 100 * MIB, 10 * MIB)
    write_group(root / "system.slice/ocr.service", "max", 50 * MIB)
    assert available_memory(root, own) == 210 * MIB
    write_group(root / "system.slice/ocr.service", 64 * MIB, 50 * MIB)
    assert available_memory(root, own) == 14 * MIB
    write_group(root / "system.slice/ocr.service", 64 * MIB, 70 * MIB)
    assert available_memory(root, own) == 0


def test_groups_of_version_1_and_paths_of_the_host_are_read(tmp_path: Path) -> None:
    root, own = tmp_path / "root", tmp_path / "cgroup"
    own.write_text("9:name=systemd:/\n4:cpu,memory:/docker/of-the-host\n")
    memory = root / "memory"
    memory.mkdir(parents=True)
    (memory / "memory.limit_in_bytes").write_text(str(100 * MIB))
    (memory / "memory.usage_in_bytes").write_text(str(40 * MIB))
    (memory / "memory.stat").write_text(f"total_inactive_file {MIB}\n")
    assert available_memory(root, own) == 61 * MIB


def test_without_groups_the_machine_counts(tmp_path: Path) -> None:
    assert available_memory(tmp_path, tmp_path / "nothing") > MIB


def test_budget_is_never_exceeded_and_never_blocks_forever() -> None:
    budget, lock = MemoryBudget(100), threading.Lock()
    used = [0]
    most = [0]

    def work(amount: int) -> None:
        with budget.lend(amount):
            with lock:
                used[0] += amount
                most[0] = max(most[0], used[0])
            time.sleep(0.001)
            with lock:
                used[0] -= amount

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, [30, 40, 50, 60, 70, 100, 10] * 8))
    assert 60 <= most[0] <= 100


def test_more_than_the_budget_is_lent_alone_and_in_order() -> None:
    budget, order = MemoryBudget(100), []

    def large() -> None:
        with budget.lend(500):
            order.append("large")

    def small() -> None:
        with budget.lend(10):
            order.append("small")

    with ThreadPoolExecutor(2) as threads:
        with budget.lend(10):
            first = threads.submit(large)
            while len(budget._waiting) < 1:
                time.sleep(0.001)
            second = threads.submit(small)  # would fit, but must not overtake the large one
            while len(budget._waiting) < 2:
                time.sleep(0.001)
            assert order == []
        first.result(30)
        second.result(30)
    assert order == ["large", "small"]


def test_budget_is_free_again_after_an_error() -> None:
    budget = MemoryBudget(10)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            with budget.lend(10):
                raise RuntimeError
