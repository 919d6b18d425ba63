"""The soak finds what is off, and finds nothing where nothing is."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import __main__ as soak
from benchmarks.soak import books, samples
from benchmarks.soak.kinds import KINDS, cost_of, tokens_of
from benchmarks.soak.samples import Sample
from benchmarks.soak.traffic import Journal


@pytest.mark.slow
def test_a_short_soak_of_the_real_server_accounts_for_every_call(tmp_path: Path) -> None:
    """Goal: hang-ups, faults and repeats leave nothing open, held, or charged wrongly.

    Method: the benchmark itself, for a few seconds.
    """
    found = soak.run(tmp_path, minutes=0.1, rate=60)
    assert found.wrong == []
    assert found.journal.begun.total() == found.journal.ended.total() > 100
    assert found.accounts["whole"].states["done"] > 10
    assert found.accounts["hang_up"].states["failed"] > 1
    assert "complete to" in found.verified


def row(action: str, number: int, **different: Any) -> dict[str, Any]:
    """An action of a whole call as it must be."""
    found = {
        "id": action,
        "state": "done",
        "cost_nanousd": cost_of(number),
        "usage_source": "reported",
        "digest": action,
        "holds": "[]",
        "process": "prc_1",
    }
    return found | different


def told_of(*numbers: int) -> dict[str, Any]:
    """The upstream's books after these whole calls."""
    tokens = [tokens_of(number) for number in numbers]
    return {
        "requests": {"whole": len(numbers)},
        "answered": {"whole": len(numbers)},
        "input": {"whole": sum(t[0] for t in tokens)},
        "output": {"whole": sum(t[1] for t in tokens)},
        "cut": {},
        "early": [],
    }


def wrong_with(rows: list[dict[str, Any]], told: dict[str, Any]) -> str:
    """What is wrong where callers made two whole calls."""
    journal = Journal(
        actions={"act_1": ("whole", 1), "act_2": ("whole", 2)}, begun=Counter(whole=2)
    )
    return "; ".join(books.reconcile(journal, rows, told)[1])


@pytest.mark.parametrize(
    ("rows", "numbers", "wrong"),
    [
        ([row("act_1", 1), row("act_2", 2)], (1, 2), ""),
        ([row("act_1", 1)], (1, 2), "1 actions that callers were told of are not in the database"),
        (
            [row("act_1", 1), row("act_2", 2), row("act_3", 3)],
            (1, 2),
            "1 actions are in the database that no caller was told of",
        ),
        ([row("act_1", 1), row("act_2", 2, state="begun")], (1, 2), "it is `begun`"),
        ([row("act_1", 1), row("act_2", 2, cost_nanousd=1)], (1, 2), "it cost 1 nano-USD"),
        ([row("act_1", 1), row("act_2", 2, usage_source="estimated")], (1, 2), "`estimated`"),
        ([row("act_1", 1), row("act_2", 2)], (1, 2, 3), "nano-USD charged"),
        ([row("act_1", 1), row("act_2", 2)], (1,), "1 reached the upstream"),
    ],
)
def test_every_difference_between_the_books_is_found(
    rows: list[dict[str, Any]], numbers: tuple[int, ...], wrong: str
) -> None:
    found = wrong_with(rows, told_of(*numbers))
    assert wrong in found
    assert bool(wrong) == bool(found)


@pytest.mark.parametrize(
    ("early", "reached", "wrong"),
    [
        (row("act_9", 9, state="failed", usage_source="estimated"), [9], ""),
        (row("act_9", 9, state="not_attempted", cost_nanousd=0), [], ""),
        (None, [], ""),
        (None, [9], "1 calls reached the upstream without an action"),
        (row("act_9", 9, state="not_attempted"), [9], "it reached the upstream, and is"),
        (row("act_9", 9, state="begun"), [], "it did not reach the upstream, and is `begun`"),
    ],
)
def test_calls_that_were_left_before_their_answer_are_found_by_what_was_sent(
    early: dict[str, Any] | None, reached: list[int], wrong: str
) -> None:
    journal = Journal(early={"act_9": 9}, begun=Counter(early_hang_up=1))
    rows = [] if early is None else [early]
    found = "; ".join(books.reconcile(journal, rows, told_of() | {"early": reached})[1])
    assert wrong in found
    assert bool(wrong) == bool(found)


