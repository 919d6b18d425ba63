"""How one MCP request is answered: as one body, or as events once there is something to say."""

from typing import Any

from quarterdeck.gateways.mcp.answering import Answering, event


class Sent(list[dict[str, Any]]):
    """What was sent, in order."""

    async def __call__(self, message: Any) -> None:
        """Take it."""
        self.append(dict(message))

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Those of the answer."""
        return dict(self[0]["headers"])


async def test_an_answer_with_nothing_before_it_is_one_body() -> None:
    sent = Sent()
    await Answering(sent, streams=True).end(b"{}", status=400)
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 400
    assert sent.headers[b"content-type"] == b"application/json"
    assert sent.headers[b"cache-control"] == b"no-store"


async def test_what_is_said_before_the_answer_makes_it_a_stream() -> None:
    sent = Sent()
    out = Answering(sent, streams=True)
    assert await out.say(b'{"a":1}')
    await out.end(b'{"b":2}', status=400)
    assert sent[0]["status"] == 200, "the stream had begun"
    assert sent.headers[b"content-type"] == b"text/event-stream"
    assert sent.headers[b"x-accel-buffering"] == b"no"
    assert [m["body"] for m in sent[1:]] == [event(b'{"a":1}'), event(b'{"b":2}')]
    assert [m.get("more_body", False) for m in sent[1:]] == [True, False]


async def test_a_client_that_takes_no_stream_is_told_nothing_before_the_answer() -> None:
    sent = Sent()
    out = Answering(sent, streams=False)
    out.keep_alive()
    assert not await out.say(b"{}")
    await out.end(b"{}")
    assert len(sent) == 2


async def test_nothing_is_said_after_the_end() -> None:
    sent = Sent()
    out = Answering(sent, streams=True)
    out.keep_alive()
    await out.end(b"{}")
    await out.say(b"{}")
    await out.begin()
    await out.close()
    assert len(sent) == 2


async def test_a_stream_that_is_kept_alive_says_a_comment() -> None:
    sent = Sent()
    out = Answering(sent, streams=True)
    await out.begin()
    assert sent[1]["body"].startswith(b":")
    assert b"data:" not in sent[1]["body"]
    await out.close()
    assert sent[-1] == {"type": "http.response.body", "body": b""}


def test_a_message_is_one_event_however_it_is_laid_out() -> None:
    assert event(b'{\r\n "a": 1\n}') == b'event: message\ndata: {   "a": 1 }\n\n'
