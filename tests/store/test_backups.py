"""Backups are complete and checked; a restore is an event that voids what was outstanding."""

import os
from pathlib import Path

import msgspec
import pytest

from quarterdeck.domain.actions import Done, InDoubt, Proposal
from quarterdeck.domain.errors import (
    Conflict,
    Corrupt,
    Forbidden,
    Invalid,
    QuarterdeckError,
    Unidentified,
)
from quarterdeck.domain.people import Caller
from quarterdeck.keys import make_master
from quarterdeck.services.backups import Backups, Restored, manifest_path, read_manifest, restore
from quarterdeck.services.ledger import LedgerReadings
from quarterdeck.sources import SystemClock, TimeSortedIds
from quarterdeck.store import standing
from quarterdeck.store.keys import Keyring
from quarterdeck.verifier import verify
from tests.store.places import DICE, OWNER, Desk, Place

VIEWER = Caller(id="local:viewer", role="viewer")


def backups_of(desk: Desk) -> Backups:
    """The service on a desk's database."""
    return Backups(db=desk.db, settings=desk.place.settings, clock=SystemClock(), dice=DICE)


async def restored(place: Place, path: Path, *, caller: Caller = OWNER) -> Restored:
    """A restore into the place's data folder."""
    return await restore(
        caller, path, place.settings, clock=SystemClock(), dice=DICE, ids=TimeSortedIds()
    )


@pytest.fixture
async def busy(sqlite_place: Place) -> Desk:
    """A desk on SQLite with actions done, and one that was begun."""
    desk = await Desk.open(sqlite_place)
    for n in range(3):
        await desk.act("file_note", n)
    await desk.begin("pay", 1)
    return desk


async def test_a_backup_is_made_while_the_database_works(busy: Desk, tmp_path: Path) -> None:
    path = tmp_path / "kept" / "monday.db"
    path.parent.mkdir()
    manifest = await backups_of(busy).backup(OWNER, path)
    assert (manifest.actions, manifest.bytes) == (4, path.stat().st_size)
    assert manifest.leaves == manifest.head_size == 2 + 3 * 2 + 1 + 1, "its own entry is in it"
    assert manifest.public_key == await busy.ledger.public_key(OWNER)
    assert read_manifest(path) == manifest
    assert sorted(file.name for file in path.parent.iterdir()) == ["monday.db", "monday.db.json"]
    assert path.stat().st_mode & 0o077 == 0, "nobody else may read what it holds"
    assert isinstance(await busy.act("file_note", 9), Done)


async def test_a_backup_overwrites_nothing(busy: Desk, tmp_path: Path) -> None:
    path = tmp_path / "monday.db"
    path.write_text("mine")
    with pytest.raises(Conflict, match=r"monday\.db` is there already"):
        await backups_of(busy).backup(OWNER, path)
    assert path.read_text() == "mine"
    path.rename(manifest_path(path))
    with pytest.raises(Conflict, match=r"monday\.db\.json` is there already"):
        await backups_of(busy).backup(OWNER, path)
    assert not path.exists()


async def test_a_backup_to_where_nothing_can_be_written_leaves_nothing(
    busy: Desk, tmp_path: Path
) -> None:
    with pytest.raises(QuarterdeckError, match="is no folder"):
        await backups_of(busy).backup(OWNER, tmp_path / "no" / "such" / "folder.db")
    assert not (tmp_path / "no").exists()


async def test_only_an_owner_backs_up_and_restores(busy: Desk, tmp_path: Path) -> None:
    with pytest.raises(Forbidden):
        await backups_of(busy).backup(VIEWER, tmp_path / "a.db")
    with pytest.raises(Forbidden):
        await restored(busy.place, tmp_path / "a.db", caller=VIEWER)


