from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ocr_trt.common.pool import Pool


def test_each_item_serves_one_thread_at_a_time() -> None:
    pool, used = Pool("ab"), set[str]()

    def use(_: int) -> None:
        with pool.lend() as item:
            assert item not in used
            used.add(item)
            used.remove(item)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(200)))


def test_item_comes_back_after_an_error() -> None:
    pool = Pool([1])
    with pytest.raises(ValueError, match="x"), pool.lend():
        raise ValueError("x")
    with pool.lend() as item:
        assert item == 1
