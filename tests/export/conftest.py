"""Bundles with known results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.readable_models import write_workplace


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and with bundles that read them: bundles/detector and recognizer."""
    return write_workplace(tmp_path_factory.mktemp("workplace"))


@pytest.fixture(scope="session")
def readable(workplace: Path) -> tuple[Path, Path]:
    """The detector and the recognizer of the workplace."""
    return workplace / "bundles" / "detector", workplace / "bundles" / "recognizer"
