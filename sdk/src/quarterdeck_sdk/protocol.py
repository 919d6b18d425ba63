"""What is said to a server, as steps: one exchange of each kind, with what may be tried again.

INVARIANT: a request that could take effect twice is sent again only if it never left, or if a
repeat is harmless: a receipt is taken once, an action under a key is admitted once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from quarterdeck_sdk.errors import Reason, Rejected, Unavailable
from quarterdeck_sdk.scope import Current, gateway_url
from quarterdeck_sdk.steps import Ask, Lost, Pause, Reply, Steps

State: TypeAlias = Literal["succeeded", "failed", "escalated", "cancelled"]

#: Seconds before each further attempt. What has happened must be told, so that is tried for longer:
#: long enough for a server to be restarted.
ASKING: Final = (0.1, 0.3, 1.0, 2.0)
TELLING: Final = (*ASKING, 4.0, 8.0, 15.0)
ERROR_CHARACTERS_MAX: Final = 500
BECAUSE_CHARACTERS_MAX: Final = 2000
_AWAY: Final = (502, 503, 504)
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The server's answer to a question; `answer` is one of its own words."""

    action: str
    answer: str
    reasons: tuple[Reason, ...] = ()
    status: str = ""
    result: Any = None
    approval: str = ""


def admitted(where: Current, tool: str, arguments: bytes, key: str | None) -> Steps[Admission]:
    """Ask for an action."""
    named = b',"idempotency_key":%s' % json.dumps(key).encode() if key is not None else b""
    body = b'{"tool":%s,"arguments":%s%s}' % (json.dumps(tool).encode(), arguments, named)
    ask = Ask(url=f"{where.url}/v1/actions", credential=where.credential, body=body)
    reply = yield from _answered(ask, ASKING, repeatable=key is not None)
    said = reply.body
    if "answer" not in said:
        raise _rejection(reply)
    return Admission(
        action=str(said["action"]),
        answer=str(said["answer"]),
        reasons=tuple(Reason(r["rule"], r["because"]) for r in said.get("reasons", ())),
        status=str(said.get("status", "")),
        result=said.get("result"),
        approval=str(said.get("approval") or ""),
    )


def told(where: Current, action: str, receipt: Mapping[str, Any], result: bytes) -> Steps[None]:
    """Say what came of an action: `receipt` and, as JSON, its `result`."""
    url = f"{where.url}/v1/actions/{quote(action, safe='')}/receipt"
    body = json.dumps(dict(receipt)).encode()[:-1] + b',"result":%s}' % result
    ask = Ask(url=url, credential=where.credential, body=body)
    _check_once((yield from _answered(ask, TELLING, repeatable=True)))


def started(url: str, key: str, agent: str, given: bytes) -> Steps[Current]:
    """Start a run of an agent, with the agent's key."""
    body = b'{"agent":%s,"input":%s,"kind":"external"}' % (json.dumps(agent).encode(), given)
    ask = Ask(url=f"{url}/v1/runs", credential=key, body=body)
    reply = yield from _answered(ask, ASKING, repeatable=False)
    if reply.status >= 300 or "credential" not in reply.body:
        raise _rejection(reply)
    return Current(
        run=str(reply.body["id"]),
        credential=str(reply.body["credential"]),
        url=url,
        gateway_url=gateway_url(url),
    )


def ended(where: Current, key: str, state: State, because: str, result: bytes) -> Steps[None]:
    """End a run, with the agent's key: the run's credential may have expired by now.

    A run that somebody else ended before stays as they ended it.
    """
    url = f"{where.url}/v1/runs/{quote(where.run, safe='')}/end"
    said = {"state": state, "because": because[:BECAUSE_CHARACTERS_MAX]}
    body = json.dumps(said).encode()[:-1] + b',"result":%s}' % result
    ask = Ask(url=url, credential=key, body=body)
    _check_once((yield from _answered(ask, TELLING, repeatable=True)))


def _answered(ask: Ask, pauses: tuple[float, ...], *, repeatable: bool) -> Steps[Reply]:
    """Send a request until it is answered, as often as that is safe and patience lasts."""
    for pause in (*pauses, None):
        heard = yield ask
        assert isinstance(heard, Reply | Lost), "an Ask is answered with one of these"
        if pause is None or not _is_worth_repeating(heard, repeatable=repeatable):
            if isinstance(heard, Reply):
                return heard
            raise Unavailable(f"cannot reach the server at {ask.url}: {heard.because}")
        yield Pause(seconds=pause)
    raise AssertionError("the last attempt has no pause after it")


def _is_worth_repeating(heard: Reply | Lost, *, repeatable: bool) -> bool:
    match heard:
        case Lost(sent=sent):
            return repeatable or not sent
        case Reply(status=status):
            return repeatable and status in _AWAY


def _check_once(reply: Reply) -> None:
    """A conflict says that it was told before: by an attempt whose answer was lost, or a person."""
    if reply.status >= 300 and reply.status != _CONFLICT:
        raise _rejection(reply)


def _rejection(reply: Reply) -> Rejected | Unavailable:
    said = reply.body.get("error")
    if not isinstance(said, Mapping):
        return Unavailable(f"what answers there is not Quarterdeck: status {reply.status}")
    if reply.status in _AWAY:
        return Unavailable(str(said.get("message", "")))
    words = (str(said.get(name, "")) for name in ("code", "message", "hint"))
    return Rejected(reply.status, *words)
