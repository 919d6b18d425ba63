"""Measuring the triage classifier against a held-out split: a command of its own, never serving.

Top-1 accuracy and calibration are over questions that have a right queue; coverage and precision
are over all, so that routing an off-topic question counts as wrong.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quarterdeck_standin.calibration import Flags, Floats, calibration_error
from quarterdeck_standin.classifier import Classifier, train
from quarterdeck_standin.examples import OFF_TOPIC, Example, read_examples

CONFUSIONS_SHOWN = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class KindScore:
    """How questions of one kind fared."""

    kind: str
    questions: int
    top1: int
    routed: int
    routed_right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was measured; `confusions` counts (right, guessed) pairs of top-1 guesses."""

    questions: int
    queues: tuple[str, ...]
    top1: float
    calibration_error: float
    cut: float
    coverage: float
    precision: float
    kinds: tuple[KindScore, ...]
    confusions: Counter[tuple[str, str]]
    escalated: Counter[str]


def evaluate(classifier: Classifier, test: Sequence[Example], target: float) -> Evaluation:
    """Measure a trained classifier on held-out questions at a target precision."""
    shares = classifier.probabilities([example.text for example in test])
    confidences: Floats = shares.max(axis=1)
    guessed = [classifier.queues[place] for place in shares.argmax(axis=1)]
    right: Flags = np.array(
        [guess == example.category for guess, example in zip(guessed, test, strict=True)]
    )
    on_topic: Flags = np.array([example.category != OFF_TOPIC for example in test])
    cut = classifier.cut(target)
    routed: Flags = confidences >= cut
    kinds = np.array([example.kind for example in test])
    return Evaluation(
        questions=len(test),
        queues=classifier.queues,
        top1=_rate(right[on_topic]),
        calibration_error=calibration_error(confidences[on_topic], right[on_topic]),
        cut=cut,
        coverage=_rate(routed),
        precision=_rate(right[routed]),
        kinds=tuple(
            _kind_score(str(kind), kinds == kind, right, routed) for kind in np.unique(kinds)
        ),
        confusions=Counter(
            (example.category, guess) for example, guess in zip(test, guessed, strict=True)
        ),
        escalated=Counter(
            example.category for example, sure in zip(test, routed, strict=True) if not sure
        ),
    )


def evaluate_folder(folder: Path, target: float, test: str = "test.csv") -> Evaluation:
    """Train on `train.csv` of a folder and measure on its test split."""
    classifier = train(read_examples(folder / "train.csv"))
    return evaluate(classifier, read_examples(folder / test), target)


def summary(measured: Evaluation) -> dict[str, float | int]:
    """The figures, rounded for reading."""
    return {
        "questions": measured.questions,
        "queues": len(measured.queues),
        "top1": round(measured.top1, 4),
        "calibration_error": round(measured.calibration_error, 4),
        "cut": round(measured.cut, 4),
        "coverage": round(measured.coverage, 4),
        "precision": round(measured.precision, 4),
    }


def report(measured: Evaluation) -> str:
    """The figures, the kinds of question and the worst confusions, as Markdown."""
    figures = [
        f"| {name.replace('_', ' ')} | {value} |" for name, value in summary(measured).items()
    ]
    kinds = [
        f"| {one.kind} | {one.questions} | {one.top1} | {one.routed} | {one.routed_right} |"
        for one in measured.kinds
    ]
    worst = [
        f"| {right} | {guess} | {count} |"
        for (right, guess), count in sorted(
            measured.confusions.items(), key=lambda item: (-item[1], item[0])
        )
        if right != guess
    ]
    return "\n".join(
        [
            "| figure | value |\n| --- | ---: |",
            *figures,
            "\n| kind | questions | best guess right | routed | routed right |",
            "| --- | ---: | ---: | ---: | ---: |",
            *kinds,
            "\n| right queue | best guess | questions |\n| --- | --- | ---: |",
            *worst[:CONFUSIONS_SHOWN],
            "",
        ]
    )


def matrix(measured: Evaluation) -> list[list[str | int]]:
    """The confusion matrix: a row for each right queue, a column for each guess, then escalated."""
    present = {right for right, _ in measured.confusions}
    rows = sorted(present | set(measured.queues), key=lambda name: (name == OFF_TOPIC, name))
    table: list[list[str | int]] = [["right queue", *measured.queues, "of these escalated"]]
    for row in rows:
        counts = [measured.confusions[row, queue] for queue in measured.queues]
        table.append([row, *counts, measured.escalated[row]])
    return table


def write_matrix(measured: Evaluation, path: Path) -> None:
    """Write the confusion matrix as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(matrix(measured))


def _kind_score(kind: str, chosen: Flags, right: Flags, routed: Flags) -> KindScore:
    return KindScore(
        kind=kind,
        questions=int(chosen.sum()),
        top1=int(right[chosen].sum()),
        routed=int(routed[chosen].sum()),
        routed_right=int(right[chosen & routed].sum()),
    )


def _rate(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else 0.0
