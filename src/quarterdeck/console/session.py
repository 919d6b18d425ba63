"""Sign-in by a one-time link, and the signed cookie that remembers it.

A link is an address with a secret in it: good for one use within 15 minutes, kept only as a hash
and only in the memory of the process that made it. The cookie is signed and holds no secret; the
session it stands for ends after 12 hours, at sign-out (remembered in the database, so it holds in
every process and after a restart), or when the cookie key changes. Deliberately absent: passwords.
"""

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from itsdangerous import BadData, Signer, URLSafeSerializer

from quarterdeck.domain.errors import Forbidden
from quarterdeck.domain.limits import SESSION_SECONDS, SIGN_IN_LINK_SECONDS, SIGN_IN_LINKS_MAX
from quarterdeck.domain.people import Caller
from quarterdeck.keys import credential_hash
from quarterdeck.sources import Clock, Dice, SystemDice

PREFIX: Final = "/console"
COOKIE: Final = "quarterdeck_console"
_ROLES: Final = frozenset(("owner", "reviewer", "viewer", "on-call"))
_SIGNING: Final[dict[str, Any]] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in person, until `until` (microseconds)."""

    id: str
    caller: Caller
    until: int


@dataclass(frozen=True, slots=True)
class _Link:
    caller: Caller
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Makes and redeems links, writes and reads cookies."""

    key: bytes = field(repr=False)
    clock: Clock
    dice: Dice = field(default_factory=SystemDice, repr=False)
    _links: "OrderedDict[bytes, _Link]" = field(default_factory=OrderedDict, repr=False)

    def one_time_link(self, base_url: str, caller: Caller) -> str:
        """An address at which `caller` can sign in once, within 15 minutes."""
        if caller.role not in _ROLES:
            raise Forbidden(
                f"`{caller.id}` is not a person", hint="the console is for people; sign in as one"
            )
        token = self.dice.token()
        self._forget_expired()
        self._links[credential_hash(token)] = _Link(caller, self._in(SIGN_IN_LINK_SECONDS))
        while len(self._links) > SIGN_IN_LINKS_MAX:
            self._links.popitem(last=False)
        return f"{base_url.rstrip('/')}{PREFIX}/sign-in?{urlencode({'token': token})}"

    def find_link(self, token: str) -> Caller | None:
        """Whom a link would sign in; looking does not use it up."""
        found = self._links.get(credential_hash(token))
        return found.caller if found is not None and found.until > self.clock.micros() else None

    def redeem(self, token: str) -> Session | None:
        """Use a link up; `None` if it is unknown, was used before or is too old."""
        found = self._links.pop(credential_hash(token), None)
        if found is None or found.until <= self.clock.micros():
            return None
        return Session(id=self.dice.token(), caller=found.caller, until=self._in(SESSION_SECONDS))

    def cookie(self, session: Session) -> str:
        """The signed cookie that stands for a session."""
        return str(
            self._serializer().dumps(
                {
                    "session": session.id,
                    "id": session.caller.id,
                    "role": session.caller.role,
                    "team": session.caller.team,
                    "until": session.until,
                }
            )
        )

    def find_session(self, cookie: str) -> Session | None:
        """The session of a cookie; `None` if it is forged or too old. Whether it was ended is asked
        of `services.sessions`."""
        try:
            read = self._serializer().loads(cookie)
        except BadData:
            return None
        if read["until"] <= self.clock.micros():
            return None
        caller = Caller(id=read["id"], role=read["role"], team=read["team"])
        return Session(id=read["session"], caller=caller, until=read["until"])

    def form_token(self, session: Session) -> str:
        """What a form of this session must carry, and another site cannot know."""
        signer = Signer(self.key, salt="quarterdeck.console.form", **_SIGNING)
        return signer.get_signature(session.id).decode()

    def fits_form(self, session: Session, token: str) -> bool:
        """Whether a posted form comes from a page of this session."""
        return hmac.compare_digest(self.form_token(session).encode(), token.encode())

    def _serializer(self) -> URLSafeSerializer:
        return URLSafeSerializer(
            self.key, salt="quarterdeck.console.session", signer_kwargs=_SIGNING
        )

    def _in(self, seconds: int) -> int:
        return self.clock.micros() + seconds * 1_000_000

    def _forget_expired(self) -> None:
        now = self.clock.micros()
        for digest in [d for d, link in self._links.items() if link.until <= now]:
            del self._links[digest]
