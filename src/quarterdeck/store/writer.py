"""Group commit: one connection, one commit for all that is waiting (`store/group.py`).

It never waits for a group to fill. Nobody is resumed before the commit.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from quarterdeck.domain.errors import LimitExceeded, Unavailable
from quarterdeck.domain.limits import WRITE_GROUP_MAX, WRITE_QUEUE_MAX
from quarterdeck.store.batch import Batch
from quarterdeck.store.database import Needs, WriteFunction
from quarterdeck.store.group import GroupLost, Job, WriteConnection, begun, fail, forget, run_group

T = TypeVar("T")
PATIENCE_SECONDS: Final = 0.002
QUICK_SECONDS: Final = 0.0005  # about what handing a commit to a thread costs a busy process
PACE_STEP: Final = 0.05
TIDY_WRITES: Final = 512
LOOP_GROUP_MAX: Final = 64  # a group runs in the loop: this many keep it under about 5 ms
_STOP: Final = object()


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

    def submit(self, fn: WriteFunction[T], needs: Needs) -> "asyncio.Future[T]":
        """Queue a function; the future resolves on the calling loop after the commit."""
        _check_room(closed=self._closed, waiting=self._queue.qsize())
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(Job(fn, needs, future, loop))
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
        batch = Batch(connection)
        while True:
            group, stopping = self._next_group()
            if group:
                try:
                    run_group(connection, batch, group)
                except BaseException as error:  # noqa: BLE001  a bug must not leave callers waiting
                    fail(group, error)
                _resume(group)
            if stopping:
                connection.close()
                return

    def _next_group(self) -> tuple[list[Job], bool]:
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
    """The event loop runs the functions, and the commit too while the disk is quick.

    A thread that runs SQLite statements gives up the interpreter at every one of them and waits for
    it again behind a busy loop (decision 0002). So statements run in the loop, microseconds each.
    The flush to disk takes as long as the disk likes: where that is less than it costs to hand it
    to a thread and be woken again it happens in the loop, else beside it (decision 0006).

    A patient write waits up to PATIENCE_SECONDS for a group that forms without it: nobody waits for
    its commit, and the next urgent write takes it along for the price of none (decision 0005).
    """

    def __init__(self, connection: WriteConnection) -> None:
        self._connection = connection
        self._batch = Batch(connection)
        self._waiting: deque[Job] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._pace = _Pace()
        self._untidied = 0
        self._busy = False
        self._closed = False
        self._idle: asyncio.Event | None = None
        self._urgent = 0
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, fn: WriteFunction[T], needs: Needs, *, patient: bool) -> "asyncio.Future[T]":
        """Queue a function; the future resolves after the commit."""
        _check_room(closed=self._closed, waiting=len(self._waiting))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(Job(fn, needs, future, loop, patient))
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
        if len(self._waiting) <= LOOP_GROUP_MAX:
            group = list(self._waiting)
            self._waiting.clear()
            self._urgent = 0
        else:
            group = [self._waiting.popleft() for _ in range(LOOP_GROUP_MAX)]
            self._urgent -= sum(not job.patient for job in group)
        self._untidied += len(group)
        before = (self._connection.chain.number, self._connection.chain.previous)
        has_run = begun(self._connection, self._batch, group)
        if has_run and self._pace.is_quick:
            self._pace.commit(self._connection, group, before)
            self._committed(group, None)
            return
        loop = group[0].loop
        self._thread.submit(self._flush, group, before, has_run=has_run).add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._committed, group, done.exception())
        )

    def _flush(self, group: list[Job], before: tuple[int, bytes], *, has_run: bool) -> None:
        """In the thread: commit; or, where the loop could not even begin, run the group waiting."""
        if has_run:
            self._pace.commit(self._connection, group, before)
        else:
            for job in group:
                job.result, job.error = None, None
            with self._connection.waiting():
                run_group(self._connection, self._batch, group)

    def _committed(self, group: list[Job], error: BaseException | None) -> None:
        if error is not None:  # a bug: what it did not commit must not look committed
            fail(group, error)
        _deliver(group)
        loop = group[0].loop
        if self._untidied < TIDY_WRITES:
            self._rested(loop)
            return
        self._untidied = 0
        self._thread.submit(self._connection.tidy).add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._rested, loop)
        )

    def _rested(self, loop: asyncio.AbstractEventLoop) -> None:
        """The connection is free again."""
        self._busy = False
        self._go_on(loop)
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


class _Pace:
    """How long a flush takes here, and so where the next one is made.

    A running median (stochastic approximation, Robbins and Monro 1951): one flush that took long
    says nothing about the next.
    """

    def __init__(self) -> None:
        self._median_seconds = QUICK_SECONDS  # a new disk has to prove itself

    @property
    def is_quick(self) -> bool:
        return self._median_seconds < QUICK_SECONDS

    def commit(
        self, connection: WriteConnection, group: list[Job], before: tuple[int, bytes]
    ) -> None:
        """Commit a group that has run, or say to its members that it is lost."""
        began = time.perf_counter()
        try:
            connection.commit()
        except GroupLost as error:
            forget(connection, connection.chain, before)
            fail(group, error)
        slower = time.perf_counter() - began > self._median_seconds
        self._median_seconds *= 1 + PACE_STEP if slower else 1 - PACE_STEP


def _resume(group: Sequence[Job]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in group:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_deliver, jobs)


def _deliver(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.cancelled():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
