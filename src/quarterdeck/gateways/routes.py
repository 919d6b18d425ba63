"""The data plane's routes. Only what is listed exists: the rest is a 404 in the wire's words.

INVARIANT (I-15): every route here that can cause an effect goes through the checkpoint.
"""

import re
from collections.abc import Mapping
from typing import Final

from quarterdeck.domain.dialects import SPOKEN
from quarterdeck.domain.fleets import Dialect
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.gateways.llm.errors import Failure
from quarterdeck.gateways.llm.exchange import fail
from quarterdeck.gateways.llm.routes import Endpoint

PREFIXES: Final[Mapping[str, Dialect]] = {
    "/openai/": "openai",
    "/azure/": "azure",
    "/anthropic/": "anthropic",
    "/gemini/": "gemini",
    "/bedrock/": "bedrock",
}
# What may stand for a part of a path. Names of models may have slashes and colons in them: ARNs of
# Bedrock, `openai/gpt-oss-120b`, `llama3:8b`.
_PARTS: Final = {
    "version": "v1beta|v1",
    "id": ".+",
    "deployment": "[^/]+",
    "action": "[^/]+",
    "server": "[^/]+",
    "plan": "[^/]+",
    "model": ".+",
}


class DataPlane:
    """Model and action endpoints by method and path; everything else goes to `other`."""

    def __init__(self, endpoints: Mapping[tuple[str, str], Endpoint], other: Endpoint) -> None:
        self.endpoints = endpoints
        self.other = other
        # By the first step of their path: most requests fit none and look no further.
        self._patterns: dict[str, list[tuple[str, re.Pattern[str], Endpoint]]] = {}
        for (method, path), endpoint in endpoints.items():
            if "{" in path:
                of_root = self._patterns.setdefault(_root(path), [])
                of_root.append((method, _pattern(path), endpoint))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request by the path of its scope, never by a rebuilt URL."""
        if scope["type"] == "http":
            endpoint = self.endpoints.get((scope["method"], scope["path"])) or self._matching(scope)
            if endpoint is not None:
                await endpoint(scope, receive, send)
                return
            for prefix, dialect in PREFIXES.items():
                if scope["path"].startswith(prefix):
                    await self._elsewhere(scope, send, dialect)
                    return
        await self.other(scope, receive, send)

    def _matching(self, scope: Scope) -> Endpoint | None:
        """The endpoint whose pattern this path fits; what the path says is put into the scope."""
        for method, pattern, endpoint in self._patterns.get(_root(scope["path"]), ()):
            if method == scope["method"] and (found := pattern.fullmatch(scope["path"])):
                scope["path_params"] = found.groupdict()
                return endpoint
        return None

    async def _elsewhere(self, scope: Scope, send: Send, dialect: Dialect) -> None:
        method, path = scope["method"], scope["path"]
        known = any(p == path for _, p in self.endpoints) or any(
            pattern.fullmatch(path) for _, pattern, _ in self._patterns.get(_root(path), ())
        )
        message = (
            f"no route {method} {path[:200]}; only listed routes exist, see"
            " docs/reference/routes.md"
        )
        failure = Failure(
            status=405 if known else 404, code="not_found", message=message, retry=False
        )
        await fail(send, SPOKEN[dialect], failure)


def _root(path: str) -> str:
    return path[: path.find("/", 1) + 1]


def _pattern(path: str) -> re.Pattern[str]:
    """A path with names in braces, as a pattern."""
    steps = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(
            re.escape(step) if index % 2 == 0 else f"(?P<{step}>{_PARTS[step]})"
            for index, step in enumerate(steps)
        )
    )
