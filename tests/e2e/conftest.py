"""Tests on real processes: what a user starts, kills, fills up and asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Launcher, launching


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """Starts processes in the test's own folder; they end with the test."""
    with launching(tmp_path) as found:
        yield found
