"""Which run, and which action, the code that asks belongs to.

A run entered with `run(...)` holds for what it calls: functions, tasks, `asyncio.to_thread`. A new
thread begins with nothing (give it `Run.bind`). Outside of any, the environment of
`quarterdeck exec` or `runs start --external` holds for the whole process.
"""

import os
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, TypedDict
from urllib.parse import urlsplit

from quarterdeck_sdk.errors import Misconfigured

URL: Final = "QUARTERDECK_URL"
GATEWAY_URL: Final = "QUARTERDECK_GATEWAY_URL"
AGENT_KEY: Final = "QUARTERDECK_AGENT_KEY"
RUN: Final = "QUARTERDECK_RUN"
CREDENTIAL: Final = "QUARTERDECK_CREDENTIAL"
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # of the ids: Crockford base 32


class VendorArguments(TypedDict):
    """What a vendor's client takes."""

    base_url: str
    api_key: str


class GeminiOptions(TypedDict):
    """Where Gemini's client sends."""

    base_url: str


class GeminiArguments(TypedDict):
    """What Gemini's client takes."""

    api_key: str
    http_options: GeminiOptions


class AzureArguments(TypedDict):
    """What OpenAI's client for Azure takes."""

    azure_endpoint: str
    api_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The ids and the credential of a run, and of the action under way in it, if there is one."""

    run: str
    url: str
    gateway_url: str
    credential: str = field(repr=False)
    action: str | None = None

    def openai(self) -> VendorArguments:
        """Arguments for OpenAI's client and for whatever takes the same: `OpenAI(**…)`."""
        return {"base_url": f"{self.gateway_url}/openai/v1", "api_key": self.credential}

    def anthropic(self) -> VendorArguments:
        """Arguments for Anthropic's client: `Anthropic(**…)`."""
        return {"base_url": f"{self.gateway_url}/anthropic", "api_key": self.credential}

    def gemini(self) -> GeminiArguments:
        """Arguments for Gemini's client: `genai.Client(**…)`."""
        base_url = f"{self.gateway_url}/gemini"
        return {"api_key": self.credential, "http_options": {"base_url": base_url}}

    def azure(self) -> AzureArguments:
        """Arguments for OpenAI's client for Azure: `AzureOpenAI(**…, api_version=…)`."""
        return {"azure_endpoint": f"{self.gateway_url}/azure", "api_key": self.credential}

    def environment(self) -> dict[str, str]:
        """What a program of this run needs in its environment; it holds the credential."""
        return {
            "OPENAI_BASE_URL": self.openai()["base_url"],
            "OPENAI_API_KEY": self.credential,
            "ANTHROPIC_BASE_URL": self.anthropic()["base_url"],
            "ANTHROPIC_API_KEY": self.credential,
            "GOOGLE_GEMINI_BASE_URL": self.gemini()["http_options"]["base_url"],
            "GEMINI_API_KEY": self.credential,
            "AZURE_OPENAI_ENDPOINT": self.azure()["azure_endpoint"],
            "AZURE_OPENAI_API_KEY": self.credential,
            "QUARTERDECK_MCP_URL": f"{self.gateway_url}/mcp",
            URL: self.url,
            RUN: self.run,
            CREDENTIAL: self.credential,
        }

    def headers(self) -> dict[str, str]:
        """Headers to attach to what the agent calls; they hold no secret."""
        said = {"traceparent": self.traceparent, "x-quarterdeck-run-id": self.run}
        return said | ({"x-quarterdeck-action-id": self.action} if self.action else {})

    @property
    def traceparent(self) -> str:
        """W3C trace context to be read back: the run's id is the trace, the action's the span.

        An id is 128 bits in base 32. The span, which has 64, is the random end of the action's id.
        """
        trace = _bits(self.run) & (1 << 128) - 1
        span = _bits(self.action or self.run) & (1 << 64) - 1
        return f"00-{trace:032x}-{span or 1:016x}-01"


#: Set by `run(...)` around a run and by tools around their functions.
entered: ContextVar[Current | None] = ContextVar("quarterdeck_current", default=None)


def current() -> Current:
    """The run, and the action, this code belongs to; raises Misconfigured outside of any."""
    return entered.get() or _of_environment()


def server_url(url: str | None = None) -> str:
    """The server to talk to: the one named, or the environment's."""
    found = (url or os.environ.get(URL, "")).rstrip("/")
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        missing = f"`{found}` is not the URL of a server" if found else "no server is named"
        raise Misconfigured(f"{missing}; set {URL}, for instance to http://127.0.0.1:7700")
    return found


def gateway_url(url: str) -> str:
    """Where model calls go, if not to the server itself."""
    return (os.environ.get(GATEWAY_URL) or url).rstrip("/")


def _of_environment() -> Current:
    run, credential = os.environ.get(RUN), os.environ.get(CREDENTIAL)
    if not run or not credential:
        raise Misconfigured(
            "this code belongs to no run: start the program with `quarterdeck exec AGENT -- …`,"
            f" or set {URL}, {RUN} and {CREDENTIAL} as `quarterdeck runs start --external` prints"
            " them, or use `with quarterdeck.run(…)` (a new thread does not inherit it: give the"
            " thread `run.bind(function)`)"
        )
    url = server_url()
    return Current(run=run, credential=credential, url=url, gateway_url=gateway_url(url))


def _bits(identifier: str) -> int:
    value = 0
    for letter in identifier.rpartition("_")[2]:
        value = value << 5 | max(_ALPHABET.find(letter), 0)
    return value
