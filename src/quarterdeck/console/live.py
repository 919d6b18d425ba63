"""Telling open pages that something changed. One look at the database a second, for all of them.

A page listens for its topic: a run's id, or nothing for the whole fleet. It is told only that
something is different, and then asks for itself like anybody else, so nothing can leak through here
that a page would not show. Without listeners nobody looks.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from quarterdeck.console.pages import Pages, Visit
from quarterdeck.domain.errors import Invalid, LimitExceeded, QuarterdeckError
from quarterdeck.domain.limits import LIVE_POLL_SECONDS, LIVE_STREAM_SECONDS, LIVE_STREAMS_MAX
from quarterdeck.services.timeline import Timeline

ALL: Final = ""
_QUIET_SECONDS: Final = 15  # after so long a silent stream says that it is still there
_TOPIC_CHARACTERS_MAX: Final = 64


@dataclass(slots=True)
class Watch:
    """One page's interest in one topic."""

    topic: str
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Live:
    """The one poller of a process, and who listens to it."""

    timeline: Timeline
    polls: int = 0
    _watches: list[Watch] = field(default_factory=list)
    _stamps: dict[str, tuple[object, ...]] = field(default_factory=dict)
    _poller: "asyncio.Task[None] | None" = None
    _closed: bool = False

    @contextlib.contextmanager
    def watching(self, topic: str) -> Iterator[Watch]:
        """Listen to a topic within the block."""
        watch = Watch(topic)
        self._watches.append(watch)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="console-live")
        try:
            yield watch
        finally:
            self._watches.remove(watch)

    @property
    def is_full(self) -> bool:
        """Whether there are as many listeners as there may be."""
        return len(self._watches) >= LIVE_STREAMS_MAX

    @property
    def is_closed(self) -> bool:
        """Whether the process stops."""
        return self._closed

    def close(self) -> None:
        """Let every stream end: the process stops, and must not wait for them."""
        self._closed = True
        for watch in self._watches:
            watch.changed.set()

    async def _poll(self) -> None:
        """Look while anybody listens."""
        while self._watches and not self._closed:
            topics = sorted({watch.topic for watch in self._watches})
            # A database out of reach may be back at the next look; pages say so themselves.
            with contextlib.suppress(QuarterdeckError):
                self._tell(await self.timeline.stamps(topics))
            await asyncio.sleep(LIVE_POLL_SECONDS)
        self._stamps.clear()

    def _tell(self, stamps: dict[str, tuple[object, ...]]) -> None:
        self.polls += 1
        changed = {t for t, stamp in stamps.items() if self._stamps.get(t, stamp) != stamp}
        self._stamps = stamps
        for watch in self._watches:
            if watch.topic in changed:
                watch.changed.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStreams:
    """The streams that pages listen to."""

    pages: Pages
    live: Live

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/live", self.listen, methods=["GET"])]

    async def listen(self, request: Request) -> Response:
        """Server-sent events: `changed` whenever something of the topic is different."""
        visit = await self.pages.visit(request)
        _ = visit.signed_in
        topic = request.query_params.get("run", ALL)
        if len(topic) > _TOPIC_CHARACTERS_MAX:
            raise Invalid("there is no such run", hint="see `quarterdeck runs list`")
        if self.live.is_full:
            raise LimitExceeded(
                f"{LIVE_STREAMS_MAX} pages are told of changes already",
                hint="this page asks by itself every few seconds instead",
            )
        if topic != ALL:  # another team's runs are not there
            await self.live.timeline.find(visit.caller, topic)
        return StreamingResponse(self._events(visit, topic), media_type="text/event-stream")

    async def _events(self, visit: Visit, topic: str) -> AsyncIterator[str]:
        clock, session = self.pages.sessions.clock, visit.signed_in
        until = clock.monotonic() + LIVE_STREAM_SECONDS
        with self.live.watching(topic) as watch:
            yield "retry: 2000\nevent: open\ndata:\n\n"
            while clock.monotonic() < until and not self.live.is_closed:
                try:
                    await asyncio.wait_for(watch.changed.wait(), _QUIET_SECONDS)
                except TimeoutError:
                    if await self.pages.ended.has_ended(session.id):
                        return
                    yield ": still here\n\n"
                else:
                    watch.changed.clear()
                    if not self.live.is_closed:
                        yield "event: changed\ndata:\n\n"
