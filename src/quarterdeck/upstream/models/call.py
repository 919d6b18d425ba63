"""A whole, unstreamed model call as an effect: for the built-in runner."""

from dataclasses import dataclass

from quarterdeck.checkpoint.estimate import estimated_usage
from quarterdeck.domain.actions import Cleared, Content, Receipt, Tokens
from quarterdeck.domain.dialects import WIRES
from quarterdeck.domain.fleets import Vendor
from quarterdeck.domain.limits import ANSWER_BYTES_MAX
from quarterdeck.domain.money import Usage
from quarterdeck.upstream.models.client import Broken, ModelClient, NotAttempted

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
        """The answer with its usage; a vendor that cannot be reached is not attempted."""
        try:
            answer = await self.client.open(cleared, _HEADERS)
        except NotAttempted as error:
            return Receipt(status="not_attempted", result=b"", detail={"error": str(error)[:500]})
        body = bytearray()
        broken = ""
        try:
            async for chunk in answer.chunks():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise Broken("the answer is larger than we keep")
            answer.release()
        except Broken as error:
            answer.close()
            broken = str(error)
        return _receipt(cleared, answer.status, bytes(body), broken)


def _receipt(cleared: Cleared, status: int, body: bytes, broken: str) -> Receipt:
    assert isinstance(cleared.contract, Vendor)
    found = WIRES[cleared.contract.dialect].usage_of_answer(body)
    failed = status >= 400 or bool(broken)
    detail: dict[str, object] = {"status": status}
    if found is not None:
        usage: Usage = found[0]
        detail["model"] = found[1]
    elif status >= 400:
        usage = Usage()
    else:
        bound = Tokens(
            input_max=min(cleared.bound.tokens, len(cleared.action.arguments)),
            output_max=cleared.bound.tokens,
        )
        usage = estimated_usage(bound, answer_bytes=len(body))
    if broken or failed:
        detail["error"] = (broken or body.decode("utf-8", "replace"))[:500]
    return Receipt(
        status="failed" if failed else "done",
        result=body,
        content=Content(rest=body),
        usage=usage,
        usage_source="reported" if found is not None else "estimated",
        detail=detail,
    )
