"""Group commit: one connection, savepoints, one commit for all that is waiting.

It never waits for a group to fill. A function that raises loses only its own savepoint; a commit
that fails loses the whole group, and every caller is told so. Nobody is resumed before the commit.
"""

import asyncio
import functools
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from quarterdeck.domain.errors import LimitExceeded, Unavailable
from quarterdeck.domain.limits import WRITE_GROUP_MAX, WRITE_QUEUE_MAX
from quarterdeck.store.database import Chain, Transaction, WriteFunction

T = TypeVar("T")
PATIENCE_SECONDS: Final = 0.002
LOOP_GROUP_MAX: Final = 64  # a group runs in the loop: this many keep it under about 5 ms
_STOP: Final = object()


class GroupLost(Exception):
    """The whole transaction is gone (rolled back by the database, or its connection died)."""


class Deadlocked(GroupLost):
    """The database chose this group as a deadlock's victim; run its members one by one."""


class CommitUnknown(GroupLost):
    """The commit's answer was lost and nobody could be asked: it may have happened."""


class WriteConnection(Transaction, Protocol):
    """What a dialect gives the writer. Whatever it raises of a lost transaction is GroupLost."""

    def begin(self, touches: Sequence[str]) -> None:
        """Open the transaction and lock the named budget rows in order."""

    def savepoint(self) -> None:
        """Mark where the next function starts."""

    def release(self) -> None:
        """Keep what the function did."""

    def undo(self) -> None:
        """Forget what the function did; raises GroupLost if the transaction is gone."""

    def waiting(self) -> AbstractContextManager[None]:
        """Within it, `begin` waits for a database that somebody else has locked."""

    def commit(self) -> None:
        """Commit the group; raises GroupLost if it provably did not happen."""

    def explained(self, error: BaseException) -> BaseException:
        """A database error as one of ours; anything else as it is. Raises Deadlocked for one."""

    def abandon(self) -> None:
        """Roll back whatever is open."""

    def close(self) -> None:
        """Close the connection."""


@dataclass(slots=True)
class _Job:
    fn: WriteFunction[Any]
    touches: Sequence[str]
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    patient: bool = False
    result: Any = None
    error: BaseException | None = None


class ThreadWriter:
    """A thread that owns the write connection: where every statement is a round trip."""

    def __init__(self, connect: Callable[[], WriteConnection], *, name: str = "writer") -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._connect = connect
        self._ready: threading.Event = threading.Event()
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def submit(self, fn: WriteFunction[T], touches: Sequence[str]) -> "asyncio.Future[T]":
        """Queue a function; the future resolves on the calling loop after the commit."""
        _check_room(closed=self._closed, waiting=self._queue.qsize())
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Job(fn, touches, future, loop))
        return future

    async def close(self) -> None:
        """Finish what is queued, then stop the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(_STOP)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:  # noqa: BLE001  carried to the thread that is waiting for us
            self._failure = error
            self._ready.set()
            return
        self._ready.set()
        while True:
            group, stopping = self._next_group()
            if group:
                try:
                    run_group(connection, group)
                except BaseException as error:  # noqa: BLE001  a bug must not leave callers waiting
                    _fail(group, error)
                _resume(group)
            if stopping:
                connection.close()
                return

    def _next_group(self) -> tuple[list[_Job], bool]:
        first = self._queue.get()
        if first is _STOP:
            return [], True
        group = [first]
        while len(group) < WRITE_GROUP_MAX:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is _STOP:
                return group, True
            group.append(job)
        return group, False


class LoopWriter:
    """The event loop runs the functions, a thread makes the commit: where statements are calls.

    A thread that runs SQLite statements gives up the interpreter at every one of them and waits for
    it again behind a busy loop (decision 0002). So statements run in the loop, microseconds each,
    and only the flush to disk, which takes as long as the disk likes, happens beside it. Both never
    use the connection at the same time.

    A patient write waits up to PATIENCE_SECONDS for a group that forms without it: nobody waits for
    its commit, and the next urgent write takes it along for the price of none (decision 0005).
    """

    def __init__(self, connection: WriteConnection) -> None:
        self._connection = connection
        self._waiting: deque[_Job] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._busy = False
        self._closed = False
        self._idle: asyncio.Event | None = None
        self._urgent = 0
        self._timer: asyncio.TimerHandle | None = None

    def submit(
        self, fn: WriteFunction[T], touches: Sequence[str], *, patient: bool
    ) -> "asyncio.Future[T]":
        """Queue a function; the future resolves after the commit."""
        _check_room(closed=self._closed, waiting=len(self._waiting))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Job(fn, touches, future, loop, patient))
        self._urgent += not patient
        self._go_on(loop)
        return future

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run a group now if somebody waits for it, soon if nobody does."""
        if self._busy or not self._waiting:
            return
        if self._urgent or self._closed or len(self._waiting) >= LOOP_GROUP_MAX:
            self._busy = True
            loop.call_soon(self._run_group)
        elif self._timer is None:
            self._timer = loop.call_later(PATIENCE_SECONDS, self._lose_patience, loop)

    def _lose_patience(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiting and not self._busy:
            self._busy = True
            self._run_group()

    def _run_group(self) -> None:
        count = min(len(self._waiting), LOOP_GROUP_MAX)
        group = [self._waiting.popleft() for _ in range(count)]
        self._urgent -= sum(not job.patient for job in group)
        loop = group[0].loop
        before = (self._connection.chain.number, self._connection.chain.previous)
        begun = _begun(self._connection, group)
        flush = functools.partial(_flush, self._connection, group, before, begun=begun)
        self._thread.submit(flush).add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._committed, group, done.exception())
        )

    def _committed(self, group: list[_Job], error: BaseException | None) -> None:
        if error is not None:  # a bug: what it did not commit must not look committed
            _fail(group, error)
        _deliver(group)
        self._busy = False
        self._go_on(group[0].loop)
        if self._idle is not None and not self._busy:
            self._idle.set()

    async def close(self) -> None:
        """Finish what is queued, then close the connection."""
        self._closed = True
        self._go_on(asyncio.get_running_loop())
        if self._timer is not None:
            self._timer.cancel()
        if self._busy:
            self._idle = asyncio.Event()
            await self._idle.wait()
        self._thread.shutdown()
        self._connection.close()


