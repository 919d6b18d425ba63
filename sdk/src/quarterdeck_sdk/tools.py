"""`@tool`: a function becomes an action that is decided before it runs and recorded after.

INVARIANT: the function is called only after the server has cleared this very call, once, and at
once. A function that raises has failed. One that is cut short (a cancelled task, Ctrl-C, a killed
process) has neither failed nor succeeded: it is left in doubt, because nobody knows.
"""

import functools
import inspect
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn, ParamSpec, TypeVar, overload

from quarterdeck_sdk import encoding
from quarterdeck_sdk.drivers import awaiting, blocking
from quarterdeck_sdk.errors import (
    FailedBefore,
    Held,
    InDoubt,
    Lapsed,
    Misconfigured,
    NotDone,
    Refused,
    Rejected,
    Suggested,
    Unavailable,
    Unsettled,
)
from quarterdeck_sdk.protocol import ERROR_CHARACTERS_MAX, Admission, admitted, told
from quarterdeck_sdk.runs import client_of_this_loop
from quarterdeck_sdk.scope import Current, current, entered
from quarterdeck_sdk.steps import Act, Raised, Returned, Steps

P = ParamSpec("P")
R = TypeVar("R")

#: How long a clearance may wait before its function is called.
CLEARANCE_SECONDS: Final = 5.0
_NOT_DONE: Final[dict[str, type[NotDone]]] = {
    "refused": Refused,
    "held": Held,
    "suggested": Suggested,
}


