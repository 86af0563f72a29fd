"""Judge: a model behind an endpoint that grades pairs, with a cache before it and a budget around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from darl.labelling.judge.asking import Asker, run_to_end
from darl.labelling.judge.cache import AnswerCache
from darl.labelling.judge.endpoint import ChatEndpoint
from darl.labelling.judge.problems import BudgetError, JudgeError
from darl.labelling.judge.prompt import GradePrompt
from darl.labelling.judge.questions import questions
from darl.labelling.judge.settings import JudgeSettings, Prices
from darl.labelling.judge.spending import Estimate, Spending, estimate
from darl.labelling.judge.votes import Judgement, judgements

Records = list[dict[str, Any]]


class Judge:
    """Grades pairs; what it was answered is kept in the cache, and never asked again.

    Args:
        settings: endpoint, model, samples, patience.
        prompt: what it is told.
        cache: where answers are kept.
        prices: of tokens, and the budget.
        key: of the endpoint, where it wants one.
        least: the share of the samples below which a pair gets no grade.

    Attributes:
        spending: tokens and cost so far. endpoint: the client, with the form of requests that it found.
    """

    def __init__(
        self,
        settings: JudgeSettings,
        prompt: GradePrompt,
        cache: AnswerCache,
        *,
        prices: Prices | None = None,
        key: str | None = None,
        least: float = 0.0,
    ) -> None:
        if not 0 <= least <= 1:
            raise JudgeError(f"min_confidence={least!r}", where="judge settings", mend="give a share from 0 to 1")
        self.settings, self.prompt, self.cache, self.least = settings, prompt, cache, least
        self.prices = prices or Prices()
        self.spending = Spending(self.prices, settings.max_tokens)
        self.endpoint = ChatEndpoint(settings, prompt.schema, key=key)

    def estimate(self, records: Records) -> Estimate:
        """What grading these pairs will take; asks nothing. What the cache holds of it counts as spent."""
        self.spending = Spending(self.prices, self.settings.max_tokens)
        wanted = questions(records, self.prompt, self.settings)
        return estimate(wanted, self.prompt, self.settings, self.prices, self.cache, self.spending)

    def check_budget(self, found: Estimate) -> None:
        """Refuses a job that will not fit.

        Raises:
            BudgetError: by the estimate it would cost more than the budget.
        """
        budget = self.prices.budget
        total = (found.cost or 0.0) + (found.spent or 0.0)
        if budget is not None and total > budget:
            raise BudgetError(
                f"it would cost about {total:,.4g}, more than the budget of {budget:,.4g}; nothing was asked",
                where="darl judge",
                mend="raise --budget, take fewer --samples, or judge fewer pairs with --limit",
            )

    def grade(self, records: Records, progress: Callable[[int], None] = lambda done: None) -> list[Judgement]:
        """One judgement a pair; ``progress`` is told of each answer.

        Raises:
            JudgeError: the endpoint or the budget ends the job; the answers so far are kept.
        """
        asker = Asker(self.endpoint, self.prompt, self.settings, self.cache, self.spending, progress)
        wanted = questions(records, self.prompt, self.settings)
        return judgements(run_to_end(asker.ask_all(wanted, records)), len(records), self.least)
