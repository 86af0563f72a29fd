"""darl: graded search relevance with LLMs that holds up when the traffic shifts.

    darl.fit("recipe.yaml")                      train, interpolate, calibrate, judge
    darl.evaluate(model, {"id": …, "far": …})    how good, in and out of distribution?
    darl.compare(a, b, "test.jsonl")             is B better than A, or is it noise?
    darl.score(model, "pairs.parquet", "out.parquet")
    darl.select(model, "pool.parquet", budget=500)
    darl.check_drift("runs/shop/model", "log/")  has the traffic moved? what should be labelled next?
    darl.build_report("runs/shop")               one page with the pictures of a run
    darl.label("picked.jsonl", scale=scale)      people grade the picks on a page
    darl.judge("picked.jsonl", endpoint=…, model=…)  or a language model does, measured on gold labels first
    darl.serve("runs/shop/model", port=8080)     a server that rerank clients can call
    darl.RelevanceModel.from_pretrained("runs/shop/model").score(queries=[…], items=[…])

Every name is loaded when it is first used, so ``import darl`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from darl.dasa import select as select
    from darl.drift.check import check_drift as check_drift
    from darl.errors import DarlError as DarlError
    from darl.grades import GradeScale as GradeScale
    from darl.labelling.job import label_pairs as label
    from darl.labelling.judge import judge_pairs as judge
    from darl.model import RelevanceModel as RelevanceModel
    from darl.pairs import PairTable as PairTable
    from darl.pairs import read_pairs as read_pairs
    from darl.recipe.file import load_recipe as load_recipe
    from darl.recipe.settings import Recipe as Recipe
    from darl.report import build_report as build_report
    from darl.serving.server import serve as serve
    from darl.training.distil import distil as distil
    from darl.training.pipeline import fit as fit
    from darl.verbs.compare import compare as compare
    from darl.verbs.evaluate import evaluate as evaluate
    from darl.verbs.score import score_pairs as score

_HOMES = {
    "fit": ("darl.training.pipeline", "fit"),
    "distil": ("darl.training.distil", "distil"),
    "evaluate": ("darl.verbs.evaluate", "evaluate"),
    "compare": ("darl.verbs.compare", "compare"),
    "score": ("darl.verbs.score", "score_pairs"),
    "select": ("darl.dasa", "select"),
    "label": ("darl.labelling.job", "label_pairs"),
    "judge": ("darl.labelling.judge", "judge_pairs"),
    "check_drift": ("darl.drift.check", "check_drift"),
    "serve": ("darl.serving.server", "serve"),
    "build_report": ("darl.report", "build_report"),
    "RelevanceModel": ("darl.model", "RelevanceModel"),
    "GradeScale": ("darl.grades", "GradeScale"),
    "PairTable": ("darl.pairs", "PairTable"),
    "read_pairs": ("darl.pairs", "read_pairs"),
    "load_recipe": ("darl.recipe.file", "load_recipe"),
    "Recipe": ("darl.recipe.settings", "Recipe"),
    "DarlError": ("darl.errors", "DarlError"),
}

__all__ = [
    "DarlError",
    "GradeScale",
    "PairTable",
    "Recipe",
    "RelevanceModel",
    "__version__",
    "build_report",
    "check_drift",
    "compare",
    "distil",
    "evaluate",
    "fit",
    "judge",
    "label",
    "load_recipe",
    "read_pairs",
    "score",
    "select",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'darl' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("darl")
    except PackageNotFoundError:  # run from its source, not installed
        return "0+source"
