"""`run(...)`: a run of an agent around a piece of work, with an agent key."""

import asyncio
import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeAlias, TypeVar

import httpx2

from quarterdeck_sdk import encoding
from quarterdeck_sdk.drivers import awaiting, blocking, open_client
from quarterdeck_sdk.errors import Misconfigured
from quarterdeck_sdk.protocol import State, ended, started
from quarterdeck_sdk.scope import (
    AGENT_KEY,
    AzureArguments,
    Current,
    GeminiArguments,
    VendorArguments,
    entered,
    server_url,
)
from quarterdeck_sdk.steps import Steps

P = ParamSpec("P")
R = TypeVar("R")
_Client: TypeAlias = tuple[asyncio.AbstractEventLoop, httpx2.AsyncClient]
_client: ContextVar[_Client | None] = ContextVar("quarterdeck_client", default=None)


class Run:
    """A run for as long as its block: `with run(…) as run`, or `async with`.

    It ends as `succeeded`, as `failed` if the block raises, as `cancelled` if it is cut short, or
    as `end` says. Good for one block.
    """

    def __init__(self, agent: str, given: Mapping[str, Any], *, url: str, key: str) -> None:
        self._agent = agent
        self._given = encoding.given(agent, given)
        self._url = url
        self._key = key
        self._where: Current | None = None
        self._client: httpx2.AsyncClient | None = None
        self._tokens: tuple[Token[Current | None], Token[_Client | None]] | None = None
        self._state: State = "succeeded"
        self._because = ""
        self._result: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self.current.run

    @property
    def current(self) -> Current:
        """Its ids, its credential, and what is made of them."""
        if self._where is None:
            raise Misconfigured("the run has not started: use it in its `with` block")
        return self._where

    def openai(self) -> VendorArguments:
        """Arguments for OpenAI's client: `OpenAI(**run.openai())`."""
        return self.current.openai()

    def anthropic(self) -> VendorArguments:
        """Arguments for Anthropic's client: `Anthropic(**run.anthropic())`."""
        return self.current.anthropic()

    def gemini(self) -> GeminiArguments:
        """Arguments for Gemini's client: `genai.Client(**run.gemini())`."""
        return self.current.gemini()

    def azure(self) -> AzureArguments:
        """Arguments for OpenAI's client for Azure: `AzureOpenAI(**run.azure(), api_version=…)`."""
        return self.current.azure()

    def environment(self) -> dict[str, str]:
        """What to add to the environment of a program that works under this run."""
        return self.current.environment()

    def end(self, state: State, because: str = "", result: Mapping[str, Any] | None = None) -> None:
        """Say how the run ends, when its block does. A block that raises has failed anyway."""
        self._state, self._because, self._result = state, because, result

    def bind(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function as part of this run, wherever it is called: a new thread, a pool."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._entered():
                    return await function(*args, **kwargs)

            return awaited  # type: ignore[return-value]  # R is this coroutine

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._entered():
                return function(*args, **kwargs)

        return called

    def __enter__(self) -> Self:
        self._begin(blocking(self._starting()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        blocking(self._ending(error))

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opened:
            client = await opened.enter_async_context(open_client())
            self._begin(await awaiting(self._starting(), client=client), client)
            opened.pop_all()  # it stays open until the block ends
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        assert self._client is not None, "the block was entered with one"
        async with contextlib.aclosing(self._client) as client:
            await awaiting(self._ending(error), client=client)

    def _starting(self) -> Steps[Current]:
        if self._where is not None:
            raise Misconfigured("this run has been used; call `run(…)` again for another one")
        return (yield from started(self._url, self._key, self._agent, self._given))

    def _ending(self, error: BaseException | None) -> Steps[None]:
        if error is not None and not (isinstance(error, SystemExit) and not error.code):
            self._state = "failed" if isinstance(error, Exception | SystemExit) else "cancelled"
            self._because = f"{type(error).__name__}: {error}"
        result = encoding.result(self._result)
        try:
            yield from ended(self.current, self._key, self._state, self._because, result)
        except Exception as untold:
            if error is None:
                raise
            error.add_note(f"quarterdeck could not be told of the run's end: {untold}")

    def _begin(self, where: Current, client: httpx2.AsyncClient | None = None) -> None:
        self._where, self._client = where, client
        held = None if client is None else (asyncio.get_running_loop(), client)
        self._tokens = entered.set(where), _client.set(held)

    def _leave(self) -> None:
        assert self._tokens is not None, "the block was entered"
        run, client = self._tokens
        # A block that is left in another context than it was entered in (a fixture made of a
        # generator, for instance) leaves nothing behind that would have to be put back.
        with contextlib.suppress(ValueError):
            entered.reset(run)
            _client.reset(client)

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        token = entered.set(self.current)
        try:
            yield
        finally:
            entered.reset(token)


def run(
    agent: str,
    given: Mapping[str, Any] | None = None,
    *,
    url: str | None = None,
    key: str | None = None,
) -> Run:
    """A run of an agent, for a `with` or `async with` block; `given` is its input.

    `url` and `key` (an agent key, `qdk_…`) come from QUARTERDECK_URL and QUARTERDECK_AGENT_KEY
    unless given.
    """
    found = key or os.environ.get(AGENT_KEY)
    if not found:
        raise Misconfigured(
            f"no agent key: set {AGENT_KEY} to one from `quarterdeck keys issue {agent}`"
        )
    return Run(agent, given or {}, url=server_url(url), key=found)


def client_of_this_loop() -> httpx2.AsyncClient | None:
    """The client of the run this task is in, if that was entered with `async with` in this loop."""
    held = _client.get()
    if held is None or held[1].is_closed or held[0] is not asyncio.get_running_loop():
        return None
    return held[1]
