"""Whether matching is worth it: what a backbone knows of grades as an embedder of texts, and as a reader of pairs."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import PreTrainedModel

from darl.model import RelevanceModel
from darl.model.embedding import CONVENTIONS, Convention, embed
from darl.model.encoding import PairEncoder
from darl.model.features import head_features
from darl.pairs import PairTable

FOLDS, PENALTIES = 5, (1e1, 1e2, 1e3, 1e4)


def agreement(body: PreTrainedModel, encoder: PairEncoder, pairs: PairTable) -> tuple[Convention, float]:
    """How to embed texts so that the cosine of query and item rises most with the grade, and the rank correlation.

    Args:
        body: the bare backbone. pairs: graded.
    """
    found: list[tuple[float, Convention]] = []
    for convention in CONVENTIONS:
        q, d = (
            embed(body, encoder, [before + text for text in texts], convention.pooling)
            for before, texts in ((convention.query, pairs.queries), (convention.item, pairs.items))
        )
        found.append((rank_correlation((q * d).sum(axis=1), pairs.grades), convention))
    rho, best = max(found, key=lambda one: one[0])
    return best, rho


def knows_as_pair(model: RelevanceModel, pairs: PairTable) -> float:
    """How much the backbone knows already as a reader of pairs: the rank correlation with the grade of a ridge
    regression on its frozen features, fitted on some queries and asked about others; 0 where it cannot be told.

    Args:
        pairs: graded.
    """
    groups, folds = pairs.query_groups(), min(FOLDS, len(pairs.query_names()))
    if folds < 2:
        return 0.0
    features = head_features(model.network, model.encoder, model.encode(pairs))
    ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    said = cross_val_predict(ridge, features, pairs.grades, groups=groups, cv=GroupKFold(folds))
    return rank_correlation(np.asarray(said), pairs.grades)


def rank_correlation(values: np.ndarray, grades: np.ndarray) -> float:
    """Spearman's, (n,) and (n,); 0 where either is constant.

    >>> rank_correlation(np.array([0.1, 0.5, 0.9]), np.arange(3)), rank_correlation(np.ones(2), np.arange(2))
    (1.0, 0.0)
    """
    if len(np.unique(values)) < 2 or len(np.unique(grades)) < 2:
        return 0.0
    return float(spearmanr(values, grades).statistic)  # type: ignore[attr-defined]
