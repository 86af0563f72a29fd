"""Peer: pytorch-ood's detectors under darl's interface give its own scores, and come back from their state."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import torch

from darl.errors import DataError, MissingExtraError, RecipeError
from darl.ood import Peer, auroc, make_detector
from darl.ood import peers as peers_module
from darl.ood.peers import HEADED, HEADLESS, detectors, linear_head

needs_peer = pytest.mark.skipif(
    importlib.util.find_spec("pytorch_ood") is None, reason="pytorch-ood is not installed: pip install 'darl[ood]'"
)


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    grades = rng.integers(3, size=400)
    centres = rng.normal(0, 3, (3, 12))
    rows = (centres[grades] + rng.normal(0, 1, (400, 12))).astype(np.float32)
    return rows[:300], grades[:300], rows[300:], (rng.normal(0, 6, (100, 12)) + 9).astype(np.float32)


@needs_peer
@pytest.mark.parametrize("method", [*HEADLESS, *HEADED])
def test_scores_are_finite_and_survive_saving(world, method):
    rows, grades, held, far = world
    detector = make_detector("peer", method=method).fit(rows, grades + 4)  # grades need not be dense
    scores = detector.score(np.vstack([held, far]))
    assert np.isfinite(scores).all()
    settings = json.loads(json.dumps(detector.settings()))
    twin = Peer.from_state(settings, detector.state())
    np.testing.assert_allclose(twin.score(np.vstack([held, far])), scores, rtol=1e-5)
    if method in ("KNN", "Mahalanobis", "GMM"):
        assert auroc(detector.score(held), detector.score(far)) > 0.9


@needs_peer
def test_the_scores_are_the_librarys_own(world):
    rows, grades, held, _ = world
    theirs = detectors().GMM(None).fit_features(torch.from_numpy(rows), torch.from_numpy(grades))
    expected = theirs.predict_features(torch.from_numpy(held)).numpy()
    np.testing.assert_allclose(Peer("gmm").fit(rows, grades).score(held), expected, rtol=1e-6)


@needs_peer
def test_what_it_cannot_fit_is_named(world):
    rows, grades, _, _ = world
    with pytest.raises(DataError, match="needs grades"):
        Peer("KNN").fit(rows)
    with pytest.raises(DataError, match="SHE cannot be fitted"):
        Peer("SHE").fit(rows[:40] * 0, grades[:40])


def test_unknown_methods_and_a_missing_package_are_named(world, monkeypatch):
    with pytest.raises(RecipeError, match="Known: KNN"):
        Peer("mahalanobi")
    monkeypatch.delitem(peers_module.sys.modules, "pytorch_ood.detector", raising=False)
    monkeypatch.setattr(peers_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"darl\[ood\]"):
        Peer("KNN").fit(world[0], world[1])


def test_the_head_is_a_logistic_regression(world):
    rows, grades, _, _ = world
    for labels in (grades, (grades > 0).astype(int)):
        head = linear_head(rows, labels)
        with torch.no_grad():
            found = head(torch.from_numpy(rows)).argmax(1).numpy()
        assert (found == labels).mean() > 0.95
