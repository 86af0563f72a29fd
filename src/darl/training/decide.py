"""From logits to a grade: the calibration and the rule that the recipe names, or those that dev chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.decisions import DecisionRule, choose_rule
from darl.decisions.agreement import OBJECTIVES
from darl.decisions.thresholds import fit_thresholds
from darl.errors import RecipeError
from darl.model.relevance_model import softmax
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.calibrate import DevLogits, Scaling, calibrate
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


def dev_logits(table: PairTable, logits: np.ndarray) -> DevLogits:
    """A dev set as calibration and decision see it."""
    return DevLogits(logits, table.grades, table.query_groups())


def calibrate_on(
    recipe: Recipe, known: DevLogits, shifted: DevLogits | None, *, shiftable: bool = True
) -> tuple[Scaling, str]:
    """The recipe's calibration of a model that gives dev_id and dev_ood these logits, and why.

    Args:
        shiftable: whether the head can hold a number for each grade.

    Raises:
        RecipeError: a shift for each grade is asked for, and the head cannot hold it.
    """
    settings = recipe.calibrate
    if not settings.enabled:
        return Scaling(), "off, by recipe"
    if settings.per_grade is True and not shiftable:
        raise RecipeError(
            "this backbone's head has no bias to hold it, and its features no constant part",
            where="calibrate.per_grade",
            mend="take auto",
        )
    # Shifts change which grade is likeliest, which only a rule that dev chooses allows for.
    free = settings.per_grade == "auto" and shiftable and recipe.decide.rule == "auto"
    shifts = None if free else settings.per_grade is True
    return calibrate(known, shifted, share=settings.shift_share, shifts=shifts, seed=recipe.seed)


def decide_on(
    recipe: Recipe, train: PairTable, known: DevLogits, shifted: DevLogits | None, scaling: Scaling
) -> Decision:
    """The rule for a model that gives dev_id and dev_ood these logits before its calibration.

    A shift for each grade changes which grade is likeliest. What the tuned model itself holds likeliest stays the
    rule that another has to beat: :func:`before_shifts`.

    Raises:
        RecipeError: ``decide.rule: thresholds`` cannot be fitted.
    """
    scale, kind = recipe.grades.scale(), recipe.decide.rule
    counts = scale.counts(train.grades)
    prior = tuple((counts / counts.sum()).tolist())
    probabilities = softmax(scaling.of(known.logits))
    if kind == "auto":
        choice = choose_rule(
            probabilities,
            known.grades,
            scale,
            objective=recipe.objective,
            seed=recipe.seed,
            groups=known.groups,
            prior=prior,
            plain=before_shifts(scaling),
            shifted=None if shifted is None else (softmax(scaling.of(shifted.logits)), shifted.grades, shifted.groups),
            shift_share=recipe.decide.shift_share,
            max_shifted_loss=recipe.decide.max_ood_loss,
        )
        figure = worth(recipe, known, choice.rule, scaling) if choice.figure is None else choice.figure
        return Decision(choice.rule, choice.reason, choice.to_dict()["table"], figure)
    fixed = {
        "argmax": lambda: DecisionRule("argmax"),
        "least_cost": lambda: DecisionRule("least_cost", power=1),
        "prior_corrected": lambda: DecisionRule("prior_corrected", prior=prior, tau=1.0),
        "thresholds": lambda: _thresholds(probabilities, known.grades, recipe.objective),
    }
    rule = fixed[kind]()
    return Decision(rule, f"{kind}, by recipe", [], worth(recipe, known, rule, scaling))


def before_shifts(scaling: Scaling) -> DecisionRule:
    """The likeliest grade as it was before each grade was shifted: argmax_k p_k / exp(b_k)."""
    if not scaling.shifts:
        return DecisionRule()
    return DecisionRule("prior_corrected", prior=tuple(np.exp(scaling.shifts).tolist()), tau=1.0)


def worth(recipe: Recipe, dev: DevLogits, rule: DecisionRule, scaling: Scaling) -> float:
    """The objective of the grades that a rule makes of a dev set's scaled logits."""
    decided = rule.decide(softmax(scaling.of(dev.logits)))
    return objective_value(recipe.objective, dev.grades, decided, recipe.grades.scale().size)


def _thresholds(probabilities: np.ndarray, grades: np.ndarray, objective: str) -> DecisionRule:
    rule = fit_thresholds(probabilities, grades, OBJECTIVES[objective])
    if rule is None:
        raise RecipeError("the model gives too few different probabilities on dev_id", where="decide.rule")
    return rule
