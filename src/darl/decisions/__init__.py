"""Decisions: the rule that turns probabilities into a grade, and the choice of the rule on dev."""

from darl.decisions.choice import Candidate, RuleChoice, choose_rule
from darl.decisions.rule import DecisionRule

__all__ = ["Candidate", "DecisionRule", "RuleChoice", "choose_rule"]