async def test_postgresql_is_backed_up_with_its_own_tools(
    postgresql_place: Place, tmp_path: Path
) -> None:
    desk = await Desk.open(postgresql_place)
    with pytest.raises(Invalid) as told:
        await backups_of(desk).backup(OWNER, tmp_path / "a b.dump")
    assert f"pg_dump --format=custom --file='{tmp_path}/a b.dump'" in told.value.hint
    with pytest.raises(Invalid) as told:
        await restored(postgresql_place, tmp_path / "a.dump")
    assert "pg_restore" in told.value.hint


async def test_a_restore_voids_what_was_outstanding_and_says_so(busy: Desk, tmp_path: Path) -> None:
    """Goal: nothing that was outstanding at the backup can still take effect, nothing is lost, and
    the record says what happened. Method: back up with an action begun, work on, restore, look."""
    path = tmp_path / "monday.db"
    await backups_of(busy).backup(OWNER, path)
    later = await busy.act("file_note", 99)
    credential, old_proposal = busy.started[-1].credential, busy.proposal("look_up", 5)
    kept_head = (await busy.ledger.head(OWNER)).note
    await busy.db.close()

    done = await restored(busy.place, path)

    assert len(done.in_doubt) == 1
    assert done.kept is not None
    assert done.kept.exists()
    again = await Desk.open(busy.place, "prc_2")
    now = await again.db.read(standing.get)
    assert now.incarnation == done.incarnation != "inc_1"
    with pytest.raises(Unidentified):
        await again.checkpoint.admit(old_proposal)
    assert credential == old_proposal.credential
    row = await again.db.read(
        lambda tx: tx.row("select state from actions where id = :id", {"id": done.in_doubt[0]})
    )
    assert row is not None
    assert row["state"] == "in_doubt"
    assert (await again.ledger.verify(OWNER)).ok
    entries = [line for line in await again.exported() if b'\\"kind\\":\\"restored\\"' in line]
    assert len(entries) == 1
    for said in (done.incarnation, "inc_1", done.in_doubt[0], OWNER.id, "monday.db"):
        assert said.encode() in entries[0]

    lines, key = await again.exported(), await again.ledger.public_key(OWNER)
    assert verify(lines, public_key=key).verified
    assert not verify(lines, public_key=key, since=[kept_head]).verified, "the fork is not hidden"
    await _holds(done.kept, busy.place, later.action.id)


async def _holds(kept: Path, place: Place, action: str) -> None:
    """The file that was replaced is a whole database and has what came after the backup."""
    folder = place.folder / "old"
    folder.mkdir()
    kept.rename(folder / "quarterdeck.db")
    old = Place("sqlite", folder, None)
    db = old.open("prc_9")
    found = await db.read(
        lambda tx: tx.row("select state from actions where id = :id", {"id": action})
    )
    readings = LedgerReadings(
        db=db, keyring=Keyring(db, place.master(), DICE, {}), clock=SystemClock(), dice=DICE
    )
    assert (await readings.verify(OWNER)).ok
    await old.close()
    assert found is not None
    assert found["state"] == "done"


async def test_a_begun_call_is_in_doubt_after_a_restore_and_not_made_again(
    busy: Desk, tmp_path: Path
) -> None:
    """The same call under its own key, by a run of the new incarnation, is another call: nothing
    of the old run can be answered or taken up by a credential of before."""
    path = tmp_path / "monday.db"
    await backups_of(busy).backup(OWNER, path)
    await busy.db.close()
    done = await restored(busy.place, path)
    again = await Desk.open(busy.place, "prc_2")
    rows = await again.db.read(lambda tx: tx.rows("select id from actions where state = 'begun'"))
    assert list(rows) == []
    proposal: Proposal = again.proposal("pay", 1)
    answer = await again.checkpoint.admit(proposal)
    assert not isinstance(answer, InDoubt)
    assert answer.action.id not in done.in_doubt


