"""Every test that asks for a database runs twice: on SQLite and on a real PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.store import standing
from quarterdeck.store.database import Database
from tests.postgresql import server
from tests.store.places import Desk, Place


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A new, empty database."""
    if request.param == "sqlite":
        async for found in _closing(Place("sqlite", tmp_path, None)):
            yield found
        return
    with server().fresh_database() as url:
        async for found in _closing(Place("postgresql", tmp_path, url)):
            yield found


@pytest.fixture
async def sqlite_place(tmp_path: Path) -> AsyncIterator[Place]:
    """A new SQLite database, for what only a file can do."""
    async for found in _closing(Place("sqlite", tmp_path, None)):
        yield found


@pytest.fixture
async def postgresql_place(tmp_path: Path) -> AsyncIterator[Place]:
    """A new PostgreSQL database, for what only a server can do."""
    with server().fresh_database() as url:
        async for found in _closing(Place("postgresql", tmp_path, url)):
            yield found


async def _closing(place: Place) -> AsyncIterator[Place]:
    try:
        yield place
    finally:
        await place.close()


@pytest.fixture
async def database(place: Place) -> Database:
    """A database that is open and founded."""
    db = place.open()
    await db.write(lambda tx: standing.found(tx, "inc_1"))
    return db


@pytest.fixture
async def desk(place: Place) -> Desk:
    """An agent at work on either database."""
    return await Desk.open(place)
