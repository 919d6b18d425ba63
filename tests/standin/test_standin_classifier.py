"""The classifier is honest: calibrated on held-out examples, blind to anything else."""

import csv
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from quarterdeck.domain.errors import Forbidden, Invalid, NotFound
from quarterdeck_standin.calibration import NEVER, calibration_error, choose_cut, probabilities
from quarterdeck_standin.classifier import Classifier, train
from quarterdeck_standin.evaluate import evaluate, matrix, report, summary, write_matrix
from quarterdeck_standin.examples import Example, read_examples, training_file

BANKING77 = Path(__file__).resolve().parents[3] / "shared" / "data" / "banking77"
needs_banking77 = pytest.mark.skipif(
    not BANKING77.is_dir(), reason="Banking77 is not beside the project in shared/data"
)


def test_one_question_is_scored_as_in_a_batch(trained: Classifier, sample: Path) -> None:
    texts = [example.text for example in read_examples(sample / "test.csv")]
    batch = trained.probabilities(texts).max(axis=1)
    single = [trained.guesses(text)[0].confidence for text in texts]
    np.testing.assert_allclose(single, batch, atol=1e-9)


def test_a_question_of_unknown_letters_is_answered_with_little_confidence(
    trained: Classifier,
) -> None:
    for text in ("", "жщ", "12", "\x00"):
        guesses = trained.guesses(text)
        assert len(guesses) == 3
        assert guesses[0].confidence < 0.5


def test_training_twice_gives_the_same_classifier(trained: Classifier, sample: Path) -> None:
    again = train(read_examples(sample / "train.csv"))
    assert again.cut(0.975) == trained.cut(0.975)
    assert np.array_equal(again.weights, trained.weights)


def test_scoring_a_question_takes_less_than_a_millisecond(trained: Classifier) -> None:
    started = time.process_time()
    for count in range(200):
        trained.guesses(f"Where is order {count}, the green kettle I bought on Monday?")
    assert (time.process_time() - started) / 200 < 0.001


def test_what_is_routed_was_right_at_the_target_rate_on_held_out_examples(
    trained: Classifier,
) -> None:
    for target in (0.9, 0.95, 0.975, 0.99):
        routed = trained.held_out_confidences >= trained.cut(target)
        assert trained.held_out_right[routed].mean() >= target
        assert routed.mean() > 0.3


def test_a_higher_target_routes_less(trained: Classifier) -> None:
    cuts = [trained.cut(target) for target in (0.9, 0.95, 0.975, 0.99)]
    assert cuts == sorted(cuts)


def test_the_cut_is_the_lowest_that_keeps_the_target() -> None:
    confidences = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True])
    assert choose_cut(confidences, right, 1.0) == 0.8
    assert choose_cut(confidences, right, 0.75) == 0.6


def test_equal_confidences_stand_or_fall_together() -> None:
    confidences = np.array([0.9, 0.8, 0.8])
    right = np.array([True, True, False])
    assert choose_cut(confidences, right, 1.0) == 0.9


def test_an_unreachable_target_routes_nothing() -> None:
    assert choose_cut(np.array([0.9, 0.8]), np.array([False, True]), 0.6) == NEVER


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    right = np.array([True, True, True, False])
    assert calibration_error(np.full(4, 0.75), right) == pytest.approx(0.0)
    assert calibration_error(np.full(4, 0.95), right) == pytest.approx(0.2)


