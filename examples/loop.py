"""The loop in Python: fit, select what is not covered, label it, fit again.

python examples/loop.py RECIPE POOL

Labelling is yours: this script stops with a file of pairs to label, and goes on when it has come back.
"""

from __future__ import annotations

import sys
from pathlib import Path

import darl
from darl.dasa import merge_labels

BUDGET = 50


def main(recipe_file: str, pool_file: str) -> None:
    recipe = darl.load_recipe(recipe_file)
    first = darl.fit(recipe, run="runs/round-0")
    print(first.summary)

    to_label, labelled = Path("to_label.jsonl"), Path("labelled.jsonl")
    if not labelled.exists():
        train = darl.read_pairs(recipe.data.train[0].path, scale=recipe.grades.scale())
        tests = {name: darl.read_pairs(source.path) for name, source in recipe.data.tests.items()}
        picked = darl.select(first.model_path, pool_file, budget=BUDGET, train=train, evaluations=tests)
        print(picked.to_text())
        picked.pairs.to_jsonl(to_label)
        print(f"add a `label` to each line of {to_label}, save it as {labelled}, and run this again")
        return

    merge_labels(labelled, recipe.grades.scale())  # refuses rows without a label, by name
    second = darl.fit(
        recipe_file, run="runs/round-1", overrides=[f"data.train=[{recipe.data.train[0].path},{labelled}]"]
    )
    print(second.summary)


if __name__ == "__main__":
    main(*sys.argv[1:])
