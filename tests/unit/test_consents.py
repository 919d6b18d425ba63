"""What counts as a person's consent, and who is asked for it."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from quarterdeck.domain.consents import (
    Asked,
    Challenge,
    Client,
    Granted,
    Issuer,
    Resource,
    challenge_of,
    check_issuer,
    check_resource,
    code_of,
    granted_of,
    issuer_of,
    issuer_urls,
    resource_urls,
    scopes_to_ask,
    token_request,
)
from quarterdeck.domain.errors import Invalid, Unavailable

URL = "https://tracker.example/mcp"
ISSUER = Issuer(
    issuer="https://auth.example",
    authorization_endpoint="https://auth.example/authorize?kind=1",
    token_endpoint="https://auth.example/token",
    code_challenge_methods_supported=("S256",),
    authorization_response_iss_parameter_supported=True,
)
ASKED = Asked(
    issuer=ISSUER,
    client=Client(issuer=ISSUER.issuer, id="us"),
    resource=URL,
    scopes=("read",),
    redirect_uri="http://127.0.0.1:8765/callback",
    state="made-by-us",
    verifier="v" * 64,
)
ANSWER = "http://127.0.0.1:8765/callback?code=c&state=made-by-us&iss=https%3A%2F%2Fauth.example"


def test_a_refusal_says_what_it_asks_for() -> None:
    said = 'Bearer error="x", resource_metadata="https://a.example/m", scope="read write"'
    metadata = "https://a.example/m"
    found = challenge_of(401, [said])
    assert found == Challenge(metadata_url=metadata, scopes=("read", "write"))
    assert challenge_of(401, []) == challenge_of(401, ["Basic realm=x"]) == Challenge()
    assert challenge_of(403, [said]) is None
    more = challenge_of(403, ['Bearer error="insufficient_scope", scope=admin'])
    assert more == Challenge(is_insufficient=True, scopes=("admin",))
    assert challenge_of(500, [said]) is None


def test_metadata_are_looked_for_where_the_standards_put_them() -> None:
    assert resource_urls(URL, Challenge()) == (
        "https://tracker.example/.well-known/oauth-protected-resource/mcp",
        "https://tracker.example/.well-known/oauth-protected-resource",
    )
    named = Challenge(metadata_url="https://tracker.example/m")
    assert resource_urls(URL, named) == ("https://tracker.example/m",)
    assert issuer_urls("https://auth.example/") == (
        "https://auth.example/.well-known/oauth-authorization-server",
        "https://auth.example/.well-known/openid-configuration",
    )
    assert issuer_urls("https://auth.example/team") == (
        "https://auth.example/.well-known/oauth-authorization-server/team",
        "https://auth.example/.well-known/openid-configuration/team",
        "https://auth.example/team/.well-known/openid-configuration",
    )


@pytest.mark.parametrize(
    ("resource", "fits"),
    [
        (URL, True),
        ("https://tracker.example", True),
        ("https://tracker.example/mc", False),
        ("https://tracker.example/mcp/deeper", False),
        ("http://tracker.example/mcp", False),
        ("https://other.example/mcp", False),
        ("https://tracker.example.evil.example/mcp", False),
    ],
)
def test_the_metadata_of_another_server_are_not_believed(resource: str, fits: bool) -> None:
    found = Resource(resource=resource)
    if fits:
        assert check_resource(found, URL) == resource
    else:
        with pytest.raises(Invalid, match="the metadata of"):
            check_resource(found, URL)


def test_only_the_issuer_that_the_fleet_names_is_asked() -> None:
    found = Resource(
        resource=URL, authorization_servers=("https://a.example/", "https://b.example")
    )
    assert issuer_of(found, None) == "https://a.example/"
    assert issuer_of(found, "https://a.example") == "https://a.example/"
    with pytest.raises(Invalid, match="does not name the issuer"):
        issuer_of(found, "https://c.example")


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "https://auth.example/"},
        {"code_challenge_methods_supported": ("plain",)},
        {"token_endpoint": "http://auth.example/token"},
        {"registration_endpoint": "http://10.0.0.1/register"},
    ],
)
def test_an_issuer_that_is_another_or_unsafe_is_not_asked(changed: dict[str, object]) -> None:
    assert check_issuer(ISSUER, "https://auth.example") == ISSUER
    assert check_issuer(ISSUER, "https://auth.example/") == ISSUER  # as the official SDK writes it
    with pytest.raises(Invalid):
        check_issuer(msgspec.structs.replace(ISSUER, **changed), "https://auth.example")


def test_a_question_shows_the_challenge_and_keeps_the_verifier() -> None:
    query = parse_qs(urlsplit(ASKED.url).query)
    assert ASKED.verifier not in ASKED.url
    assert (query["kind"], query["code_challenge_method"], query["resource"]) == (
        ["1"],
        ["S256"],
        [URL],
    )
    assert "verifier" not in repr(ASKED)
    assert "made-by-us" not in repr(ASKED)


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER.replace("made-by-us", "made-by-another"),
        ANSWER.replace("&state=made-by-us", ""),
        ANSWER.replace("%2Fauth.example", "%2Fevil.example"),
        ANSWER.replace("auth.example", "auth.example%2F"),
        ANSWER.partition("&iss")[0],
        ANSWER.replace("code=c&", ""),
        ANSWER + "&state=made-by-us",
    ],
)
def test_an_answer_that_is_not_the_issuers_to_this_question_does_not_count(answer: str) -> None:
    assert code_of(ASKED, ANSWER) == "c"
    with pytest.raises(Invalid):
        code_of(ASKED, answer)


def test_an_issuer_that_does_not_say_its_name_need_not_but_may_not_say_another() -> None:
    silent = replace(
        ASKED,
        issuer=msgspec.structs.replace(
            ISSUER, authorization_response_iss_parameter_supported=False
        ),
    )
    assert code_of(silent, ANSWER.partition("&iss")[0]) == "c"
    with pytest.raises(Invalid):
        code_of(silent, ANSWER.replace("%2Fauth.example", "%2Fevil.example"))
    with pytest.raises(Unavailable, match="access_denied"):
        code_of(ASKED, ANSWER.replace("code=c", "error=access_denied"))


def test_more_is_asked_for_beside_what_was_granted_and_nothing_where_nothing_is_named() -> None:
    resource = Resource(resource=URL, scopes_supported=("a", "b"))
    more = Challenge(is_insufficient=True, scopes=("write",))
    assert scopes_to_ask(more, resource, ISSUER, ("read",)) == ("read", "write")
    assert scopes_to_ask(Challenge(), resource, ISSUER, ()) == ("a", "b")
    assert scopes_to_ask(Challenge(), Resource(resource=URL), ISSUER, ()) == ()
    lasting = msgspec.structs.replace(ISSUER, scopes_supported=("offline_access",))
    assert scopes_to_ask(Challenge(), resource, lasting, ()) == ("a", "b", "offline_access")


def test_a_client_is_shown_to_its_own_issuer_only_and_as_that_one_wants() -> None:
    secret = Client(issuer=ISSUER.issuer, id="us", secret="s")
    other = msgspec.structs.replace(ISSUER, issuer="https://other.example")
    with pytest.raises(Invalid):
        token_request(other, secret, {})
    assert token_request(ISSUER, secret, {})[1]["authorization"].startswith("Basic ")
    post = msgspec.structs.replace(
        ISSUER, token_endpoint_auth_methods_supported=("client_secret_post",)
    )
    assert token_request(post, secret, {"a": "b"}) == (
        {"a": "b", "client_id": "us", "client_secret": "s"},
        {},
    )
    assert token_request(ISSUER, ASKED.client, {}) == ({"client_id": "us"}, {})
    assert "secret='s'" not in repr(secret)


def test_what_was_granted_is_kept_whole_and_anything_else_is_none() -> None:
    granted = Granted(
        issuer=ISSUER,
        client=ASKED.client,
        resource=URL,
        scopes=("read",),
        access_token="t",
        refresh_token="r",
        until=1.5,
    )
    assert granted_of(granted.kept()) == granted
    assert granted_of("a-plain-token") is None
    assert "access_token" not in repr(granted)
