"""The official SDKs for Bedrock against the gateway, over real sockets: boto3 and Anthropic's."""

import asyncio
import datetime
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anthropic
import boto3
import httpx2
import orjson
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quarterdeck.assembly import application
from quarterdeck.services.runs import StartedRun
from tests.serving import Running
from tests.unit.wires import ANTHROPIC, STREAMS, message, wrapped
from tests.wire.recordings import serving
from tests.wire.vendors import Reply, Vendor, said, stage

NOVA = "eu.amazon.nova-lite-v1:0"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
ARN = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0"
STREAM = "application/vnd.amazon.eventstream"
CONVERSED = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"text": "Looking."},
                {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"order": 7}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {
        "inputTokens": 20,
        "outputTokens": 9,
        "totalTokens": 34,
        "cacheReadInputTokens": 5,
        "cacheWriteInputTokens": 0,
    },
    "metrics": {"latencyMs": 12},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-3-haiku-20240307",
    "content": [{"type": "text", "text": "Yes."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 4},
}
REPLIES = {
    "/converse": said(CONVERSED),
    "/converse-stream": Reply(
        pieces=[STREAMS["bedrock-converse"].stream[i : i + 37] for i in range(0, 2000, 37)],
        content_type=STREAM,
    ),
    "/invoke": said(MESSAGE),
    "/invoke-with-response-stream": Reply(pieces=[wrapped(*ANTHROPIC)], content_type=STREAM),
}
ASK: Any = [{"role": "user", "content": [{"text": "Where is order 7?"}]}]


def bedrock(
    folder: Path, replies: dict[str, Reply] = REPLIES, **more: Any
) -> AbstractAsyncContextManager[tuple[Running, Vendor, StartedRun]]:
    """A gateway in front of a vendor of this dialect."""
    return stage(folder, {"bedrock": [NOVA, CLAUDE, ARN]}, replies, **more)


def client_of(server: Running) -> Any:
    """The SDK as an agent would make it; its credential is in the environment."""
    config = Config(retries={"total_max_attempts": 3, "mode": "standard"})
    return boto3.session.Session().client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=f"{server.url}/bedrock",
        config=config,
    )


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[StartedRun], None]:
    """Makes a run's credential the session token of this process: what plain HTTP takes."""
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    return lambda run: monkeypatch.setenv("AWS_SESSION_TOKEN", run.credential)


