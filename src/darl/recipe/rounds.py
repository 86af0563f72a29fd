"""Labels in rounds: fit, pick from the pool, get the picks labelled (by people or a judge), fit again with both."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from darl.recipe.data import OneSource, Settings


class RoundJudgeSettings(Settings):
    """A language model that labels the picks of each round, once it agrees with known grades; needs `darl[judge]`.

    The endpoint's key is read from the environment and stands in no file.
    """

    endpoint: str = Field(description="base address of an OpenAI-compatible API, as in http://localhost:8000/v1")
    model: str = Field(description="the model's name there")
    min_agreement: float = Field(
        ge=-1, le=1, description="least agreement with gold pairs; below it no label is used and the fit stops"
    )
    measure: Literal["accuracy", "kappa", "qwk"] = Field(default="qwk", description="of the agreement")
    gold: OneSource | None = Field(default=None, description="pairs with known grades; default pairs of dev_id")
    gold_pairs: int = Field(default=200, ge=1, description="at most so many gold pairs are asked about")
    guideline: str | None = Field(default=None, description="a file of text: when a pair has which grade")
    samples: int = Field(default=1, ge=1, le=100, description="answers for each pair; most of them decide")
    temperature: float | None = Field(default=None, ge=0, le=2, description="null: 0 for one sample, else the API's")
    max_tokens: int = Field(default=256, ge=1, description="that an answer may have")
    concurrency: int = Field(default=8, ge=1, le=256, description="requests at a time")
    timeout: float = Field(default=60.0, gt=0, description="seconds for one request")
    min_confidence: float = Field(default=0.0, ge=0, le=1, description="share of the samples below which no label is")
    price: tuple[float, float] | None = Field(
        default=None, description="of a million tokens sent, and of a million answered"
    )
    budget: float | None = Field(default=None, gt=0, description="the most that a round's labels may cost")
    key_env: str | None = Field(
        default=None, description="the environment variable with the key; default DARL_JUDGE_KEY, which may be unset"
    )

    @model_validator(mode="after")
    def _can_count_what_it_spends(self) -> RoundJudgeSettings:
        if self.budget is not None and self.price is None:
            raise ValueError("a `budget` needs a `price`: what a million tokens cost, sent and answered")
        return self


class RoundsSettings(Settings):
    """Rounds of labels: each picks pairs of `data.pool`, has them labelled, and fits anew with all labels so far."""

    count: int = Field(default=1, ge=1, description="rounds; raise it and run again for one more")
    budget: int = Field(ge=1, description="pairs picked in each round")
    strategy: str = Field(default="coverage", description="how pairs are ranked, as in `darl select --strategy`")
    per_query: int | None = Field(default=5, ge=1, description="at most so many picks of a query; null: no cap")
    per_item: int | None = Field(default=1, ge=1, description="at most so many picks of an item text; null: no cap")
    weight: float = Field(default=1.0, gt=0, description="weight of a labelled pick in the loss; a training pair has 1")
    labels: OneSource | None = Field(
        default=None,
        description="graded pairs among which the picks are; without it each round stops until its picks are labelled",
    )
    judge: RoundJudgeSettings | None = Field(
        default=None, description="a language model labels the picks, and no round stops for people"
    )
    on_missing: Literal["error", "skip"] = Field(
        default="error", description="when a pick has no label: stop and name it, or go on without it"
    )
    fall_back: bool = Field(
        default=True, description="the model before the labels stays a candidate: labels that harm dev are not used"
    )

    @model_validator(mode="after")
    def _labelled_by_one(self) -> RoundsSettings:
        if self.labels is not None and self.judge is not None:
            raise ValueError("either `labels` or `judge` gives the grades of the picks, not both")
        return self
