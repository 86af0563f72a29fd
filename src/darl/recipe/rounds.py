"""Labels in rounds: fit, pick from the pool, get the picks labelled, fit again with both."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from darl.recipe.data import OneSource, Settings


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
    on_missing: Literal["error", "skip"] = Field(
        default="error", description="when a pick has no label: stop and name it, or go on without it"
    )
    fall_back: bool = Field(
        default=True, description="the model before the labels stays a candidate: labels that harm dev are not used"
    )
