"""From probabilities to a grade: the rule that the recipe names, or the one that dev chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.decisions import DecisionRule, choose_rule
from darl.decisions.agreement import OBJECTIVES
from darl.decisions.thresholds import fit_thresholds
from darl.errors import RecipeError
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.tune import objective_value


@dataclass(frozen=True)
class Decision:
    """A rule, why, the rules it was chosen among, and what it is worth on the pairs that chose it.

    Attributes:
        figure: the objective; cross-fitted where the rule was chosen, so that a rule that bends to dev gains nothing.
    """

    rule: DecisionRule
    reason: str
    table: list[dict]
    figure: float


def decide_on(recipe: Recipe, train: PairTable, dev: PairTable, probabilities: np.ndarray) -> Decision:
    """The rule for a model that gives ``dev`` these probabilities, (n, K).

    Raises:
        RecipeError: ``decide.rule: thresholds`` cannot be fitted.
    """
    scale, kind = recipe.grades.scale(), recipe.decide.rule
    counts = scale.counts(train.grades)
    prior = tuple((counts / counts.sum()).tolist())
    if kind == "auto":
        choice = choose_rule(
            probabilities,
            dev.grades,
            scale,
            objective=recipe.objective,
            seed=recipe.seed,
            groups=dev.query_groups(),
            prior=prior,
        )
        figure = worth(recipe, dev, choice.rule, probabilities) if choice.figure is None else choice.figure
        return Decision(choice.rule, choice.reason, choice.to_dict()["table"], figure)
    fixed = {
        "argmax": lambda: DecisionRule("argmax"),
        "least_cost": lambda: DecisionRule("least_cost", power=1),
        "prior_corrected": lambda: DecisionRule("prior_corrected", prior=prior, tau=1.0),
        "thresholds": lambda: _thresholds(probabilities, dev.grades, recipe.objective),
    }
    rule = fixed[kind]()
    return Decision(rule, f"{kind}, by recipe", [], worth(recipe, dev, rule, probabilities))


def worth(recipe: Recipe, table: PairTable, rule: DecisionRule, probabilities: np.ndarray) -> float:
    """The objective of the grades that a rule makes of probabilities."""
    return objective_value(recipe.objective, table.grades, rule.decide(probabilities), recipe.grades.scale().size)


def _thresholds(probabilities: np.ndarray, grades: np.ndarray, objective: str) -> DecisionRule:
    rule = fit_thresholds(probabilities, grades, OBJECTIVES[objective])
    if rule is None:
        raise RecipeError("the model gives too few different probabilities on dev_id", where="decide.rule")
    return rule