def test_money_left_held_and_charges_that_do_not_add_up_are_found() -> None:
    rows = [row("act_1", 1, holds='[["b1","nanousd",900]]')]
    budget = {"id": "b1", "held": 0, "charged": cost_of(1)}
    assert books.check_money(rows, [budget]) == []
    assert "still holds 7" in books.check_money(rows, [budget | {"held": 7}])[0]
    assert "was charged 1" in books.check_money(rows, [budget | {"charged": 1}])[0]
    begun = [row("act_1", 1, state="begun")]
    assert "is still `begun`" in books.check_money(begun, [])[0]


def looks(minutes: float, **growing: float) -> list[Sample]:
    """A look every five seconds at a process of which something grows, by so much a minute."""
    plain = {"memory_mb": 100.0, "descriptors": 20.0, "threads": 5.0}
    count = int(minutes * 12)
    return [
        Sample(
            at=n * 5.0,
            memory_mb=plain["memory_mb"] + growing.get("memory_mb", 0) * n / 12 + n % 3,
            descriptors=round(plain["descriptors"] + growing.get("descriptors", 0) * n / 12),
            threads=round(plain["threads"] + growing.get("threads", 0) * n / 12),
            database_mb=n,
            health_ms=1.0,
            calls=n,
            cpu_seconds=n,
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("growing", "leak"),
    [
        ({}, None),
        ({"memory_mb": 0.1}, None),
        ({"memory_mb": 0.6}, "memory grows by 0.6"),
        ({"descriptors": 3}, "descriptors more"),
        ({"threads": 2}, "threads more"),
    ],
)
def test_what_grows_is_found(growing: dict[str, float], leak: str | None) -> None:
    found = samples.leaks(looks(20, **growing))
    assert (leak is None) == (found == [])
    assert leak is None or leak in found[0]


def test_memory_of_a_short_soak_is_not_judged() -> None:
    assert samples.leaks(looks(5, memory_mb=3)) == []


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"tick": "purge", "event": "tick_failed", "level": "warning"}', False),
        ('{"event": "unreadable_in_spool", "level": "error"}', True),
        ("Traceback (most recent call last):", True),
        ("ERROR:    Exception in ASGI application", True),
        ("ERROR:    ASGI callable returned without completing response.", False),
        ("INFO:     ready", False),
    ],
)
def test_an_error_in_the_log_is_found(line: str, error: bool) -> None:
    assert soak._is_error(line) is error


def test_a_plot_rises_where_its_values_do() -> None:
    assert samples.sparkline([1, 2, 3]) == "▁▅█" or samples.sparkline([1, 2, 3]) == "▁▄█"
    assert samples.sparkline([5, 5]) == "▁▁"
    assert len(samples.sparkline(list(range(600)))) == 60


def test_faults_are_a_minor_part_of_what_their_vendor_entry_answers() -> None:
    """Else its circuit opens, and what was to be soaked is not called."""
    failing = {"once_500": 0.5, "always_500": 1.0, "reset": 1.0, "died": 1.0, "half": 0.5}
    tries = {"once_500": 2, "always_500": 2, "always_429": 2, "reset": 2, "half": 2}
    rough = {name: kind for name, kind in KINDS.items() if kind.model == "rough-1"}
    calls = sum(kind.weight * tries.get(name, 1) for name, kind in rough.items())
    failures = sum(
        kind.weight * tries.get(name, 1) * failing.get(name, 0) for name, kind in rough.items()
    )
    assert failures / calls < 0.4
