"""Links and cookies: what signs in, how often and for how long."""

from typing import Any

import pytest
from itsdangerous import URLSafeSerializer

from quarterdeck.console.session import Sessions
from quarterdeck.domain.errors import Forbidden
from quarterdeck.domain.ids import TeamName
from quarterdeck.domain.limits import SESSION_SECONDS, SIGN_IN_LINK_SECONDS, SIGN_IN_LINKS_MAX
from quarterdeck.domain.people import Caller
from tests.doubles import SeededDice, SteppingClock

OWNER = Caller(id="local:ann", role="owner")


def sessions(**more: Any) -> Sessions:
    return Sessions(key=b"k" * 32, clock=SteppingClock(), dice=SeededDice(), **more)


def token_of(link: str) -> str:
    return link.partition("token=")[2]


def clock_of(made: Sessions) -> SteppingClock:
    assert isinstance(made.clock, SteppingClock)
    return made.clock


def test_a_link_signs_its_caller_in_once_and_only_once() -> None:
    made = sessions()
    token = token_of(made.one_time_link("http://127.0.0.1:7700/", OWNER))
    session = made.redeem(token)
    assert session is not None
    assert session.caller == OWNER
    assert made.redeem(token) is None


def test_looking_at_a_link_does_not_use_it_up() -> None:
    made = sessions()
    token = token_of(made.one_time_link("http://127.0.0.1:7700", OWNER))
    assert [made.find_link(token) for _ in range(3)] == [OWNER] * 3
    assert made.redeem(token) is not None


def test_a_link_stands_under_the_console_of_its_base_url() -> None:
    link = sessions().one_time_link("https://deck.example/", OWNER)
    assert link.startswith("https://deck.example/console/sign-in?token=")


def test_a_link_is_good_for_fifteen_minutes() -> None:
    made = sessions()
    early = token_of(made.one_time_link("http://h", OWNER))
    late = token_of(made.one_time_link("http://h", OWNER))
    clock_of(made).push(SIGN_IN_LINK_SECONDS - 1)
    assert made.redeem(early) is not None
    clock_of(made).push(2)
    assert made.find_link(late) is None
    assert made.redeem(late) is None


def test_the_token_itself_is_not_kept() -> None:
    made = sessions()
    token = token_of(made.one_time_link("http://h", OWNER))
    assert token.encode() not in set(made._links)
    assert token not in repr(made)
    assert "k" * 32 not in repr(made)


def test_unused_links_are_bounded_and_the_oldest_goes_first() -> None:
    made = sessions()
    tokens = [token_of(made.one_time_link("http://h", OWNER)) for _ in range(SIGN_IN_LINKS_MAX + 1)]
    assert made.find_link(tokens[0]) is None
    assert made.find_link(tokens[1]) == OWNER


def test_an_agent_gets_no_link() -> None:
    with pytest.raises(Forbidden, match="not a person"):
        sessions().one_time_link("http://h", Caller(id="agent:a", role="agent"))


def test_a_cookie_gives_back_its_session() -> None:
    made = sessions()
    session = made.redeem(token_of(made.one_time_link("http://h", OWNER)))
    assert session is not None
    assert made.find_session(made.cookie(session)) == session


def test_a_cookie_of_another_key_is_worth_nothing() -> None:
    made = sessions()
    other = Sessions(key=b"x" * 32, clock=clock_of(made), dice=SeededDice(1))
    session = other.redeem(token_of(other.one_time_link("http://h", OWNER)))
    assert session is not None
    assert made.find_session(other.cookie(session)) is None


def test_a_cookie_with_any_character_changed_is_worth_nothing() -> None:
    made = sessions()
    session = made.redeem(token_of(made.one_time_link("http://h", OWNER)))
    assert session is not None
    cookie = made.cookie(session)
    # The last character of base 64 may carry unused bits, so it is left as it is.
    for at in range(len(cookie) - 1):
        changed = "A" if cookie[at] != "A" else "B"
        assert made.find_session(cookie[:at] + changed + cookie[at + 1 :]) is None


def test_something_signed_for_another_purpose_is_no_cookie() -> None:
    made = sessions()
    body = {"session": "s", "id": "local:ann", "role": "owner", "until": 2**62}
    forged = URLSafeSerializer(b"k" * 32, salt="something else").dumps(body)
    assert made.find_session(str(forged)) is None


def test_a_session_ends_after_twelve_hours() -> None:
    made = sessions()
    session = made.redeem(token_of(made.one_time_link("http://h", OWNER)))
    assert session is not None
    cookie = made.cookie(session)
    clock_of(made).push(SESSION_SECONDS - 1)
    assert made.find_session(cookie) == session
    clock_of(made).push(2)
    assert made.find_session(cookie) is None


def test_a_cookie_keeps_whose_team_its_person_is_of() -> None:
    made = sessions()
    viewer = Caller(id="token:vic", role="viewer", team=TeamName("desk"))
    session = made.redeem(token_of(made.one_time_link("http://h", viewer)))
    assert session is not None
    found = made.find_session(made.cookie(session))
    assert found is not None
    assert found.caller == viewer


def test_a_form_token_is_good_for_its_own_session_only() -> None:
    made = sessions()
    first, second = (made.redeem(token_of(made.one_time_link("http://h", OWNER))) for _ in "ab")
    assert first is not None
    assert second is not None
    assert made.fits_form(first, made.form_token(first))
    assert not made.fits_form(first, made.form_token(second))
    assert not made.fits_form(first, "")
    assert not made.fits_form(first, "é")
