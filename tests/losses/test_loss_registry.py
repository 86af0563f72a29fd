"""Losses by name: what a recipe can say and what it is told when it is wrong."""

from __future__ import annotations

import json

import pytest

from darl.errors import RecipeError
from darl.grades import GradeScale
from darl.losses import gain_distances, loss_names, loss_parameters, make_loss


@pytest.mark.parametrize("name", loss_names())
def test_parameters_and_settings_agree_and_are_json(name):
    loss = make_loss(name, 3)
    assert loss.name == name
    assert loss.settings() == {key: v for key, v in loss_parameters(name).items() if key != "distance"}
    assert json.loads(json.dumps(loss.settings())) == loss.settings()
    assert name in loss_names()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("focla", "focal"), ("OCC", "occ"), ("cross-entropy", "cross_entropy"), ("soft_ordinals", "soft_ordinal")],
)
def test_unknown_loss_names_the_nearest(name, nearest):
    with pytest.raises(RecipeError, match=f"did you mean '{nearest}'"):
        make_loss(name, 3)


@pytest.mark.parametrize("name", ["zzz", None, ["occ"]])
def test_unknown_loss_without_a_neighbour_lists_all(name):
    with pytest.raises(RecipeError, match=r"Known: cross_entropy.*occ"):
        make_loss(name, 3)


def test_unknown_parameter_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'sharpness'"):
        make_loss("occ", 3, sharpnes=1.0)
    with pytest.raises(RecipeError, match="Known: none"):
        make_loss("cross_entropy", 3, gamma=2)
    with pytest.raises(RecipeError, match="no parameter 'distance'"):
        make_loss("focal", 3, distance="steps")


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("label_smoothing", {"epsilon": 1.0}),
        ("label_smoothing", {"epsilon": -0.1}),
        ("focal", {"gamma": -1}),
        ("focal", {"gamma": "2"}),
        ("focal", {"gamma": True}),
        ("focal", {"gamma": float("nan")}),
        ("soft_ordinal", {"sharpness": 0}),
        ("soft_ordinal", {"sharpness": float("inf")}),
        ("squared_emd", {"ce_weight": -1}),
        ("margin_smoothing", {"weight": -1}),
        ("margin_smoothing", {"margin": None}),
        ("logit_norm", {"temperature": 0}),
        ("logit_norm", {"floor": 0}),
        ("occ", {"sharpness": 0}),
        ("occ", {"emd_weight": -1}),
        ("occ", {"emd_target": "firm"}),
        ("occ", {"prior_tilt": -0.5}),
        ("occ", {"neutral": "yes"}),
        ("occ", {"distance": "miles"}),
        ("occ", {"distances": [[0]]}),
    ],
)
def test_bad_values_are_named(name, params):
    with pytest.raises(RecipeError) as caught:
        make_loss(name, 3, **params)
    assert next(iter(params)) in str(caught.value)


@pytest.mark.parametrize("K", [1, 0, 2.0, True, "3"])
def test_bad_sizes(K):
    with pytest.raises(RecipeError, match="K"):
        make_loss("cross_entropy", K)


class TestScale:
    scale = GradeScale(("no", "weak", "yes"), gains=(0.0, 1.0, 4.0))

    def test_gains_set_the_distances(self):
        loss = make_loss("occ", 3, self.scale, distance="gains")
        assert loss.settings()["distances"] == gain_distances(self.scale).tolist()
        assert make_loss("occ", 3, self.scale).settings()["distances"] is None

    def test_mismatches_are_named(self):
        with pytest.raises(RecipeError, match="3 grades"):
            make_loss("occ", 4, self.scale)
        with pytest.raises(RecipeError, match="needs the grade scale"):
            make_loss("occ", 3, distance="gains")
        with pytest.raises(RecipeError, match="not both"):
            make_loss("occ", 3, self.scale, distance="gains", distances=gain_distances(self.scale))
