"""AUROC and FPR at 95 % TPR against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from darl.errors import DataError, EmptySplitError
from darl.ood import auroc, fpr_at_95_tpr

scores = st.lists(st.integers(0, 20), min_size=1, max_size=60)


@given(scores, scores)
def test_against_sklearn(inside, outside):
    is_ood = np.repeat([0, 1], [len(inside), len(outside)])
    both = np.array(inside + outside, dtype=float)
    assert auroc(inside, outside) == pytest.approx(roc_auc_score(is_ood, both))
    fpr, tpr, _ = roc_curve(1 - is_ood, -both, drop_intermediate=False)
    assert fpr_at_95_tpr(inside, outside) == pytest.approx(fpr[tpr >= 0.95 - 1e-12].min())


def test_ends_and_symmetry():
    low, high = np.arange(10.0), np.arange(20.0, 30.0)
    assert (auroc(low, high), auroc(high, low), auroc(low, low)) == (1.0, 0.0, 0.5)
    assert (fpr_at_95_tpr(low, high), fpr_at_95_tpr(high, low)) == (0.0, 1.0)


@pytest.mark.parametrize("measure", [auroc, fpr_at_95_tpr])
def test_bad_scores_are_named(measure):
    for bad, error in [([], EmptySplitError), ([np.nan], DataError), ([[1.0]], DataError), (["a"], DataError)]:
        with pytest.raises(error):
            measure(bad, [1.0])
        with pytest.raises(error):
            measure([1.0], bad)
