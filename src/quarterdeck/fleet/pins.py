"""Model ids: pinned to one version, or refused.

An alias that a vendor may point elsewhere would change an agent without a revision. Two vendors
say in the id whether it is pinned, by a date; for the rest only `latest` is known to float.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

#: The hosts whose ids carry a date when they are pinned, and the name of their price table. Their
#: regional hosts (`eu.api.openai.com`) date ids in the same way, at prices of their own.
DATED_HOSTS: Final[Mapping[str, str]] = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
}
#: Well-known floating names, with the version to write instead.
ALIASES: Final[Mapping[str, str]] = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "gpt-5.1": "gpt-5.1-2025-11-13",
    "o1": "o1-2024-12-17",
    "o3": "o3-2025-04-16",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
    "claude-opus-4-0": "claude-opus-4-20250514",
    "claude-opus-4-1": "claude-opus-4-1-20250805",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-sonnet-4-0": "claude-sonnet-4-20250514",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
}
_DATE: Final = re.compile(
    r"-20\d\d(-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])|(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01]))(?![0-9])"
)
_LATEST: Final = re.compile(r"(^|[-:@/._])latest$", re.IGNORECASE)


def host_of(base_url: str) -> str:
    """The host of a vendor's URL, in lower case."""
    return (urlsplit(base_url).hostname or "").rstrip(".")


def floating(model: str, base_url: str, pinned: Collection[str]) -> tuple[str, str] | None:
    """Why the id is not pinned and what to write instead, or nothing if it is.

    `pinned` holds the ids that the vendor's entry declares fixed; a well-known alias and
    `latest` cannot be declared away.
    """
    host = host_of(base_url)
    dated_host = any(host == dated or host.endswith(f".{dated}") for dated in DATED_HOSTS)
    if _LATEST.search(model):
        example = "`gpt-4o-mini-2024-07-18`" if dated_host else "`name-1.2` or `name:1.2`"
        return "a floating alias: it may mean another model tomorrow", (
            f"write the id of one version, such as {example}"
        )
    if not dated_host or _DATE.search(model):
        return None
    if version := ALIASES.get(model):
        return "a floating alias: it may mean another model tomorrow", f"write `{version}`"
    if model in pinned:
        return None
    return "not pinned: the id carries no date", (
        f"write the dated id, such as `{model}-2025-01-31`; if this vendor promises never to "
        "change what the id means, list it under the vendor's `pinned`"
    )
