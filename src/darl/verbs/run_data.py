"""The pairs that a run was made from, found by way of the recipe that lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darl.errors import DarlError, DataError
from darl.model.saving import model_folder
from darl.pairs import PairTable
from darl.recipe.data import Source
from darl.recipe.file import load_recipe
from darl.training.splits import load_splits


@dataclass(frozen=True)
class RunData:
    """What a run was trained on, by name what it was and will be judged on, and the pool its recipe names."""

    train: PairTable
    evaluations: dict[str, PairTable]
    pool: Source | None
    columns: dict[str, str]


def run_splits(model: str | Path) -> RunData | None:
    """The pairs of the run that a model folder lies in, or None where it lies in none.

    Raises:
        DataError: the run's files cannot be read any more, so nothing can be guarded against them.
    """
    recipe_file = model_folder(model).resolve().parent / "recipe.yaml"
    if not recipe_file.is_file():
        return None
    try:
        recipe = load_recipe(recipe_file)
        splits = load_splits(recipe)
    except DarlError as error:
        raise DataError(
            f"the pairs that the run was made from cannot be read ({error.where}: {error.what})",
            where=recipe_file,
            mend="name them with --train and --against, so that the guards can do their work",
        ) from error
    evaluations = {"dev_id": splits.dev_id, **({"dev_ood": splits.dev_ood} if splits.dev_ood is not None else {})}
    evaluations |= {f"test {name}": table for name, table in splits.tests.items()}
    pool = recipe.data.pool
    columns = recipe.data.columns if pool is None or pool.columns is None else pool.columns
    return RunData(splits.train, evaluations, pool, columns)