@dataclass(frozen=True, slots=True)
class _Tool:
    """A function as a tool."""

    name: str
    signature: inspect.Signature
    key: Callable[..., str] | None
    without: frozenset[str]

    def action(self, args: Any, kwargs: Any) -> Steps[Returned | Raised]:
        """One call: ask, act if cleared, tell. Ends with what became of the function."""
        where = current()
        arguments = encoding.arguments(self.name, self._named(args, kwargs))
        key = None if self.key is None else self.key(*args, **kwargs)
        asked = time.monotonic()
        admission = yield from admitted(where, self.name, arguments, key)
        match admission.answer:
            case "cleared":
                late = time.monotonic() - asked > CLEARANCE_SECONDS
                return (yield from _carried_out(where, admission, late=late))
            case "done" if admission.status == "done":
                return Returned(admission.result)
            case _:
                self._not_cleared(admission)

    def whole(self, returned: R) -> R:
        """What a plain function returned, if its effect is over: not a promise of one to come."""
        if inspect.isawaitable(returned) or inspect.isgenerator(returned):
            getattr(returned, "close", lambda: None)()
            raise Misconfigured(
                f"`{self.name}` returned a {type(returned).__name__}, so its effect would come"
                " after it was recorded; decorate an `async def`, or return when it is done"
            )
        return returned

    def _named(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """The arguments under their names, with defaults; a default of None is as if absent."""
        bound = self.signature.bind(*args, **kwargs)
        given = set(bound.arguments)
        bound.apply_defaults()
        named: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                named |= value
            elif name in given or value is not None:
                named[name] = value
        return {name: value for name, value in named.items() if name not in self.without}

    def _not_cleared(self, admission: Admission) -> NoReturn:
        kind = _NOT_DONE.get(admission.answer)
        if kind is not None:
            raise kind(self.name, admission.action, admission.reasons, admission.approval)
        if admission.answer == "done":
            raise FailedBefore(f"`{self.name}` failed under this key before", admission.action)
        if admission.answer == "in_doubt":
            why = "was asked for under this key before, and its outcome is not known"
            raise InDoubt(f"`{self.name}` {why}", admission.action)
        raise Rejected(200, "unknown_answer", f"the server answered `{admission.answer}`", "")


def _carried_out(where: Current, admission: Admission, *, late: bool) -> Steps[Returned | Raised]:
    action = admission.action
    if late:
        receipt = {"status": "failed", "error": "not attempted: its clearance had lapsed"}
        yield from told(where, action, receipt, b"null")
        raise Lapsed("the clearance took too long to arrive; nothing was done", action)
    token = entered.set(replace(where, action=action))
    try:
        outcome = yield Act()
    finally:
        entered.reset(token)
    if isinstance(outcome, Raised):
        error = f"{type(outcome.error).__name__}: {outcome.error}"[:ERROR_CHARACTERS_MAX]
        try:
            yield from told(where, action, {"status": "failed", "error": error}, b"null")
        except (Rejected, Unavailable) as untold:
            outcome.error.add_note(f"quarterdeck could not be told of it: {untold}")
        return outcome
    assert isinstance(outcome, Returned), "an Act is answered with one of these"
    try:
        yield from told(where, action, {"status": "done"}, encoding.result(outcome.value))
    except (Rejected, Unavailable) as untold:
        why = f"it was carried out, but quarterdeck could not be told: {untold}"
        raise Unsettled(why, action, outcome.value) from untold
    return outcome


def _came_of(outcome: Returned | Raised) -> Any:
    # Only out here: a StopIteration raised inside of the steps would be taken for a mistake of
    # theirs, and end as a RuntimeError.
    if isinstance(outcome, Raised):
        raise outcome.error
    return outcome.value


@overload
def tool(name: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def tool(
    name: str | None = None,
    /,
    *,
    key: Callable[..., str] | None = None,
    without: Collection[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def tool(
    name: Any = None,
    /,
    *,
    key: Callable[..., str] | None = None,
    without: Collection[str] = (),
) -> Any:
    """Make a function, plain or async, an action of the current run.

    It is asked for under `name`, the function's own if none is given, with the call's arguments by
    name. `key` makes a repeat harmless: called with the same arguments, it says which calls are
    one. `without` names parameters that are no part of the decision: clients, contexts.
    """

    def governed(function: Callable[P, R]) -> Callable[P, R]:
        named = str(name or getattr(function, "__name__", ""))
        left_out = frozenset(without)
        signature = _checked(function, named, left_out)
        return _governed(function, _Tool(named, signature, key, left_out))

    if callable(name):
        function, name = name, None
        return governed(function)
    return governed


def _governed(function: Callable[P, R], made: _Tool) -> Callable[P, R]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            steps = made.action(args, kwargs)
            client = client_of_this_loop()
            return _came_of(await awaiting(steps, lambda: function(*args, **kwargs), client))

        return awaited  # type: ignore[return-value]  # R is this coroutine

    @functools.wraps(function)
    def waited(*args: P.args, **kwargs: P.kwargs) -> R:
        steps = made.action(args, kwargs)
        returned: R = _came_of(blocking(steps, lambda: made.whole(function(*args, **kwargs))))
        return returned

    return waited


def _checked(function: Callable[..., Any], name: str, without: frozenset[str]) -> inspect.Signature:
    """Mistakes are told where the function is written, not when it is first called."""
    if not name or name == "<lambda>":
        raise Misconfigured("a tool needs a name: @quarterdeck.tool('NAME')")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise Misconfigured(f"`{name}` yields; a tool must return once, when its effect is done")
    signature = inspect.signature(function)
    parameters = signature.parameters
    if unknown := sorted(without - set(parameters)):
        raise Misconfigured(f"`{name}` has no parameter `{unknown[0]}` to leave out")
    first = next(iter(parameters), "")
    if first in ("self", "cls") and first not in without:
        raise Misconfigured(
            f"`{name}` is a method: `{first}` is not JSON; wrap the bound method instead,"
            f" quarterdeck.tool('{name}')(thing.{name}), or say without=['{first}']"
        )
    for parameter in parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL and parameter.name not in without:
            raise Misconfigured(
                f"`{name}` takes `*{parameter.name}`, which has no names; contracts know"
                " arguments by their names"
            )
    return signature