def test_probabilities_sum_to_one_however_sharp() -> None:
    margins = np.array([[1000.0, -1000.0, 3.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(probabilities(margins, 50.0).sum(axis=1), 1.0)


def test_the_sample_is_sorted_well(trained: Classifier, sample: Path) -> None:
    measured = evaluate(trained, read_examples(sample / "test.csv"), 0.975)
    kinds = {one.kind: one for one in measured.kinds}
    clear, off_topic = kinds["clear"], kinds["off_topic"]
    assert clear.top1 / clear.questions >= 0.95
    assert clear.routed / clear.questions >= 0.9
    assert clear.routed_right / clear.routed >= 0.975
    assert off_topic.routed / off_topic.questions <= 0.2
    assert measured.top1 >= 0.84


def test_shuffled_labels_bring_accuracy_on_the_sample_down_to_chance(sample: Path) -> None:
    examples = shuffled(read_examples(sample / "train.csv"))
    measured = evaluate(train(examples), read_examples(sample / "test.csv"), 0.975)
    assert measured.top1 < 3 / 14
    assert measured.coverage < 0.05


@needs_banking77
@pytest.mark.slow
def test_banking77_meets_its_bars() -> None:
    classifier = train(read_examples(BANKING77 / "train.csv"))
    measured = evaluate(classifier, read_examples(BANKING77 / "test.csv"), 0.975)
    assert measured.questions == 3080
    assert measured.top1 >= 0.90
    assert measured.calibration_error <= 0.03
    assert measured.precision >= 0.97
    assert measured.coverage >= 0.80


@needs_banking77
@pytest.mark.slow
def test_shuffled_labels_bring_accuracy_on_banking77_down_to_chance() -> None:
    # A third of the examples keeps the test quick; chance is 1 in 77 either way.
    examples = shuffled(read_examples(BANKING77 / "train.csv"))[::3]
    measured = evaluate(train(examples), read_examples(BANKING77 / "test.csv"), 0.975)
    assert measured.top1 < 3 / 77


def test_the_confusion_matrix_counts_every_question_once(
    trained: Classifier, sample: Path, tmp_path: Path
) -> None:
    measured = evaluate(trained, read_examples(sample / "test.csv"), 0.975)
    header, *rows = matrix(measured)
    assert len(header) == len(trained.queues) + 2
    assert sum(count for row in rows for count in row[1:-1] if isinstance(count, int)) == 279
    write_matrix(measured, tmp_path / "confusion.csv")
    assert len((tmp_path / "confusion.csv").read_text().splitlines()) == 1 + 14 + 1
    assert "| none |" in report(measured)
    assert summary(measured)["questions"] == 279


def test_the_published_confusion_matrix_is_the_measured_one(
    trained: Classifier, sample: Path
) -> None:
    """Another processor may round otherwise, so a handful of questions may fall differently."""
    page = (sample.parents[3] / "docs" / "reference" / "standin.md").read_text(encoding="utf-8")
    header, *published = csv.reader(page.split("```csv\n")[1].split("```")[0].splitlines())
    measured_header, *measured = matrix(
        evaluate(trained, read_examples(sample / "test.csv"), 0.975)
    )
    assert header == measured_header
    assert [row[0] for row in published] == [row[0] for row in measured]
    expected = np.array([row[1:] for row in measured], dtype=int)
    apart = np.abs(np.array([row[1:] for row in published], dtype=int) - expected).sum()
    assert apart <= 12


def test_the_queue_of_off_topic_questions_is_never_guessed(trained: Classifier) -> None:
    assert "none" not in trained.queues


def test_a_queue_with_one_example_is_refused() -> None:
    examples = [Example(text="a", category="x"), Example(text="b", category="x")]
    with pytest.raises(Invalid, match="fewer than 2 queues"):
        train(examples)
    with pytest.raises(Invalid, match="`y` has only 1 example"):
        train([*examples, Example(text="c", category="y")])


def test_two_queues_are_enough() -> None:
    words = {"pay": ["card declined", "cannot pay", "pay failed"], "send": ["late", "lost", "slow"]}
    examples = [
        Example(text=text, category=queue) for queue, texts in words.items() for text in texts
    ]
    assert train(examples).guesses("my card was declined")[0].queue == "pay"


def test_a_file_outside_the_examples_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    outside = tmp_path / "secret.csv"
    outside.write_text("text,category\na,b\n")
    (folder / "link.csv").symlink_to(outside)
    for name in ("../secret.csv", str(outside), "link.csv"):
        with pytest.raises(Forbidden):
            training_file(folder, name)


def test_a_test_split_is_refused_whatever_it_is_linked_as(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,category\na,b\n")
    (tmp_path / "train.csv").symlink_to(tmp_path / "test.csv")
    for name in ("test.csv", "TEST.csv", "train.csv"):
        with pytest.raises((Forbidden, NotFound)):
            training_file(tmp_path, name)


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"question,label\na,b\n", b"text,category\n\xff\xfe,x\n"):
        (tmp_path / "train.csv").write_bytes(content)
        with pytest.raises(Invalid):
            read_examples(tmp_path / "train.csv")


def shuffled(examples: tuple[Example, ...]) -> list[Example]:
    """The same questions with one another's labels."""
    labels = [example.category for example in examples]
    Random(1).shuffle(labels)
    return [
        replace(example, category=label) for example, label in zip(examples, labels, strict=True)
    ]
