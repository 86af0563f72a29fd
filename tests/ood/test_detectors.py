"""Each detector against an independent library, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import special_ortho_group
from sklearn.covariance import EmpiricalCovariance, LedoitWolf, ShrunkCovariance
from sklearn.neighbors import NearestNeighbors

from darl.errors import DataError, RecipeError
from darl.ood import KNN, MSP, Energy, Fusion, Mahalanobis, auroc, detector_names, make_detector
from darl.ood import knn as knn_module
from darl.ood.covariance import shrunk_covariance

torch.set_num_threads(1)


@pytest.fixture
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(1, 1, (400, 10)) @ rng.normal(0, 1, (10, 10))


@pytest.fixture
def probes() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 3, (60, 10))


class TestKNN:
    @pytest.mark.parametrize("k", [1, 10, 400])
    def test_against_sklearn(self, rows, probes, k):
        oracle = NearestNeighbors(n_neighbors=k, metric="cosine").fit(rows).kneighbors(probes)[0][:, -1]
        np.testing.assert_allclose(KNN(k=k, half=False).fit(rows).score(probes), oracle, atol=2e-6)
        np.testing.assert_allclose(KNN(k=k).fit(rows).score(probes), oracle, atol=1e-3)

    def test_blocks_do_not_matter(self, rows, probes, monkeypatch):
        whole = KNN(k=10).fit(rows).score(probes)
        monkeypatch.setattr(knn_module, "BLOCK", 7)
        np.testing.assert_allclose(KNN(k=10).fit(rows).score(probes), whole, atol=2e-6)

    def test_few_rows_use_the_furthest(self, rows, probes):
        few = KNN(k=10, half=False).fit(rows[:3]).score(probes)
        np.testing.assert_array_equal(few, KNN(k=3, half=False).fit(rows[:3]).score(probes))

    def test_rotation_and_length_do_not_matter(self, rows, probes):
        turn = special_ortho_group.rvs(10, random_state=0)
        expected = KNN(half=False).fit(rows).score(probes)
        np.testing.assert_allclose(KNN(half=False).fit(rows @ turn).score(probes @ turn), expected, atol=2e-6)
        lengths = np.random.default_rng(2).uniform(0.01, 100, (60, 1))
        np.testing.assert_allclose(KNN(half=False).fit(rows).score(probes * lengths), expected, atol=2e-6)

    def test_extreme_lengths(self, rows):
        detector = KNN(k=1, half=False).fit(rows * 1e30)
        np.testing.assert_allclose(detector.score(rows * 1e-30), 0, atol=2e-6)

    def test_max_reference_draws_rows_without_replacement(self, rows):
        detector = KNN(k=1, max_reference=50, half=False).fit(rows)
        reference = detector.state()["reference"]
        assert len(np.unique(reference, axis=0)) == 50
        np.testing.assert_allclose(KNN(k=1, half=False).fit(rows).score(reference), 0, atol=2e-6)
        other = KNN(k=1, max_reference=50, half=False, seed=1).fit(rows).state()["reference"]
        assert not np.array_equal(reference, other)
        assert len(KNN(max_reference=1000).fit(rows).state()["reference"]) == 400

    def test_fewer_rows_keep_the_same_share_nearer(self, probes):
        many = np.random.default_rng(3).normal(0, 1, (5000, 10))
        full = KNN(k=100, max_reference=None).fit(many).score(probes)
        part = KNN(k=100, max_reference=1000).fit(many)
        assert part.state()["nth"].tolist() == [20]
        unscaled = KNN(k=100, max_reference=None).fit(part.state()["reference"]).score(probes)
        off, off_unscaled = (abs(np.mean(scores - full)) for scores in (part.score(probes), unscaled))
        assert off < 0.2 * off_unscaled

    def test_half_is_half_the_bytes(self, rows):
        small, full = (KNN(half=half).fit(rows).state()["reference"] for half in (True, False))
        assert small.nbytes * 2 == full.nbytes


class TestMahalanobis:
    def test_ledoit_wolf_against_sklearn(self, rows):
        for sample in (rows, rows[:8], rows[:, :1]):  # many rows, fewer rows than columns, one column
            centred = sample - sample.mean(axis=0)
            oracle = LedoitWolf(assume_centered=True).fit(centred).covariance_
            np.testing.assert_allclose(shrunk_covariance(centred), oracle, rtol=1e-9)

    def test_plain_against_sklearn(self, rows, probes):
        oracle = LedoitWolf().fit(rows).mahalanobis(probes)
        np.testing.assert_allclose(Mahalanobis().fit(rows).score(probes), oracle, rtol=1e-3)

    @pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
    def test_fixed_shrinkage_against_sklearn(self, rows, probes, rate):
        oracle = ShrunkCovariance(shrinkage=rate).fit(rows).mahalanobis(probes)
        np.testing.assert_allclose(Mahalanobis(shrinkage=rate).fit(rows).score(probes), oracle, rtol=1e-3)

    def test_class_conditional_and_relative_against_the_formula(self, rows, probes):
        grades = np.random.default_rng(3).choice([0, 2, 5], 400)  # grades need not be dense
        shifted = rows + np.eye(10)[grades] * 9
        means = {c: shifted[grades == c].mean(axis=0) for c in (0, 2, 5)}
        within = LedoitWolf(assume_centered=True).fit(shifted - np.stack([means[c] for c in grades]))
        nearest = np.min([within.mahalanobis(probes - mean) for mean in means.values()], axis=0)
        conditional = Mahalanobis(class_conditional=True).fit(shifted, grades).score(probes)
        np.testing.assert_allclose(conditional, nearest, rtol=1e-3)
        relative = Mahalanobis(relative=True).fit(shifted, grades).score(probes)
        background = LedoitWolf().fit(shifted).mahalanobis(probes)
        np.testing.assert_allclose(relative, nearest - background, rtol=1e-3, atol=1e-3 * background.max())

    def test_rotation_and_shift_do_not_matter(self, rows, probes):
        turn = special_ortho_group.rvs(10, random_state=0)
        expected = Mahalanobis().fit(rows).score(probes)
        np.testing.assert_allclose(Mahalanobis().fit(rows @ turn + 5).score(probes @ turn + 5), expected, rtol=1e-3)

    def test_no_affine_map_matters_without_shrinkage(self, rows, probes):
        rng = np.random.default_rng(4)
        mix, shift = rng.normal(0, 1, (10, 10)), rng.normal(0, 5, 10)
        expected = Mahalanobis(shrinkage=0).fit(rows).score(probes)
        moved = Mahalanobis(shrinkage=0).fit(rows @ mix + shift).score(probes @ mix + shift)
        np.testing.assert_allclose(moved, expected, rtol=5e-3)

    def test_mean_over_the_fitted_rows_is_d(self, rows):
        assert Mahalanobis(shrinkage=0).fit(rows).score(rows).mean() == pytest.approx(10, rel=1e-3)

    def test_leaving_a_constant_column_is_far_out(self, rows):
        detector = Mahalanobis(shrinkage=0).fit(np.hstack([rows, np.ones((400, 1))]))
        inside, outside = np.append(rows[0], 1.0), np.append(rows[0], 2.0)
        near, far = detector.score(np.stack([inside, outside]))
        plain = EmpiricalCovariance().fit(rows).mahalanobis(rows[:1])[0]
        assert near == pytest.approx(plain, rel=1e-3)
        assert far > 1000 * near

    def test_relative_sees_only_directions_between_grades(self):
        rng = np.random.default_rng(5)
        grades = rng.integers(2, size=600)
        rows = rng.normal(0, 1, (600, 6)) + np.outer(grades, 8 * np.eye(6)[0])
        relative, plain = Mahalanobis(relative=True).fit(rows, grades), Mahalanobis().fit(rows)
        along, across = rows[:200] + 40 * np.eye(6)[0], rows[:200] + 5 * np.eye(6)[1]
        assert auroc(relative.score(rows), relative.score(along)) > 0.99
        assert auroc(relative.score(rows), relative.score(across)) < 0.8
        assert auroc(plain.score(rows), plain.score(across)) > 0.95

    def test_needs_grades(self, rows):
        with pytest.raises(DataError, match="grades"):
            Mahalanobis(relative=True).fit(rows)


class TestLogits:
    def test_energy_against_scipy(self, probes):
        for T in (0.5, 1.0, 4.0):
            expected = -T * logsumexp(probes / T, axis=1)
            np.testing.assert_allclose(Energy(T).fit(probes).score(probes), expected, rtol=1e-6)

    def test_msp_against_scipy(self, probes):
        expected = 1 - softmax(probes, axis=1).max(axis=1)
        np.testing.assert_allclose(MSP().fit(probes).score(probes), expected, rtol=1e-5, atol=1e-7)

    def test_msp_keeps_the_order_of_near_certain_rows(self):
        scores = MSP().fit([[0.0, 0.0]]).score([[size, 0.0] for size in (40.0, 60.0, 80.0, 1e4)])
        assert (np.diff(scores) < 0).all()


class TestFusion:
    def test_is_the_mean_of_the_members_ranks(self, rows):
        held_out = rows[300:]
        fused = Fusion(members=["knn", {"name": "mahalanobis"}]).fit(rows[:300], held_out=held_out)
        ranks = []
        for detector in (KNN().fit(rows[:300]), Mahalanobis().fit(rows[:300])):
            known, scores = detector.score(held_out), detector.score(held_out)
            ranks.append([100 * ((known < s).sum() + (known == s).sum() / 2) / 100 for s in scores])
        np.testing.assert_allclose(fused.score(held_out), np.mean(ranks, axis=0), atol=1e-3)

    def test_units_do_not_matter(self, rows, probes):
        """Energy at T and logits · T is T · energy at 1: another unit, the same ranks."""
        plain = Fusion(members=["energy", "knn"]).fit(rows).score(probes)
        members = [{"name": "energy", "temperature": 100.0, "columns": [0, 10]}, {"name": "knn", "columns": [10, 20]}]
        scaled = Fusion(members=members).fit(np.hstack([rows * 100, rows]))
        np.testing.assert_allclose(scaled.score(np.hstack([probes * 100, probes])), plain, atol=1e-2)

    def test_far_rows_keep_their_order_within_the_range(self, rows):
        fused = Fusion(members=["mahalanobis"]).fit(rows)
        far = fused.score(rows[:1] * np.array([[10.0], [100.0], [1000.0]]))
        assert (np.diff(far) > 0).all()
        assert far.max() <= 100

    @pytest.mark.parametrize(
        "members",
        [
            [],
            "knn",
            [{"name": "knnn"}],
            [{"name": "knn", "kk": 1}],
            [{"name": "knn", "columns": [3, 3]}],
            [{"name": "knn", "columns": [0, 11]}],
            [{"name": "knn", "columns": "all"}],
        ],
    )
    def test_bad_members_are_named(self, members, rows):
        with pytest.raises((RecipeError, TypeError)) as caught:
            Fusion(members=members).fit(rows)
        assert caught.type is RecipeError


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("knn", {"k": 0}),
        ("knn", {"k": 2.5}),
        ("knn", {"max_reference": 0}),
        ("knn", {"seed": -1}),
        ("knn", {"half": 1}),
        ("mahalanobis", {"shrinkage": 1.5}),
        ("mahalanobis", {"shrinkage": "oas"}),
        ("mahalanobis", {"shrinkage": True}),
        ("mahalanobis", {"relative": "yes"}),
        ("energy", {"temperature": 0}),
        ("energy", {"temperature": float("nan")}),
        ("msp", {"k": 3}),
        ("fusion", {"held_out_share": 1.0}),
    ],
)
def test_bad_parameters_are_named(name, params):
    with pytest.raises(RecipeError) as caught:
        make_detector(name, **params)
    assert next(iter(params)) in str(caught.value)


def test_unknown_detectors_name_the_nearest():
    assert detector_names() == ["knn", "mahalanobis", "energy", "msp", "fusion", "peer"]
    with pytest.raises(RecipeError, match="did you mean 'mahalanobis'"):
        make_detector("mahalonobis")
    with pytest.raises(RecipeError, match="did you mean 'max_reference'"):
        make_detector("knn", max_referense=3)
    with pytest.raises(RecipeError, match="Known: knn"):
        make_detector("?")
