"""An LLM as judge: pairs labelled through an OpenAI-compatible endpoint, once it was measured on gold labels.

    judged = judge_pairs("picked.jsonl", endpoint="http://localhost:8000/v1", model="qwen3-32b", scale=scale,
                         gold="gold.jsonl", guideline="guide.md", min_agreement=0.6, out="labelled.jsonl")
    print(judged.agreement.to_text())

A job runs down this list: `material` (files, checks), `prompt`, `questions` (keys), `spending` (estimate, budget),
`asking` (several at a time, through `endpoint` in the form of `dialect`, kept in `cache`, read by `parsing`), `votes`,
`gold` (agreement), `rows` and `result`. Needs ``pip install 'darl[judge]'``.
"""

from __future__ import annotations

from darl.labelling.judge.gold import GoldAgreement
from darl.labelling.judge.job import judge_pairs
from darl.labelling.judge.model import Judge
from darl.labelling.judge.problems import (
    BudgetError,
    DisagreementError,
    JudgeError,
    KeyRefusedError,
    NoSuchModelError,
    QuotaError,
    RequestRefusedError,
    UnreachableError,
)
from darl.labelling.judge.prompt import GradePrompt
from darl.labelling.judge.result import Judged
from darl.labelling.judge.settings import JudgeSettings, Prices
from darl.labelling.judge.votes import Judgement

__all__ = [
    "BudgetError",
    "DisagreementError",
    "GoldAgreement",
    "GradePrompt",
    "Judge",
    "JudgeError",
    "JudgeSettings",
    "Judged",
    "Judgement",
    "KeyRefusedError",
    "NoSuchModelError",
    "Prices",
    "QuotaError",
    "RequestRefusedError",
    "UnreachableError",
    "judge_pairs",
]
