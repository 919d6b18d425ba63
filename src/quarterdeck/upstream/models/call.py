"""A whole, unstreamed model call as an effect: for the built-in runner."""

from dataclasses import dataclass

from quarterdeck.checkpoint.estimate import estimated_usage
from quarterdeck.domain.actions import Cleared, Content, Receipt
from quarterdeck.domain.dialects import WIRES
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import ANSWER_BYTES_MAX, ERROR_CHARACTERS_MAX
from quarterdeck.domain.money import Usage
from quarterdeck.upstream.models.client import Broken, ModelClient, Unanswered

_HEADERS = (
    ("content-type", "application/json"),
    ("accept", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", "quarterdeck"),
    ("anthropic-version", "2023-06-01"),
)


@dataclass(frozen=True, slots=True)
class ModelCall:
    """Asks a model and waits for its whole answer."""

    client: ModelClient

    async def ask(self, cleared: Cleared) -> Receipt:
        """The answer with its usage, or what was tried to get one."""
        call = self.client.open(cleared, _HEADERS)
        try:
            answer = await call.answered()
        except Unanswered as error:
            return error.receipt
        except Unavailable as error:
            return call.receipt(error.message)
        body = bytearray()
        broken = ""
        try:
            async for chunk in answer.chunks():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise Broken("the answer is larger than we keep")
            answer.release()
        except Broken as error:
            broken = str(error)
        finally:
            answer.close()  # which does nothing to one that was released
        return answer.accounted(_receipt(cleared, answer.status, bytes(body), broken))


def _receipt(cleared: Cleared, status: int, body: bytes, broken: str) -> Receipt:
    assert cleared.action.address is not None
    assert cleared.tokens is not None, "a model call has a bound"
    found = WIRES[cleared.action.address.wire].usage_of_answer(body)
    failed = status >= 400 or bool(broken)
    detail: dict[str, object] = {"status": status}
    if found is not None:
        usage: Usage = found[0]
        detail["model"] = found[1]
    elif status >= 400:
        usage = Usage()
    else:
        usage = estimated_usage(cleared.tokens, answer_bytes=len(body))
    if broken or failed:
        detail["error"] = (broken or body.decode("utf-8", "replace"))[:ERROR_CHARACTERS_MAX]
    return Receipt(
        status="failed" if failed else "done",
        result=body,
        content=Content(rest=body),
        usage=usage,
        usage_source="reported" if found is not None else "estimated",
        detail=detail,
    )
