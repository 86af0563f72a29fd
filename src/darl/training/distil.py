"""distil: a small model that answers like a large one, for the hot path.

It is an ordinary fit whose recipe names a teacher; this file only writes that recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from darl.model import RelevanceModel
from darl.model.saving import model_folder
from darl.recipe.file import parse_recipe
from darl.recipe.settings import Recipe
from darl.recipe.yaml_text import dump_yaml
from darl.training.pipeline import FitResult, fit


def distil_recipe(
    teacher: str | Path | Sequence[str | Path],
    pairs: str | Path | Sequence[str | Path],
    *,
    backbone: str = "minilm-l6",
    dev_id: str | Path | None = None,
    dev_ood: str | Path | None = None,
    tests: Mapping[str, str | Path] | None = None,
    columns: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    name: str = "student",
) -> Recipe:
    """The recipe of a student; see :func:`distil` for the arguments.

    Raises:
        ModelError: the teacher cannot be loaded. RecipeError: an override that does not fit.
    """
    teachers = [teacher] if isinstance(teacher, (str, Path)) else list(teacher)
    folders = [model_folder(one).absolute() for one in teachers]
    scale = RelevanceModel.from_pretrained(folders[0]).scale
    sources = [pairs] if isinstance(pairs, (str, Path)) else list(pairs)
    data: dict = {
        "train": [{"path": str(path)} for path in sources],
        "columns": dict(columns or {}),
        "tests": {split: str(path) for split, path in (tests or {}).items()},
    }
    data |= {key: str(path) for key, path in (("dev_id", dev_id), ("dev_ood", dev_ood)) if path is not None}
    plain = {
        "name": name,
        "grades": {"names": list(scale.names), "gains": list(scale.gains)},
        "data": data,
        "backbone": {"name": backbone},
        "teacher": {"model": [str(folder) for folder in folders]},
    }
    return parse_recipe(dump_yaml(plain), overrides)


def distil(
    teacher: str | Path | Sequence[str | Path],
    pairs: str | Path | Sequence[str | Path],
    *,
    run: str | Path,
    backbone: str = "minilm-l6",
    dev_id: str | Path | None = None,
    dev_ood: str | Path | None = None,
    tests: Mapping[str, str | Path] | None = None,
    columns: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    redo: bool = False,
    quiet: bool = False,
) -> FitResult:
    """Train a small model on a large one's grade probabilities.

    Args:
        teacher: the folder of a run or of a saved model; several are weighed by how likely they hold the grades of
            dev_id, so that a weak one counts little.
        pairs: files of training pairs, graded or not; the teacher grades those that are not, and its
            probabilities are the targets of all.
        run: the run folder of the student; the same call resumes it.
        backbone: the student's.
        dev_id: graded pairs for choices; default a cut of ``pairs`` by query (of its graded pairs, if any).
        dev_ood, tests: as in a recipe.
        overrides: ``key=value`` changes to the student's recipe, as in ``teacher.share=1``, or ``teacher.itself=false``
            where the backbone fitted on the graded pairs alone is not to be one of the teachers.

    Returns:
        the finished run, as of :func:`darl.fit`.

    Raises:
        DarlError: whatever was wrong, with the mend.

    For instance::

        darl.distil("runs/llm", ["graded.jsonl", "traffic.parquet"], run="runs/student")
    """
    recipe = distil_recipe(
        teacher, pairs, backbone=backbone, dev_id=dev_id, dev_ood=dev_ood, tests=tests, columns=columns,
        overrides=overrides, name=Path(run).name,
    )  # fmt: skip
    return fit(recipe, run=run, redo=redo, quiet=quiet)
