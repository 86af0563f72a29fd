"""The recipe that `darl recipe init` writes: short, commented, and valid as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from darl.recipe.yaml_text import dump_yaml

_TEMPLATE = """\
# A darl recipe. Edit the four parts marked (1) to (4), then run:  darl fit {file}
# Every other setting has a default;  darl recipe show {file}  prints them all.

name: {name}

# (1) The grades, least relevant first. With gains of your own: {{irrelevant: 0, weak: 1, strong: 3}}
grades: {grades}

data:
  # (2) Graded query-item pairs: JSON lines, CSV, TSV or Parquet (also .gz), or hf://owner/dataset:split.
  #     Paths are relative to this file. A tenth of the queries is kept for choices (data.dev_id), and a tenth for
  #     judging where no test is named below.
  train: {train}

  # (3) Which column is which; delete a line where the file already uses darl's name.
  columns:{columns}

  # A few hundred graded pairs of shifted traffic (new categories, another season, another shop) make the
  # choices hold up out of distribution, and show how far quality falls there:
  # dev_ood: data/shifted_dev.jsonl
  # tests:            # the first is the in-distribution one
  #   id: data/test.jsonl
  #   shifted: data/shifted_test.jsonl

  # Unlabelled pairs, of which `darl select` says which to label next:
  # pool: data/pool.jsonl

# The whole loop: fit, pick pairs of the pool, wait for their labels, fit again. darl says which command labels.
# rounds:
#   count: 1        # raise it and run again for one more
#   budget: 200     # pairs to label in each round

# (4) The pretrained model: an embedded one (darl backbones lists them), a folder (./model) or a hub name.
backbone: {backbone}

# Quick looks first: one epoch, in a folder of its own, tells whether the data are read as you mean:
#   darl fit {file} tune.epochs=1 --run runs/look
"""


def recipe_template(
    *,
    name: str = "my-search",
    train: str = "data/train.jsonl",
    columns: Mapping[str, str] | None = None,
    grades: Sequence[str] = ("irrelevant", "weak", "strong"),
    backbone: str = "minilm-l6",
    file: str = "recipe.yaml",
) -> str:
    """A commented recipe for a newcomer to edit.

    Args:
        name: of the run.
        train: the graded pairs, relative to the recipe.
        columns: {darl's column: the file's column}; default an example.
        grades: least relevant first.
        backbone: the pretrained model.
        file: the recipe's own file name, for the comments.

    >>> "grades: [bad, good]" in recipe_template(grades=["bad", "good"])
    True
    """
    columns = {"query": "query", "item": "title", "grade": "label"} if columns is None else columns
    return _TEMPLATE.format(
        name=_inline(name),
        train=_inline(train),
        columns=_block(columns, indent="    "),
        grades=_inline(list(grades)),
        backbone=_inline(backbone),
        file=file,
    )


def _inline(value: str | list[str]) -> str:
    """One value on one line of YAML."""
    return dump_yaml([value]).strip().removeprefix("[").removesuffix("]") if isinstance(value, str) else _flow(value)


def _flow(values: list[str]) -> str:
    return "[" + ", ".join(_inline(value) for value in values) + "]"


def _block(values: Mapping[str, str], indent: str) -> str:
    if not values:
        return " {}"
    return "\n" + "\n".join(f"{indent}{key}: {_inline(value)}" for key, value in values.items())