async def test_a_database_in_use_is_not_replaced(busy: Desk, tmp_path: Path) -> None:
    path = tmp_path / "monday.db"
    await backups_of(busy).backup(OWNER, path)
    with pytest.raises(Conflict, match="is in use"):
        await restored(busy.place, path)
    assert isinstance(await busy.act("file_note", 5), Done)
    assert not list(busy.place.folder.glob("*restor*"))


async def test_a_backup_that_was_changed_is_not_restored(busy: Desk, tmp_path: Path) -> None:
    path = tmp_path / "monday.db"
    await backups_of(busy).backup(OWNER, path)
    await busy.db.close()
    before = busy.place.path.read_bytes()
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    with pytest.raises(Corrupt, match="is not the file its manifest describes"):
        await restored(busy.place, path)
    path.write_bytes(whole[:-4096])
    with pytest.raises(Corrupt):
        await restored(busy.place, path)
    path.write_bytes(whole)
    manifest_path(path).write_text("{}")
    with pytest.raises(Invalid, match="is not a manifest"):
        await restored(busy.place, path)
    manifest_path(path).unlink()
    with pytest.raises(Invalid, match="cannot read the manifest"):
        await restored(busy.place, path)
    assert busy.place.path.read_bytes() == before


async def test_a_backup_of_a_newer_schema_is_not_restored(busy: Desk, tmp_path: Path) -> None:
    path = tmp_path / "monday.db"
    manifest = await backups_of(busy).backup(OWNER, path)
    await busy.db.close()
    newer = msgspec.structs.replace(manifest, schema=9999)
    manifest_path(path).write_bytes(msgspec.json.encode(newer))
    with pytest.raises(Invalid, match="newer version"):
        await restored(busy.place, path)


async def test_without_its_master_key_a_backup_is_not_restored(busy: Desk, tmp_path: Path) -> None:
    path = tmp_path / "monday.db"
    await backups_of(busy).backup(OWNER, path)
    await busy.db.close()
    before = busy.place.path.read_bytes()
    key = busy.place.settings.master_key_file
    key.rename(tmp_path / "away.key")
    make_master(key, DICE)
    with pytest.raises(Corrupt, match="cannot be opened with this key"):
        await restored(busy.place, path)
    assert busy.place.path.read_bytes() == before
    assert not list(busy.place.folder.glob("*restor*")), "what was prepared is taken away"


async def test_a_damaged_database_can_be_replaced(busy: Desk, tmp_path: Path) -> None:
    path = tmp_path / "monday.db"
    await backups_of(busy).backup(OWNER, path)
    await busy.db.close()
    busy.place.path.write_bytes(os.urandom(20_000))
    damaged = busy.place.path.read_bytes()
    done = await restored(busy.place, path)
    assert done.kept is not None
    assert done.kept.read_bytes() == damaged
    again = await Desk.open(busy.place, "prc_2")
    assert (await again.ledger.verify(OWNER)).ok


async def test_an_empty_data_folder_can_be_restored_into(busy: Desk, tmp_path: Path) -> None:
    path = tmp_path / "monday.db"
    await backups_of(busy).backup(OWNER, path)
    folder = tmp_path / "new"
    folder.mkdir()
    busy.place.settings.master_key_file.rename(folder / "master.key")
    place = Place("sqlite", folder, None)
    done = await restored(place, path)
    assert done.kept is None
    again = await Desk.open(place, "prc_2")
    assert (await again.ledger.verify(OWNER)).ok
    await place.close()


async def test_after_a_restore_by_other_tools_a_new_incarnation_is_declared(desk: Desk) -> None:
    await desk.begin("pay", 1)
    done = await backups_of(desk).declare_restored(OWNER, ids=TimeSortedIds())
    assert len(done.in_doubt) == 1
    with pytest.raises(Unidentified):
        await desk.act("look_up", 1)
    assert (await desk.db.read(standing.get)).incarnation == done.incarnation
    assert await desk.db.read(lambda tx: standing.live(tx, SystemClock().micros())) == []
    assert (await desk.ledger.verify(OWNER)).ok
