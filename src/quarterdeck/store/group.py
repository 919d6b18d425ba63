"""A group of writes in one transaction: what each member gives, and what is undone with whom.

A function that raises loses only its own work: what it queued is taken back, and if any of it had
reached the database, the group is undone and its members run one by one (decision 0006). A commit
that fails loses the whole group, and every caller is told so.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import msgspec

from quarterdeck.domain.errors import Unavailable
from quarterdeck.store.batch import Batch, Fetched, Statements
from quarterdeck.store.database import Chain, Need, Needs, WriteFunction

TRIES_APART: Final = 3


class GroupLost(Exception):
    """The whole transaction is gone (rolled back by the database, or its connection died)."""


class Apart(GroupLost):
    """The group cannot go together and is undone: its members are to run one by one."""


class Deadlocked(Apart):
    """The database chose this group as a deadlock's victim."""


class CommitUnknown(GroupLost):
    """The commit's answer was lost and nobody could be asked: it may have happened."""


class WriteConnection(Statements, Protocol):
    """What a dialect gives the writer. Whatever it raises of a lost transaction is GroupLost."""

    def begin(self, needs: Sequence[Need]) -> Fetched:
        """Open the transaction; fetch what its members need, if that is dear one by one."""

    def waiting(self) -> AbstractContextManager[None]:
        """Within it, `begin` waits for a database that somebody else has locked."""

    def commit(self) -> None:
        """Commit the group; raises GroupLost if it provably did not happen."""

    def tidy(self) -> None:
        """What the database has to do from time to time and takes a while."""

    def explained(self, error: BaseException) -> BaseException:
        """A database error as one of ours; anything else as it is. Raises Deadlocked for one."""

    def abandon(self) -> None:
        """Roll back whatever is open."""

    def close(self) -> None:
        """Close the connection."""


class Job(msgspec.Struct):
    """One write that waits, and what came of it."""

    fn: WriteFunction[Any]
    needs: Needs
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    patient: bool = False
    result: Any = None
    error: BaseException | None = None


def begun(connection: WriteConnection, batch: Batch, group: Sequence[Job]) -> bool:
    """Run a group's functions up to its commit; `False` where the database is busy."""
    before = (connection.chain.number, connection.chain.previous)
    try:
        _run_all(connection, batch, group, connection.begin(()))
    except Exception:  # noqa: BLE001  it is run again in the thread, which says what is wrong
        forget(connection, connection.chain, before)
        return False
    return True


def run_group(connection: WriteConnection, batch: Batch, group: Sequence[Job]) -> None:
    """Run a group in one transaction and fill in every job's result or error."""
    try:
        _run_together(connection, batch, group)
    except Apart as error:
        _run_apart(connection, batch, group, error)
    except BaseException as error:  # noqa: BLE001  lost, or a bug: either way nobody may wait on
        fail(group, error)


def _run_together(connection: WriteConnection, batch: Batch, group: Sequence[Job]) -> None:
    before = (connection.chain.number, connection.chain.previous)
    try:
        # Each once, and in one order: so two groups that lock the same rows wait, and never clash.
        needs = sorted({need for job in group for need in job.needs()}, key=_locked_first)
        _run_all(connection, batch, group, connection.begin(needs))
        connection.commit()
    except BaseException:
        forget(connection, connection.chain, before)
        raise


def _run_apart(
    connection: WriteConnection, batch: Batch, group: Sequence[Job], error: BaseException
) -> None:
    """Each in a transaction of its own; once the database is lost, it is lost for the rest."""
    for number, job in enumerate(group):
        job.result, job.error = None, None
        for _ in range(TRIES_APART):
            try:
                _run_together(connection, batch, [job])
                break
            except Apart as again:
                error = again
            except BaseException as lost:  # noqa: BLE001  as above
                fail(group[number:], lost)
                return
        else:
            fail([job], error)


def _locked_first(need: Need) -> tuple[bool, Need]:
    # What is only read, such as a freeze, is read after the wait for what is locked, not before it.
    return not need.locked, need


def _run_all(
    connection: WriteConnection, batch: Batch, group: Sequence[Job], fetched: Fetched
) -> None:
    """Run the functions, then what they have queued."""
    batch.begin(connection.now, fetched)
    if len(group) == 1:
        _run_alone(connection, batch, group[0])
        return
    for job in group:
        _run_job(connection, batch, job)
    try:
        batch.send()
    except Exception as error:
        raise Apart(str(error)) from error


def _run_alone(connection: WriteConnection, batch: Batch, job: Job) -> None:
    """In a group of one, what a function did is kept or rolled back as a whole."""
    chain = connection.chain
    before = (chain.number, chain.previous)
    try:
        job.result = job.fn(batch)
        batch.send()
    except GroupLost:
        raise
    except BaseException as error:  # noqa: BLE001  carried to the caller
        job.error = connection.explained(error)
        connection.abandon()
        connection.begin(())
        chain.number, chain.previous = before


def _run_job(connection: WriteConnection, batch: Batch, job: Job) -> None:
    chain = connection.chain
    before = (chain.number, chain.previous)
    batch.turn()
    try:
        job.result = job.fn(batch)
    except GroupLost:
        raise
    except BaseException as error:
        job.error = connection.explained(error)
        if batch.reached or job.error is not error:
            raise Apart(str(error)) from error
        batch.take_back()
        chain.number, chain.previous = before


def forget(connection: WriteConnection, chain: Chain, before: tuple[int, bytes]) -> None:
    """Undo all that is open, and the leaves that were chained in it."""
    connection.abandon()
    chain.number, chain.previous = before


def fail(group: Sequence[Job], error: BaseException) -> None:
    """Tell every member that its group is lost."""
    hint = "nothing was recorded; try again, and see `quarterdeck doctor`"
    if isinstance(error, CommitUnknown):
        hint = "it may have been recorded: look before you try again, and see `quarterdeck doctor`"
    for job in group:
        failure = Unavailable(
            f"the database could not commit: {error.__cause__ or error}", hint=hint
        )
        failure.__cause__ = error
        job.error = failure
