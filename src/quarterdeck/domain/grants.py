"""Grants at MCP servers: which resources, prompts and questions an agent may have there."""

import re
from functools import lru_cache
from typing import Final

from quarterdeck.domain.servers import ServerGrant

_VALUE: Final = r"(?!\.{1,2}(?:/|$))(?:[A-Za-z0-9._~-]|%(?!2[fFeE]|5[cC])[0-9A-Fa-f]{2})+"
_EXPRESSION: Final = re.compile(r"\{[A-Za-z0-9_.]+\}")


def permits(grant: ServerGrant, kind: str, name: str) -> bool:
    """Whether a grant covers a resource by its URI, a prompt by its name, or a server's question.

    What it does not name it does not cover.
    """
    match kind:
        case "resource":
            return any(fits(template, name) for template in grant.resources)
        case "prompt":
            return name in grant.prompts
        case "elicitation":
            return grant.elicitation
        case "sampling":
            return grant.sampling
        case _:
            return False


def fits(template: str, uri: str) -> bool:
    """Whether a URI is an expansion of a template (RFC 6570, level 1), or is the template itself.

    An expression stands for one or more unreserved or percent-encoded characters, so it never
    reaches over a `/`, never over an encoded one that a server might decode, and is no `..`.
    """
    return uri == template or _pattern(template).fullmatch(uri) is not None


@lru_cache(maxsize=4096)
def _pattern(template: str) -> re.Pattern[str]:
    literal = [re.escape(part) for part in _EXPRESSION.split(template)]
    return re.compile(_VALUE.join(literal))
