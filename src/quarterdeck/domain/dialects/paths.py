"""Where each wire goes below a vendor's base URL: a closed list, whatever a client's URL said.

Base URLs are what the vendors' SDKs call them: with the version for `openai`, without for the rest.
"""

from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import quote

from quarterdeck.domain.actions import Address
from quarterdeck.domain.fleets import Dialect

Path: TypeAlias = Callable[[Dialect, Address], str]

_AZURE_ROOT: Final = "/openai"


def openai(tail: str) -> Path:
    """A path of OpenAI's API; Azure serves the same below a root of its own."""
    return lambda vendor, at: (
        _with_query(f"{_AZURE_ROOT}/v1{tail}", at) if vendor == "azure" else tail
    )


def azure(tail: str) -> Path:
    """A path of Azure's older API; which version of it is the client's to say."""
    return lambda _, at: _with_query(f"{_AZURE_ROOT}{tail}", at)


def azure_deployment(tail: str) -> Path:
    """A path of one Azure deployment, which is what the model is called there."""
    return lambda _, at: _with_query(
        f"{_AZURE_ROOT}/deployments/{quote(at.model, safe='')}{tail}", at
    )


def anthropic(tail: str) -> Path:
    """A path of Anthropic's API."""
    return lambda _, at: _with_query(f"/v1{tail}", at)


def gemini(method: str, streamed: str | None = None) -> Path:
    """A method of one model of Gemini's API; a stream is another method."""

    def path(_: Dialect, at: Address) -> str:
        called = streamed if at.streamed and streamed is not None else method
        version = at.version or "v1beta"
        return _with_query(f"/{version}/models/{quote(at.model, safe='')}:{called}", at)

    return path


def bedrock(tail: str, streamed: str | None = None) -> Path:
    """A path of one model of Bedrock's runtime, by id or ARN; a stream is another path."""

    def path(_: Dialect, at: Address) -> str:
        called = streamed if at.streamed and streamed is not None else tail
        return f"/model/{quote(at.model, safe='')}/{called}"

    return path


def _with_query(path: str, at: Address) -> str:
    return f"{path}?{at.query}" if at.query else path
