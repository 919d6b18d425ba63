"""What an MCP server asks of an agent's client: its user, its model, its roots.

Judged before anybody sees it: who may be asked is granted per server, and no form may ask for what
belongs into a vault. A person is shown which server asks.
"""

import re
from typing import Any, Final, Literal, TypeAlias

import orjson

#: The kind of action a question is; roots are asked of the agent's client as forms are.
Asked: TypeAlias = Literal["elicitation", "sampling"]

KINDS: Final[dict[str, Asked]] = {
    "elicitation/create": "elicitation",
    "roots/list": "elicitation",
    "sampling/createMessage": "sampling",
}
_CAPABILITY: Final = {
    "elicitation/create": "elicitation",
    "roots/list": "roots",
    "sampling/createMessage": "sampling",
}
_SECRET: Final = re.compile(
    r"pass ?(word|phrase|code|wd)|passwd|\bpwd\b|secret|credential|private ?key|access ?key"
    r"|api ?key|\btoken|bearer|\botp\b|one ?time ?(code|pass)|\b(2|m|two)fa\b|\bpin\b|\bcv[vc]2?\b"
    r"|security ?code|card ?number|\bssn\b|social ?security|seed ?phrase|recovery ?(code|phrase)",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(r"[^0-9A-Za-z]+|(?<=[a-z])(?=[A-Z])")


def name_of(method: str) -> str:
    """What a question is called in an action's target."""
    return "roots" if method == "roots/list" else KINDS[method]


def problem(method: str, params: Any, can: frozenset[str]) -> str | None:
    """Why a client must not be asked this; None where it may."""
    if method not in KINDS:
        return "a server may ask for elicitation, sampling or roots"
    if _CAPABILITY[method] not in can:
        return f"the client did not say that it can answer `{method}`"
    if not isinstance(params, dict):
        return "the question is no object"
    if method == "sampling/createMessage":
        return _sampling_problem(params, can)
    return _form_problem(params, can) if method == "elicitation/create" else None


def _sampling_problem(params: dict[str, Any], can: frozenset[str]) -> str | None:
    if params.get("tools") and "sampling.tools" not in can:
        return "the client did not say that its model can use tools of a server"
    return None


def _form_problem(params: dict[str, Any], can: frozenset[str]) -> str | None:
    mode = params.get("mode", "form")
    if mode not in ("form", "url") or f"elicitation.{mode}" not in can:
        return "the client did not say that it can be asked in this way"
    if mode == "form" and (field := secret_field(params.get("requestedSchema"))) is not None:
        return f"a form must not ask for secrets, and `{field}` looks like one"
    return None


def secret_field(schema: Any) -> str | None:
    """The first field of a form that looks as if a secret belonged into it."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return None
    for name, field in properties.items():
        said = [name]
        if isinstance(field, dict):
            said += [str(field.get(part, "")) for part in ("title", "description", "format")]
        for text in said:
            if _SECRET.search(" ".join(part for part in _WORDS.split(text) if part)):
                return str(name)[:64]
    return None


def named(method: str, params: dict[str, Any], server: str) -> bytes:
    """The question with the name of the server that asks, where a person reads it."""
    if method == "elicitation/create":
        params = params | {"message": f"[{server}] {params.get('message', '')}"}
    return orjson.dumps(params)
