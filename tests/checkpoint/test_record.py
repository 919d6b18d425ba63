"""I-9 and the space a record takes: redacted before it is stored, each part once."""

from pathlib import Path

import orjson
import pytest

from quarterdeck.domain.actions import Cleared, Content, Receipt
from quarterdeck.guards.redact import iban, luhn, redact
from quarterdeck.keys import Pseudonyms
from tests.checkpoint.conftest import OWNER, Bench

SECRETS = {
    "email": "jo.doe+x@mail.example.com",
    "card": "4242 4242 4242 4242",
    "iban": "GB82 WEST 1234 5698 7654 32",
    "api-key": "sk-proj-abcdefghijklmnopqrstuvwxyz012345",
    "ssn": "123-45-6789",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
}


@pytest.mark.parametrize("kind", SECRETS)
async def test_nothing_of_a_secret_reaches_any_file_of_the_record(bench: Bench, kind: str) -> None:
    secret = SECRETS[kind]
    text = f"first line\nmine is {secret}, thanks"
    admission = await bench.house.checkpoint.admit(bench.model(text))
    assert isinstance(admission, Cleared)
    answer = orjson.dumps({"content": f"you said {secret}"})
    receipt = Receipt(status="done", result=answer, content=Content(rest=answer))
    await bench.house.checkpoint.settle(admission, receipt)
    shown = await bench.house.services.actions.show(OWNER, admission.action.id)
    assert f"[{kind}:" in str(shown["request"])
    assert f"[{kind}:" in str(shown["response"])
    folder: Path = bench.house.settings.folder
    for path in folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


async def test_the_same_value_gets_the_same_stand_in(bench: Bench) -> None:
    shown = []
    for n in range(2):
        done = await bench.done(bench.model(f"{n} jo@example.com"))
        shown.append(await bench.house.services.actions.show(OWNER, done.action.id))
    stand_ins = {str(s["request"]).split("[email:")[1][:12] for s in shown}
    assert len(stand_ins) == 1


async def test_a_resent_conversation_costs_linear_space(bench: Bench) -> None:
    """Goal: 200 turns that resend everything store at most twice the conversation itself.

    Method: run them, then compare the bytes of payloads (bodies and their keys) with the bytes of
    all messages and answers, each counted once.
    """
    messages: list[bytes] = []
    conversation = 0
    for turn in range(200):
        words = f"turn {turn}: " + "please look into the order and tell me what you find " * 4
        messages.append(orjson.dumps({"role": "user", "content": words}))
        answer = orjson.dumps(
            {"role": "assistant", "content": f"answer {turn}: " + "it is so " * 9}
        )
        conversation += len(messages[-1]) + len(answer)
        content = Content(parts=tuple(messages), rest=b'{"model":"small-1","max_tokens":50}')
        proposal = bench.model(content=content, arguments=b"[" + b",".join(messages) + b"]")
        admission = await bench.house.checkpoint.admit(proposal)
        assert isinstance(admission, Cleared)
        receipt = Receipt(status="done", result=b"", content=Content(rest=answer))
        await bench.house.checkpoint.settle(admission, receipt)
        messages.append(answer)
    row = await bench.house.db.read(
        lambda tx: tx.row(
            "select sum(length(body) + length(hash) + length(kind)) as n from payloads"
        )
    )
    assert row is not None
    assert row["n"] <= 2 * conversation, f"{row['n']} stored for {conversation}"
    shown = await bench.house.services.actions.show(OWNER, admission.action.id)
    assert shown["request"]["parts"] == [orjson.loads(m) for m in messages[:-1]]


@pytest.mark.parametrize(
    "text", ["order 1234567890123456", "call 0000 0000 0000 0000", "GB00 1234"]
)
def test_numbers_that_only_look_like_secrets_stay(text: str) -> None:
    redacted = redact(text.encode(), Pseudonyms(b"k" * 32))
    assert redacted.body == text.encode()
    assert redacted.labels == frozenset()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (rb'{"c":"a\njo@example.org"}', rb'{"c":"a\n['),
        (rb'{"c":"a\\njo@example.org"}', b'{"c":"a\\\\['),
        (b'{"c":"jo\\u0040example.org"}', b'{"c":"['),
    ],
)
def test_redacted_json_is_still_json(raw: bytes, expected: bytes) -> None:
    redacted = redact(raw, Pseudonyms(b"k" * 32))
    assert redacted.body.startswith(expected)
    assert b"example.org" not in redacted.body
    orjson.loads(redacted.body)


def test_check_digits_tell_real_numbers() -> None:
    assert luhn(b"5555-5555-5555-4444")
    assert not luhn(b"5555-5555-5555-4445")
    assert iban(b"DE89 3704 0044 0532 0130 00")
    assert not iban(b"DE89 3704 0044 0532 0130 01")


async def test_reasons_errors_and_names_hold_no_secret_either(bench: Bench) -> None:
    secret = SECRETS["email"]

    async def breaks(cleared: Cleared) -> Receipt:
        raise ValueError(f"no account for {secret}")

    await bench.do(bench.tool(f"tool-of-{secret}"))
    await bench.do(bench.tool("look_up", arguments=orjson.dumps({"n": secret})))
    await bench.do(bench.model(target=f"model-{secret}" + "x" * 5000))
    await bench.house.checkpoint.carry_out(bench.tool("pay"), breaks)
    for path in bench.house.settings.folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    rows = await bench.house.services.actions.list_of_run(OWNER, bench.run.id, after="", rows=9)
    assert len(rows) == 4
    assert all(len(row["target"]) <= 200 for row in rows)
