"""The page pool that is closed while images are read: results or the code "stopping"."""

from __future__ import annotations

import asyncio

import pytest

from ocr_trt.pipeline.reader import OcrReader
from ocr_trt.serve.admission import Ticket
from ocr_trt.serve.measures import Measures
from ocr_trt.serve.page_pool import PagePool
from ocr_trt.serve.problems import ServiceError
from ocr_trt.serve.settings import ServeSettings
from tests.pipeline.functions import (
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.003, 0.01])
def test_images_that_wait_when_the_pool_is_closed_get_an_error(image: bytes, pause: float) -> None:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)

    async def main() -> list[object]:
        pool = PagePool(OcrReader(detector, recognizer), ServeSettings(), Measures())

        async def read(ticket: Ticket) -> object:
            (page,) = await pool.read(ticket, image)
            return page.result

        with pool.admission.ticket(6) as ticket:
            reads = [asyncio.ensure_future(read(ticket)) for _ in range(6)]
            await asyncio.sleep(pause)
            await asyncio.to_thread(pool.close)
            outcomes = await asyncio.wait_for(asyncio.gather(*reads, return_exceptions=True), 60)
        with pytest.raises(ServiceError, match="shutting down"), pool.admission.ticket() as ticket:
            await read(ticket)
        assert pool.admission.in_flight == pool.admission.waiting == 0
        return outcomes

    for outcome in asyncio.run(main()):
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, ServiceError), outcome
            assert outcome.code == "stopping"
        else:
            assert outcome is not None
