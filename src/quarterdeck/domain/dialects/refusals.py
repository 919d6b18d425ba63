"""What in a model request the vendor would do by itself: refused unless the fleet allows it.

A request is inspected, never changed. What is not known is refused too: a tool or a content part of
an unknown kind may reach out in ways nobody has priced or judged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from msgspec import Raw

from quarterdeck.domain.verdicts import Verdict, deny

#: What `vendors[].allow` may say, and what each entry lets a vendor do.
ALLOWANCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hosted-tools": "run tools of its own: search, fetching, code, tool search",
        "web-search": "search the web while it answers",
        "remote-mcp": "call MCP servers from where it runs",
        "vendor-state": "keep or use state of its own: stored answers, containers, conversations",
        "vendor-files": "read files that were uploaded to it before",
        "fetched-content": "fetch content from addresses in the request",
        "vendor-guardrails": "apply guardrails of its own, which it bills apart",
        "audio-output": "answer with audio or images",
        "other-models": "answer with another model than the one asked for",
        "legacy-max-tokens": "take its output cap as `max_tokens` (nothing is opened by this)",
    }
)

# An agent offers the same tools on every turn: what was found in a list of them is remembered.
TOOL_LISTS_KNOWN: Final = 256
TOOL_LIST_BYTES_KNOWN: Final = 64 * 1024
FINDINGS_MAX: Final = 16  # a person reads them; a request of ten thousand bad parts is as denied


@dataclass(slots=True)
class Inspection:
    """What was found in one request so far: refusals, and a bound of tokens beyond its bytes."""

    allow: frozenset[str]
    tokens: int = 0
    findings: list[Verdict] = field(default_factory=list)

    def refuse(self, allowance: str, where: str, why: str) -> None:
        """Refuse something the fleet can allow, unless it does."""
        assert allowance in ALLOWANCES, "an entry nobody can write opens nothing"
        if allowance not in self.allow:
            opens = f"`{allowance}` in the vendor's `allow` opens it"
            self._add(f"wire:{allowance}", f"{where}: {why}; {opens}")

    def refuse_unknown(self, what: str, where: str, why: str) -> None:
        """Refuse something nobody here knows: no entry opens it."""
        self._add(f"wire:unknown-{what}", f"{where}: {why}; no `allow` entry opens it")

    def inspect_tools(
        self, raw: bytes | Raw | None, inspect: Callable[[bytes, "Inspection"], None]
    ) -> None:
        """Inspect a list of tools, or remember what came of the same bytes before."""
        if raw is None:
            return
        if len(raw) > TOOL_LIST_BYTES_KNOWN:
            inspect(bytes(raw), self)
            return
        tokens, findings = _found_in_tools(inspect, bytes(raw), self.allow)
        self.tokens += tokens
        self.findings += findings[: FINDINGS_MAX - len(self.findings)]

    def _add(self, rule: str, because: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(deny(rule, because))


@lru_cache(maxsize=TOOL_LISTS_KNOWN)
def _found_in_tools(
    inspect: Callable[[bytes, Inspection], None], raw: bytes, allow: frozenset[str]
) -> tuple[int, tuple[Verdict, ...]]:
    """What an inspection of these bytes finds: it depends on nothing else."""
    seen = Inspection(allow)
    inspect(raw, seen)
    return seen.tokens, tuple(seen.findings)
