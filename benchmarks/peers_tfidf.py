"""The floor: TF-IDF of query and item with logistic regression (scikit-learn), its strength chosen on dev."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.tune import objective_value

STRENGTHS = (0.1, 1.0, 10.0, 100.0)


class PairFeatures:
    """Character n-grams within words of query and of item, each (n, V), and how alike the two are, (n, 1).

    Characters serve Chinese, which has no spaces, and English compounds alike.
    """

    def __init__(self) -> None:
        self.vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2)

    def fit(self, table: PairTable) -> PairFeatures:
        self.vectorizer.fit([*table.queries, *table.items])
        return self

    def transform(self, table: PairTable) -> csr_matrix:
        query, item = self.vectorizer.transform(table.queries), self.vectorizer.transform(table.items)
        alike = csr_matrix(np.asarray(query.multiply(item).sum(axis=1)))  # rows have length 1: this is the cosine
        return csr_matrix(hstack([query, item, alike]))


def train(
    recipe: Recipe, train: PairTable, dev: PairTable, tables: dict[str, PairTable], folder: Path
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{name: (probabilities, predicted grades)} of each table."""
    size = recipe.grades.scale().size
    features = PairFeatures().fit(train)
    inputs, known = features.transform(train), features.transform(dev)
    best, highest = None, -np.inf
    for strength in STRENGTHS:
        learner = LogisticRegression(C=strength, max_iter=2000).fit(inputs, train.grades)
        value = objective_value(recipe.objective, dev.grades, learner.predict(known), size)
        if value > highest:
            best, highest = learner, value
    assert best is not None
    found = {}
    for name, table in tables.items():
        probabilities = np.zeros((len(table), size))
        probabilities[:, best.classes_] = best.predict_proba(features.transform(table))
        found[name] = probabilities, probabilities.argmax(1)
    return found
