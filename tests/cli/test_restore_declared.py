"""`restore --declare`: what other tools put in place becomes a restore that is on record."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import command, write_fleet
from tests.postgresql import server


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A database on PostgreSQL, and the key that opens it."""
    key = tmp_path / "master.key"
    key.touch(mode=0o600)
    key.write_text(secrets.token_hex(32))
    with server().fresh_database() as url:
        yield {"QUARTERDECK_DATABASE_URL": url, "QUARTERDECK_KEY_FILE": str(key)}


def test_a_declared_restore_begins_anew_and_the_ledger_says_so(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    assert command("apply", write_fleet(tmp_path), folder=tmp_path, env=settings).status == 0
    done = command("restore", "--declare", "--json", folder=tmp_path, env=settings)
    assert done.status == 0, done.err
    assert (done.json["kept"], done.json["in_doubt"]) == (None, [])
    proved = command("ledger", "prove", done.json["incarnation"], folder=tmp_path, env=settings)
    assert "restored" in proved.out
    assert command("ledger", "verify", folder=tmp_path, env=settings).status == 0


def test_a_restore_is_of_a_file_or_declared_and_not_both(tmp_path: Path) -> None:
    for wrong in (("restore",), ("restore", "a.db", "--declare")):
        said = command(*wrong, folder=tmp_path)
        assert said.status == 2
        assert "--declare after pg_restore" in " ".join(said.err.split())


def test_on_sqlite_there_is_nothing_to_declare(tmp_path: Path) -> None:
    said = command("restore", "--declare", folder=tmp_path)
    assert said.status == 2
    assert "quarterdeck restore FILE" in said.err
