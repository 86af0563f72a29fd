"""The dev sets that judge candidates: the objective of any weights on dev_id and, where there is one, on dev_ood."""

from __future__ import annotations

from darl.progress import Advance
from darl.recipe.settings import Recipe
from darl.training.interpolate import Candidate, State
from darl.training.splits import Splits
from darl.training.starts import fresh_model, load_state
from darl.training.tune import objective_value


class DevJudge:
    """Scores weights on at most ``interpolate.dev_limit`` pairs of each dev set, by the likeliest grade.

    Attributes:
        pairs: how many pairs one candidate is judged on.
    """

    def __init__(self, recipe: Recipe, splits: Splits) -> None:
        most, objective = recipe.interpolate.dev_limit, recipe.objective
        devs = {"id": splits.dev_id, **({"ood": splits.dev_ood} if splits.dev_ood is not None else {})}
        self._devs = {name: t.sample(most, 0) if len(t) > most else t for name, t in devs.items()}
        self._objective = objective
        self._model = fresh_model(recipe)
        self._encoded = {name: self._model.encode(table) for name, table in self._devs.items()}
        self.pairs = sum(map(len, self._devs.values()))

    def candidate(self, start: str, alpha: float, weights: State, advance: Advance) -> Candidate:
        """The weights as a candidate of this name, judged."""
        load_state(self._model, weights)
        values = {
            name: objective_value(
                self._objective,
                table.grades,
                self._model.logits(self._encoded[name], progress=advance).argmax(1),
                self._model.scale.size,
            )
            for name, table in self._devs.items()
        }
        return Candidate(start, alpha, values["id"], values.get("ood"))
