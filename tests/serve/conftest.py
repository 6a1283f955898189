"""A service of models whose texts are known."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.readable_models import receipt, write_workplace
from tests.serve.client import Running, service


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bundles and images. Read-only."""
    return write_workplace(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="session")
def bundles(workplace: Path) -> tuple[object, ...]:
    """The options that name both bundles."""
    folder = workplace / "bundles"
    return ("--detector", folder / "detector", "--recognizer", folder / "recognizer")


@pytest.fixture(scope="session")
def running(bundles: tuple[object, ...]) -> Iterator[Running]:
    """A service with the default settings. Tests must leave it ready."""
    with service(*bundles) as own:
        yield own


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def image() -> bytes:
    """A PNG file with both texts."""
    return png(receipt(255, 150))