def certificate(folder: Path) -> tuple[str, str]:
    """Files of a key and of a certificate of this machine's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return str(folder / "key.pem"), str(folder / "cert.pem")


async def test_a_bearer_token_is_the_credential_behind_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    async with bedrock(tmp_path) as (server, vendor, run):
        tls = {"ssl_keyfile": key, "ssl_certfile": cert}
        async with serving(application(server.house), **tls) as address:
            monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", run.credential)
            url = address.replace("http://127.0.0.1", "https://localhost")

            def ask() -> Any:
                client = boto3.session.Session().client(
                    "bedrock-runtime",
                    region_name="eu-central-1",
                    endpoint_url=f"{url}/bedrock",
                    verify=cert,
                )
                return client.converse(modelId=NOVA, messages=ASK)

            answer = await asyncio.to_thread(ask)
        assert answer["stopReason"] == "tool_use"
        assert run.credential not in str(vendor.asked[0].headers)
        [action] = await server.actions(run.id)
        assert action["state"] == "done"


async def test_converse_passes_and_is_charged_by_what_was_reported(
    tmp_path: Path, use: Callable[[StartedRun], None]
) -> None:
    async with bedrock(tmp_path) as (server, vendor, run):
        use(run)
        answer = await asyncio.to_thread(
            lambda: client_of(server).converse(
                modelId=NOVA, messages=ASK, inferenceConfig={"maxTokens": 50}
            )
        )
        assert answer["output"]["message"] == CONVERSED["output"]["message"]  # type: ignore[index]
        [asked] = vendor.asked
        assert asked.path == f"/model/{NOVA}/converse"
        assert asked.json == {"messages": ASK, "inferenceConfig": {"maxTokens": 50}}
        assert run.credential not in str(asked.headers)
        [action] = await server.actions(run.id)
        assert action["target"] == f"bedrock/{NOVA}"
        assert action["usage_source"] == "reported"
        assert action["usage"] == {"input": 20, "cache_read": 5, "output": 9}


async def test_a_converse_stream_passes_and_its_usage_is_read(
    tmp_path: Path, use: Callable[[StartedRun], None]
) -> None:
    async with bedrock(tmp_path) as (server, vendor, run):
        use(run)

        def ask() -> str:
            answer = client_of(server).converse_stream(modelId=ARN, messages=ASK)
            deltas = [e["contentBlockDelta"] for e in answer["stream"] if "contentBlockDelta" in e]
            return "".join(delta["delta"]["text"] for delta in deltas)

        assert await asyncio.to_thread(ask) == "H\u00e9llo"
        [asked] = vendor.asked
        assert asked.path == f"/model/{ARN}/converse-stream", "an ARN is one part of the path"
        assert asked.json["inferenceConfig"] == {"maxTokens": 4096}, "capped where it was not"
        [action] = await server.actions(run.id)
        assert (action["usage_source"], action["usage"]) == ("reported", {"input": 9, "output": 7})


async def test_invoke_of_an_anthropic_model_passes_unchanged(
    tmp_path: Path, use: Callable[[StartedRun], None]
) -> None:
    async with bedrock(tmp_path) as (server, vendor, run):
        use(run)
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 20,
            "messages": [{"role": "user", "content": "Is it?"}],
        }

        def ask() -> tuple[Any, list[Any]]:
            client = client_of(server)
            whole = client.invoke_model(modelId=CLAUDE, body=orjson.dumps(body))
            stream = client.invoke_model_with_response_stream(
                modelId=CLAUDE, body=orjson.dumps(body)
            )
            events = [orjson.loads(event["chunk"]["bytes"]) for event in stream["body"]]
            return orjson.loads(whole["body"].read()), events

        whole, events = await asyncio.to_thread(ask)
        assert whole == MESSAGE
        assert events == list(ANTHROPIC)
        assert [asked.json for asked in vendor.asked] == [body, body]
        first, second = await server.actions(run.id)
        assert first["usage"] == {"input": 11, "output": 4}
        assert second["usage"] == {"input": 9, "output": 7}
        assert {first["usage_source"], second["usage_source"]} == {"reported"}


async def test_anthropics_own_client_for_bedrock_works_unchanged(tmp_path: Path) -> None:
    async with bedrock(tmp_path) as (server, vendor, run):
        client = anthropic.AsyncAnthropicBedrock(
            base_url=f"{server.url}/bedrock", api_key=run.credential, aws_region="eu-central-1"
        )
        async with client:
            ask: Any = [{"role": "user", "content": "Is it?"}]
            answer = await client.messages.create(model=CLAUDE, max_tokens=20, messages=ask)
            stream = await client.messages.create(
                model=CLAUDE, max_tokens=20, messages=ask, stream=True
            )
            kinds = [event.type async for event in stream]
        assert answer.content[0].text == "Yes."  # type: ignore[union-attr]
        assert kinds[-1] == "message_stop"
        assert [asked.path for asked in vendor.asked] == [
            f"/model/{CLAUDE}/invoke",
            f"/model/{CLAUDE}/invoke-with-response-stream",
        ]
        found = [action["usage"] for action in await server.actions(run.id)]
        assert found == [{"input": 11, "output": 4}, {"input": 9, "output": 7}]


async def test_a_request_signed_with_aws_keys_is_told_to_use_the_bearer_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with bedrock(tmp_path) as (server, vendor, _):
        with pytest.raises(ClientError, match="AWS_BEARER_TOKEN_BEDROCK") as caught:
            await asyncio.to_thread(lambda: client_of(server).converse(modelId=NOVA, messages=ASK))
        assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401
        assert vendor.asked == []


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        (
            "wire:fetched-content",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "document": {
                                    "format": "pdf",
                                    "name": "a",
                                    "source": {"s3Location": {"uri": "s3://b/a.pdf"}},
                                }
                            }
                        ],
                    }
                ]
            },
        ),
        (
            "wire:vendor-guardrails",
            {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}},
        ),
        ("wire:vendor-state", {"promptVariables": {"a": {"text": "b"}}}),
        ("wire:remote-mcp", {"additionalModelRequestFields": {"mcp_servers": [{"url": "x"}]}}),
        (
            "wire:hosted-tools",
            {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
        ),
        ("may not use the model", {"modelId": "amazon.nova-premier-v1:0"}),
    ],
)
async def test_what_the_vendor_would_do_by_itself_is_refused(
    tmp_path: Path, use: Callable[[StartedRun], None], rule: str, more: dict[str, Any]
) -> None:
    async with bedrock(tmp_path) as (server, vendor, run):
        use(run)
        asked = {"modelId": NOVA, "messages": ASK} | more
        with pytest.raises(ClientError, match=rule) as caught:
            await asyncio.to_thread(lambda: client_of(server).converse(**asked))
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
        assert vendor.asked == []
        [action] = await server.actions(run.id)
        assert (action["state"], action["cost_nanousd"]) == ("refused", 0)


async def test_invoke_of_another_format_is_refused_with_a_way_out(
    tmp_path: Path, use: Callable[[StartedRun], None]
) -> None:
    async with bedrock(tmp_path) as (server, vendor, run):
        use(run)
        with pytest.raises(ClientError, match="use Converse") as caught:
            await asyncio.to_thread(
                lambda: client_of(server).invoke_model(modelId=NOVA, body=b'{"inputText":"Hi"}')
            )
        assert caught.value.response["Error"]["Code"] == "ValidationException"
        assert vendor.asked == []


async def test_a_guardrail_that_would_be_lost_is_refused(
    tmp_path: Path, use: Callable[[StartedRun], None]
) -> None:
    async with bedrock(tmp_path) as (server, vendor, run):
        use(run)
        body = b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[]}'
        with pytest.raises(ClientError, match="guardrailConfig"):
            await asyncio.to_thread(
                lambda: client_of(server).invoke_model(
                    modelId=CLAUDE, body=body, guardrailIdentifier="g", guardrailVersion="1"
                )
            )
        assert vendor.asked == []


async def test_an_exception_in_a_stream_fails_the_action(
    tmp_path: Path, use: Callable[[StartedRun], None]
) -> None:
    broken = message("throttlingException", {"message": "slow down"}, of=":exception-type")
    begun = message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}})
    reply = Reply(pieces=[begun, broken], content_type=STREAM)
    async with bedrock(tmp_path, {"/converse-stream": reply}) as (server, _, run):
        use(run)
        async with httpx2.AsyncClient(base_url=server.url) as client:
            answer = await client.post(
                f"/bedrock/model/{NOVA}/converse-stream",
                json={"messages": ASK},
                headers={"authorization": f"Bearer {run.credential}"},
            )
        assert answer.content == begun + broken
        [action] = await server.actions(run.id)
        assert (action["state"], action["usage_source"]) == ("failed", "estimated")
        assert "throttlingException: slow down" in action["detail"]["error"]


async def test_a_vendor_that_dies_in_a_stream_is_an_estimate(
    tmp_path: Path, use: Callable[[StartedRun], None]
) -> None:
    whole = STREAMS["bedrock-converse"].stream
    reply = Reply(pieces=[whole[:200]], content_type=STREAM, ends="cut")
    async with bedrock(tmp_path, {"/converse-stream": reply}) as (server, _, run):
        use(run)

        def ask() -> list[Any]:
            return list(client_of(server).converse_stream(modelId=NOVA, messages=ASK)["stream"])

        with pytest.raises(Exception):  # noqa: B017,PT011  whatever its transport raises
            await asyncio.to_thread(ask)
        [action] = await server.actions(run.id)
        assert (action["state"], action["usage_source"]) == ("failed", "estimated")
        assert action["usage"]["input"] > 0


async def test_a_spent_budget_is_an_error_the_sdk_does_not_retry(
    tmp_path: Path, use: Callable[[StartedRun], None]
) -> None:
    async with bedrock(tmp_path) as (server, vendor, run):
        use(run)
        with pytest.raises(ClientError, match="budget:") as caught:
            await asyncio.to_thread(
                lambda: client_of(server).converse(
                    modelId=NOVA, messages=ASK, inferenceConfig={"maxTokens": 100_000_000}
                )
            )
        code = caught.value.response["Error"]["Code"]
        assert code == "ServiceQuotaExceededException"
        assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
        assert vendor.asked == []
