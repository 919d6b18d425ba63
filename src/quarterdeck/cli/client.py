"""How commands reach the API: always by HTTP, to a server or to the same application in process.

With a URL, over the network. Else to the server that holds the data folder's lock. If nobody
holds it, this process takes it and mounts the application itself: one code path either way.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import httpx2

from quarterdeck.cli.failures import ApiFailure
from quarterdeck.cli.lock import Held, Server, held
from quarterdeck.cli.options import Given
from quarterdeck.domain.errors import Invalid, Unavailable
from quarterdeck.domain.limits import PAGE_ROWS_MAX
from quarterdeck.settings import Settings

if TYPE_CHECKING:
    from quarterdeck.cli.local import Application

T = TypeVar("T")
CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API of a server; `url` is where programs reach it, nothing if it is in this process."""

    http: httpx2.AsyncClient
    url: str | None

    async def get(self, path: str, **params: Any) -> Any:
        """A noun or a list."""
        return await self._ask("GET", path, params=params)

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        seconds: float | None = ANSWER_SECONDS,
        if_match: str | None = None,
        **params: Any,
    ) -> Any:
        """A change; `seconds` is how long its answer may take, for ever if `None`.

        `if_match` is the state it is about: if that was changed meanwhile, nothing happens.
        """
        return await self._ask(
            "POST", path, body=body, params=params, seconds=seconds, if_match=if_match
        )

    async def put(self, path: str, body: Any) -> Any:
        """A noun set or replaced."""
        return await self._ask("PUT", path, body=body)

    async def delete(self, path: str) -> Any:
        """A noun removed."""
        return await self._ask("DELETE", path)

    async def pages(self, path: str, count: int, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """The first `count` items of a list, page by page: a long one is never held whole."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self.get(path, limit=min(count, PAGE_ROWS_MAX), cursor=cursor, **params)
            yield page
            count -= len(page["items"])
            cursor = page["next"] if count > 0 else None

    async def page(self, path: str, count: int, **params: Any) -> dict[str, Any]:
        """The same as one page, for lists that are short."""
        whole: dict[str, Any] = {"items": [], "next": None}
        async for page in self.pages(path, count, **params):
            whole = {"items": whole["items"] + page["items"], "next": page["next"]}
        return whole

    async def lines(self, path: str) -> AsyncIterator[bytes]:
        """The bytes of a long answer, as they come."""
        try:
            patience = httpx2.Timeout(None, connect=CONNECT_SECONDS)
            async with self.http.stream("GET", path, timeout=patience) as response:
                if response.status_code >= 400:
                    await response.aread()
                    raise _failure(response)
                async for chunk in response.aiter_bytes():
                    yield chunk
        except httpx2.TransportError as error:
            raise _unreachable(self.url, error) from error

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, Any] | None = None,
        seconds: float | None = ANSWER_SECONDS,
        if_match: str | None = None,
    ) -> Any:
        given = {name: value for name, value in (params or {}).items() if value not in (None, "")}
        try:
            response = await self.http.request(
                method,
                path,
                json=body,
                params=given,
                headers={} if if_match is None else {"if-match": if_match},
                timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS),
            )
        except httpx2.TransportError as error:
            raise _unreachable(self.url, error) from error
        if response.status_code >= 400:
            raise _failure(response)
        return response.json() if response.content else None


def part(text: str) -> str:
    """Text as one step of a path: a name with a slash does not lead elsewhere."""
    return quote(text, safe="")


def ask(given: Given, act: Callable[[Api], Awaitable[T]]) -> T:
    """Run one command against the API."""

    async def acting() -> T:
        async with connect(given.settings()) as api:
            return await act(api)

    return asyncio.run(acting())


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Api]:
    """The API to talk to."""
    if settings.url is not None:
        token = settings.token or settings.credential
        async with _remote(_checked(settings.url), token, trust_env=True) as api:
            yield api
        return
    with contextlib.ExitStack() as holding:
        server = _hold_or_find(settings.folder, holding)
        if server is None:
            # Only now: whoever talks to a server need not load what makes one.
            from quarterdeck.cli import local

            async with local.application(settings) as (app, token), in_process(app, token) as api:
                yield api
            return
    async with _remote(server.url, server.token, trust_env=False) as api:
        yield api


def _hold_or_find(folder: Path, holding: contextlib.ExitStack) -> Server | None:
    """Hold the data folder, or find the server that does."""
    try:
        holding.enter_context(held(folder))
    except Held as error:
        if error.server is None:
            raise Unavailable(error.message, hint=error.hint) from error
        return error.server
    return None


@asynccontextmanager
async def _remote(url: str, token: str | None, *, trust_env: bool) -> AsyncIterator[Api]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(base_url=url, headers=headers, trust_env=trust_env) as http:
        yield Api(http=http, url=url)


@asynccontextmanager
async def in_process(app: "Application", token: str) -> AsyncIterator[Api]:
    """The API of an application in this process."""
    async with httpx2.AsyncClient(
        base_url="http://127.0.0.1",
        headers={"authorization": f"Bearer {token}"},
        transport=httpx2.ASGITransport(app=app),
    ) as http:
        yield Api(http=http, url=None)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"`{url}` is not the URL of a server", hint="write http://HOST:PORT")
    return url.rstrip("/")


def _unreachable(url: str | None, error: Exception) -> Unavailable:
    return Unavailable(
        f"cannot reach the server at {url}: {error or type(error).__name__}",
        hint="check the address, and that the server runs: quarterdeck up",
    )


def _failure(response: httpx2.Response) -> ApiFailure | Unavailable:
    try:
        said = response.json()["error"]
        return ApiFailure(said["code"], said["message"], hint=said["hint"])
    except (ValueError, KeyError, TypeError):
        return Unavailable(
            f"what answers there is not Quarterdeck: status {response.status_code}",
            hint="check the address given with --url",
        )


def server_of(api: Api) -> str:
    """The URL programs can reach; raises where the application only lives inside this process."""
    if api.url is None:
        raise Unavailable(
            "no server is running for this data folder, so a program could not reach it",
            hint="start one first, in another terminal: quarterdeck up",
        )
    return api.url
