"""The dev sets that judge candidates: the objective of any weights on dev_id and, where there is one, on dev_ood."""

from __future__ import annotations

import numpy as np

from darl.pairs import PairTable
from darl.progress import Advance
from darl.recipe.settings import Recipe
from darl.training.decide import calibrate_on, decide_on, dev_logits, worth
from darl.training.interpolate import Candidate, State
from darl.training.splits import Splits
from darl.training.starts import fresh_model, load_state

FEW = 10  # pairs of a grade that a sample keeps, where there are so many


class DevJudge:
    """Scores weights on at most ``interpolate.dev_limit`` pairs of each dev set, as the finished model would decide.

    A calm model and a loud one give the likeliest grade with unlike bias towards the common grades, and the finished
    model mends that by its calibration and rule. So each candidate gets both first: its worth on dev_id is that of its
    own rule, cross-fitted, and on dev_ood that of the same rule.

    Attributes:
        pairs: how many pairs one candidate is judged on.
    """

    def __init__(self, recipe: Recipe, splits: Splits) -> None:
        most, self._recipe, self._train = recipe.interpolate.dev_limit, recipe, splits.train
        devs = {"id": splits.dev_id, **({"ood": splits.dev_ood} if splits.dev_ood is not None else {})}
        self._devs = {name: judging_sample(table, most) for name, table in devs.items()}
        self._model = fresh_model(recipe)
        self._encoded = {name: self._model.encode(table) for name, table in self._devs.items()}
        self.pairs = sum(map(len, self._devs.values()))

    def candidate(self, start: str, alpha: float, weights: State, advance: Advance) -> Candidate:
        """The weights as a candidate of this name, judged."""
        load_state(self._model, weights)
        found = {
            name: dev_logits(self._devs[name], self._model.logits(encoded, progress=advance))
            for name, encoded in self._encoded.items()
        }
        recipe, known, shifted = self._recipe, found["id"], found.get("ood")
        scaling, _ = calibrate_on(recipe, known, shifted)
        decision = decide_on(recipe, self._train, known, shifted, scaling)
        out = None if shifted is None else worth(recipe, shifted, decision.rule, scaling)
        return Candidate(start, alpha, decision.figure, out)


def judging_sample(table: PairTable, most: int) -> PairTable:
    """At most ``most`` pairs at random, and besides them of each grade enough that none is lost: a rule cannot be
    chosen for a grade that no pair has."""
    if len(table) <= most:
        return table
    rng, grades = np.random.default_rng(0), table.grades
    order = rng.permutation(len(table))
    kept = set(order[:most].tolist())
    for grade in np.unique(grades):
        kept.update(order[grades[order] == grade][:FEW].tolist())
    return table.take(np.array(sorted(kept)))
