"""Signatures for AWS: the worked example AWS publishes, and AWS's own signer as the oracle."""

import hashlib
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from quarterdeck.domain.errors import Unavailable
from quarterdeck.upstream.models import sigv4
from quarterdeck.upstream.models.sigv4 import AwsKey, read_key, signature_headers

HOST = "https://bedrock-runtime.eu-central-1.amazonaws.com"
NOW = datetime(2026, 11, 21, 12, 34, 56, tzinfo=UTC)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=3, max_size=40)


def test_the_signing_key_is_the_one_of_the_published_example() -> None:
    # From "Examples of how to derive a signing key" in the AWS documentation.
    scope = "20150830/us-east-1/iam/aws4_request"
    key = sigv4._signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope)
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


def by_aws(url: str, body: bytes, content_type: str, key: AwsKey) -> dict[str, str]:
    """What AWS's own library adds to the same request at the same moment."""
    request = AWSRequest("POST", url, headers={"content-type": content_type}, data=body)
    request.context["timestamp"] = NOW.strftime("%Y%m%dT%H%M%SZ")
    signer = SigV4Auth(
        Credentials(key.id, key.secret, key.token or None), "bedrock", "eu-central-1"
    )
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if key.token:
        request.headers["X-Amz-Security-Token"] = key.token
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    return {"canonical": canonical, "signature": signature}


@given(
    model=TEXT,
    tail=st.sampled_from(["converse", "converse-stream", "invoke"]),
    query=st.sampled_from(["", "?b=2&a=1", "?a=b%20c"]),
    body=st.binary(max_size=200),
    key=st.builds(
        AwsKey,
        st.just("AKIDEXAMPLE"),
        st.from_regex(r"[A-Za-z0-9/+]{40}", fullmatch=True),
        st.sampled_from(["", "FwoGZXIvYXdzE/token+=="]),
    ),
)
def test_signatures_are_those_of_the_vendors_own_library(
    model: str, tail: str, query: str, body: bytes, key: AwsKey
) -> None:
    from urllib.parse import quote

    url = f"{HOST}/model/{quote(model, safe='')}/{tail}{query}"
    ours = signature_headers(
        URL(url, encoded=True), body, "application/json", key=key, region="eu-central-1", now=NOW
    )
    theirs = by_aws(url, body, "application/json", key)
    assert ours["authorization"].endswith(f"Signature={theirs['signature']}"), theirs["canonical"]
    assert ours["x-amz-date"] == "20261121T123456Z"
    assert ours.get("x-amz-security-token", "") == key.token
    assert hashlib.sha256(body).hexdigest() == theirs["canonical"].rpartition("\n")[2]


def test_a_port_that_does_not_go_without_saying_is_signed() -> None:
    key = AwsKey("AKIDEXAMPLE", "secret", "")
    url = "http://127.0.0.1:8123/model/m/converse"
    ours = signature_headers(
        URL(url, encoded=True), b"{}", "application/json", key=key, region="eu-central-1", now=NOW
    )
    assert by_aws(url, b"{}", "application/json", key)["signature"] in ours["authorization"]


@pytest.mark.parametrize("written", ["", "AKIA", "a:b:c:d", ":secret", "AKIA:", "a::c"])
def test_a_secret_that_is_no_key_is_refused_without_being_shown(written: str) -> None:
    with pytest.raises(Unavailable) as error:
        read_key(written, "aws")
    said = f"{error.value.message} {error.value.hint}"
    assert "ACCESS_KEY_ID:SECRET_ACCESS_KEY" in said
    assert written == "" or written not in said.replace("ACCESS_KEY_ID:SECRET_ACCESS_KEY", "")


def test_a_key_is_read_with_and_without_a_session_token() -> None:
    assert read_key("AKIA:abc/+\n", "aws") == AwsKey("AKIA", "abc/+", "")
    assert read_key("ASIA:abc:tok/en==", "aws") == AwsKey("ASIA", "abc", "tok/en==")
    assert "abc" not in repr(read_key("AKIA:abc:tok", "aws"))
