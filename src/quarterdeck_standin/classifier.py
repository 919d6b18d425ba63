"""The triage classifier: word and character TF-IDF, a linear SVC, calibrated confidence.

`train` is deterministic. A single question is scored by gathering the weights of its own terms,
which is ten times quicker than the batch path and agrees with it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from quarterdeck_standin.calibration import (
    Flags,
    Floats,
    choose_cut,
    fit_sharpness,
    probabilities,
)
from quarterdeck_standin.examples import Example, check_trainable

FOLDS_FEW: Final = 5
FOLDS_MANY: Final = 3
_REGULARISATION: Final = 1.0
_TOLERANCE: Final = 0.1
_MANY_EXAMPLES: Final = 2000  # from here on, rare terms and more folds cost time and gain nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A queue and how sure the classifier is of it."""

    queue: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One family of terms of a text, with where each stands among all weights."""

    analyse: Callable[[str], list[str]]
    places: dict[str, int]
    idf: NDArray[np.float64]
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A trained classifier, and how it did on examples held out of its own training split."""

    queues: tuple[str, ...]
    sharpness: float
    held_out_confidences: Floats
    held_out_right: Flags
    vectorizers: tuple[Any, ...]
    families: tuple[Terms, ...]
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]

    def cut(self, target: float) -> float:
        """The confidence from which answers were right at the target rate on held-out examples."""
        return choose_cut(self.held_out_confidences, self.held_out_right, target)

    def guesses(self, text: str, count: int = 3) -> tuple[Guess, ...]:
        """The likeliest queues for one question, best first."""
        shares = probabilities(self._margins(text)[np.newaxis, :], self.sharpness)[0]
        best = np.argsort(-shares, kind="stable")[:count]
        return tuple(
            Guess(queue=self.queues[place], confidence=float(shares[place])) for place in best
        )

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """The probability of every queue, for many questions at once."""
        matrix = hstack([one.transform(texts) for one in self.vectorizers]).tocsr()
        margins = np.asarray(matrix @ self.weights) + self.intercepts
        return probabilities(margins, self.sharpness)

    def _margins(self, text: str) -> Floats:
        margins = self.intercepts.copy()
        for family in self.families:
            counts = Counter(
                place
                for term in family.analyse(text)
                if (place := family.places.get(term, -1)) >= 0
            )
            if not counts:
                continue
            places = np.fromiter(counts.keys(), dtype=np.intp, count=len(counts))
            often = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
            values = (1.0 + np.log(often)) * family.idf[places]
            values /= np.sqrt(values @ values)
            margins += values @ self.weights[places + family.offset]
        return margins


def train(examples: Sequence[Example]) -> Classifier:
    """Learn from labelled examples; a few seconds for ten thousand."""
    check_trainable(tuple(examples))
    texts = [example.text for example in examples]
    queues, right = np.unique([example.category for example in examples], return_inverse=True)
    vectorizers = _vectorizers(len(texts))
    matrix = csr_matrix(hstack([one.fit_transform(texts) for one in vectorizers]))
    # One after the other: liblinear's dice are global, so fits side by side disturb each other.
    final = _fitted(matrix, right)
    margins = np.zeros((len(right), len(queues)))
    for kept, held in _folds(right):
        margins[held] = _margins_of(_fitted(matrix[kept], right[kept]), matrix[held])
    sharpness = fit_sharpness(margins, right)
    shares = probabilities(margins, sharpness)
    weights, intercepts = _weights(final)
    return Classifier(
        queues=tuple(str(queue) for queue in queues),
        sharpness=sharpness,
        held_out_confidences=shares.max(axis=1),
        held_out_right=shares.argmax(axis=1) == right,
        vectorizers=tuple(vectorizers),
        families=_families(vectorizers),
        weights=weights,
        intercepts=intercepts,
    )


def _vectorizers(examples: int) -> list[Any]:
    many = examples >= _MANY_EXAMPLES
    words = TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        min_df=2 if many else 1,
        token_pattern=r"(?u)\b\w+\b",  # noqa: S106  # a pattern for words, not a password
    )
    characters = TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(4, 4) if many else (3, 4),
        sublinear_tf=True,
        min_df=3 if many else 1,
    )
    return [words, characters]


def _folds(right: NDArray[np.intp]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    wanted = FOLDS_MANY if len(right) >= _MANY_EXAMPLES else FOLDS_FEW
    count = min(wanted, int(np.bincount(right).min()))
    splitter = StratifiedKFold(count, shuffle=True, random_state=0)
    return list(splitter.split(np.zeros(len(right)), right))


def _fitted(matrix: Any, right: NDArray[np.intp]) -> Any:
    model = LinearSVC(C=_REGULARISATION, tol=_TOLERANCE, random_state=0)
    return model.fit(matrix, right)


def _weights(model: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights by term and queue. Two queues come as one column, from which both are made."""
    weights, intercepts = model.coef_.T, model.intercept_
    if weights.shape[1] == 1:
        weights = np.hstack([-weights, weights])
        intercepts = np.concatenate([-intercepts, intercepts])
    return np.ascontiguousarray(weights), intercepts


def _margins_of(model: Any, matrix: Any) -> Floats:
    weights, intercepts = _weights(model)
    return np.asarray(matrix @ weights) + intercepts


def _families(vectorizers: Sequence[Any]) -> tuple[Terms, ...]:
    families, offset = [], 0
    for one in vectorizers:
        families.append(
            Terms(analyse=one.build_analyzer(), places=one.vocabulary_, idf=one.idf_, offset=offset)
        )
        offset += len(one.vocabulary_)
    return tuple(families)