def _check_room(*, closed: bool, waiting: int) -> None:
    if closed:
        raise Unavailable("the database is closing", hint="try again when it is up")
    if waiting >= WRITE_QUEUE_MAX:
        raise LimitExceeded("too many writes are waiting", hint="slow down and try again")


def _begun(connection: WriteConnection, group: Sequence[_Job]) -> bool:
    """Run a group's functions up to its commit; `False` where the database is busy."""
    before = (connection.chain.number, connection.chain.previous)
    try:
        connection.begin(())
        _run_all(connection, group)
    except Exception:  # noqa: BLE001  it is run again in the thread, which says what is wrong
        _forget(connection, connection.chain, before)
        return False
    return True


def _flush(
    connection: WriteConnection, group: list[_Job], before: tuple[int, bytes], *, begun: bool
) -> None:
    """In the thread: commit; or, where the loop could not even begin, run the group waiting."""
    try:
        if begun:
            connection.commit()
            return
    except GroupLost as error:
        _forget(connection, connection.chain, before)
        _fail(group, error)
        return
    for job in group:
        job.result, job.error = None, None
    with connection.waiting():
        run_group(connection, group)


def run_group(connection: WriteConnection, group: Sequence[_Job], *, tries: int = 3) -> None:
    """Run a group in one transaction and fill in every job's result or error."""
    chain = connection.chain
    before = (chain.number, chain.previous)
    touches = sorted({row for job in group for row in job.touches})
    try:
        connection.begin(touches)
        _run_all(connection, group)
        connection.commit()
    except Deadlocked as error:
        _forget(connection, chain, before)
        if tries == 1:
            _fail(group, error)
            return
        for job in group:
            job.result, job.error = None, None
            run_group(connection, [job], tries=tries - 1)
    except BaseException as error:  # noqa: BLE001  lost, or a bug: either way nobody may wait on
        _forget(connection, chain, before)
        _fail(group, error)


def _run_all(connection: WriteConnection, group: Sequence[_Job]) -> None:
    if len(group) == 1:
        _run_alone(connection, group[0])
        return
    for job in group:
        _run_job(connection, connection.chain, job)


def _run_alone(connection: WriteConnection, job: _Job) -> None:
    """A group of one needs no savepoint: what it did is kept or rolled back as a whole."""
    chain = connection.chain
    before = (chain.number, chain.previous)
    try:
        job.result = job.fn(connection)
    except GroupLost:
        raise
    except BaseException as error:  # noqa: BLE001  carried to the caller
        connection.abandon()
        connection.begin(())
        chain.number, chain.previous = before
        job.error = connection.explained(error)


def _run_job(connection: WriteConnection, chain: Chain, job: _Job) -> None:
    connection.savepoint()
    before = (chain.number, chain.previous)
    try:
        job.result = job.fn(connection)
    except GroupLost:
        raise
    except BaseException as error:  # noqa: BLE001  carried to the caller; the group goes on
        try:
            connection.undo()
        except GroupLost as lost:
            raise lost from error  # what took the transaction with it is worth more words
        chain.number, chain.previous = before
        job.error = connection.explained(error)
    else:
        connection.release()


def _forget(connection: WriteConnection, chain: Chain, before: tuple[int, bytes]) -> None:
    connection.abandon()
    chain.number, chain.previous = before


def _fail(group: Sequence[_Job], error: BaseException) -> None:
    hint = "nothing was recorded; try again, and see `quarterdeck doctor`"
    if isinstance(error, CommitUnknown):
        hint = "it may have been recorded: look before you try again, and see `quarterdeck doctor`"
    for job in group:
        failure = Unavailable(
            f"the database could not commit: {error.__cause__ or error}", hint=hint
        )
        failure.__cause__ = error
        job.error = failure


def _resume(group: Sequence[_Job]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in group:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_deliver, jobs)


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.cancelled():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
