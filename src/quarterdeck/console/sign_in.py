"""Signing in by a one-time link, and out again.

Opening a link shows a button; only pressing it uses the link up, so that mail scanners, chat
previews and browsers that fetch ahead cannot.
"""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quarterdeck.console.pages import NEW_LINK, Pages
from quarterdeck.console.perimeter import posted
from quarterdeck.console.plain import line
from quarterdeck.console.session import COOKIE, PREFIX
from quarterdeck.console.views import NoticePage, SignInPage
from quarterdeck.domain.limits import SESSION_SECONDS

_SPENT: Final = NoticePage(
    title="This link does not sign you in",
    message="It was used before, is older than 15 minutes, or was made before the last restart.",
    hint="`quarterdeck up` prints a link when it starts. While it runs, this prints a new one:",
    commands=NEW_LINK,
)
_SIGNED_OUT: Final = NoticePage(
    title="You are signed out",
    message="This browser can no longer read the console.",
    hint="To sign in again, get a new link:",
    commands=NEW_LINK,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPages:
    """The pages of signing in and out."""

    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/sign-in", self.show, methods=["GET"]),
            Route("/sign-in", self.redeem, methods=["POST"]),
            Route("/sign-out", self.end, methods=["POST"]),
            Route("/signed-out", self.ended, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The button behind a link."""
        token = request.query_params.get("token", "")
        visit = await self.pages.visit(request)
        caller = self.pages.sessions.find_link(token)
        if caller is None:
            return self.pages.notice(visit, _SPENT, status=401)
        page = SignInPage(caller=line(caller.id, 80), token=token)
        return self.pages.answer(visit, "sign_in.html", page)

    async def redeem(self, request: Request) -> Response:
        """Use the link up and remember who it was for."""
        fields = await posted(request)
        session = self.pages.sessions.redeem(fields.get("token", ""))
        if session is None:
            return self.pages.notice(await self.pages.visit(request), _SPENT, status=401)
        response = RedirectResponse(f"{PREFIX}/", status_code=303)
        response.set_cookie(
            COOKIE,
            self.pages.sessions.cookie(session),
            max_age=SESSION_SECONDS,
            path=PREFIX,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return response

    async def end(self, request: Request) -> Response:
        """Sign out."""
        fields = await posted(request)
        visit = await self.pages.visit(request)
        self.pages.check_form(visit, fields)
        await self.pages.ended.end(visit.signed_in.id, visit.signed_in.until)
        response = RedirectResponse(f"{PREFIX}/signed-out", status_code=303)
        response.delete_cookie(COOKIE, path=PREFIX, httponly=True, samesite="lax")
        return response

    async def ended(self, request: Request) -> Response:
        """Where signing out leads."""
        return self.pages.notice(await self.pages.visit(request), _SIGNED_OUT, status=200)
