"""What a server of the handshake era says outside of any exchange, on a stream of its own.

There it may ask what it would else ask on the exchange's stream, and many do. It cannot say which
exchange it means; of those under way in its session the one begun first is told.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeAlias

from quarterdeck.domain.limits import SERVER_CLOSE_SECONDS_MAX, SERVER_OPEN_SECONDS_MAX
from quarterdeck.domain.mcp.exchanges import REFUSED, Heard, Unreadable, reply_to
from quarterdeck.upstream.tools.mcp_endpoint import BROKEN, SESSION, Endpoint
from quarterdeck.upstream.tools.mcp_stream import Place, messages

Hear: TypeAlias = Callable[[Heard], Awaitable[None]]


class Listening:
    """Listens in one session at a time, from the first exchange that can be asked something."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._told: list[Hear] = []
        self._session = ""
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def told(self, hear: Hear) -> Iterator[None]:
        """Tell this exchange what is said meanwhile."""
        self._told.append(hear)
        try:
            yield
        finally:
            self._told.remove(hear)

    async def begin(self, headers: Mapping[str, str]) -> None:
        """Listen from now on, if the server has such a stream; what it says first is not missed."""
        session = headers[SESSION]
        if session == self._session and (self._task is None or not self._task.done()):
            return  # it listens, or has no such stream
        await self.close()
        self._session = session
        stands = asyncio.get_running_loop().create_future()
        headers = {**headers, "accept": "text/event-stream"}
        self._task = asyncio.create_task(self._listen(headers, stands))
        # What an exchange makes of what it is told is its own affair, and shows at its own end.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        if not await stands:
            self._task = None

    async def close(self) -> None:
        """Listen no more."""
        task, self._task, self._session = self._task, None, ""
        if task is not None:
            task.cancel()
            await asyncio.wait((task,), timeout=SERVER_CLOSE_SECONDS_MAX)

    async def _listen(self, headers: Mapping[str, str], stands: "asyncio.Future[bool]") -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(SERVER_OPEN_SECONDS_MAX):
                    response = await stack.enter_async_context(self._endpoint.get(headers))
                stands.set_result(response.status == 200)
                if response.status != 200:
                    return
                async for message in messages(response, Place()):
                    await self._hear(message, headers)
        except (*BROKEN, Unreadable, TimeoutError):
            pass  # the next exchange begins anew
        finally:
            if not stands.done():
                stands.set_result(False)

    async def _hear(self, message: Heard, headers: Mapping[str, str]) -> None:
        if message.is_answer:
            return
        if self._told:
            await self._told[0](message)
        elif message.id is not None:
            await self._endpoint.tell(reply_to(message.id, REFUSED), headers)
