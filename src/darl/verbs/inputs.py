"""What a verb may be handed: a model or its folder, a table of pairs or where to read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from darl.errors import DataError, ModelError
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.precision import Dtype
from darl.model.saving import model_folder
from darl.model.scorer import PairScorer
from darl.pairs import PairTable, read_pairs

OnBadRows = Literal["error", "skip"]


def as_model(
    model: RelevanceModel | str | Path, *, device: str | None = None, dtype: Dtype | None = None
) -> RelevanceModel:
    """The model itself, or the one in a folder; a run folder stands for the model in it.

    Args:
        device: where a loaded model computes; default a GPU where there is one.
        dtype: what a loaded model computes in; default what it was saved in.

    Raises:
        ModelError: the folder is missing, incomplete, corrupt, or not darl's.
    """
    if isinstance(model, RelevanceModel):
        return model
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return RelevanceModel.from_pretrained(model_folder(model), device=device, dtype=dtype)


def as_scorer(
    model: PairScorer | str | Path,
    *,
    runtime: Literal["torch", "onnx"] = "torch",
    device: str | None = None,
    dtype: Dtype | None = None,
) -> PairScorer:
    """Whatever scores pairs: a model, or with ``runtime="onnx"`` the folder of an export.

    Raises:
        ModelError: the folder is missing, incomplete, corrupt, or of the other kind; a library is missing; a ``dtype``
            for an export.
    """
    if isinstance(model, PairScorer) and not isinstance(model, RelevanceModel):
        return model
    if runtime == "onnx" and not isinstance(model, PairScorer):
        from darl.export import OnnxModel

        refuse_dtype(model, dtype)
        return OnnxModel(Path(model).expanduser())
    return as_model(model, device=device, dtype=dtype)  # type: ignore[arg-type]


def refuse_dtype(export: str | Path, dtype: Dtype | None) -> None:
    """Raises where a number type is asked of an export, which computes in those that it was written in.

    Raises:
        ModelError: ``dtype`` is given.
    """
    if dtype is not None:
        raise ModelError(
            "an export computes in the numbers it was written in",
            where=export,
            mend="leave the number type out; `darl export --int8` writes smaller ones",
        )


def as_splits(pairs: Any) -> dict[str, Any]:
    """Named splits from whatever was given: a mapping as it is, anything else as one split.

    Raises:
        DataError: an empty mapping.
    """
    if isinstance(pairs, Mapping):
        if not pairs:
            raise DataError("there is no split to evaluate", mend="give at least one table of pairs")
        return {str(name): source for name, source in pairs.items()}
    return {split_name(pairs): pairs}


def split_name(source: Any) -> str:
    """A short name for a source: a file's name without its extensions, ``pairs`` for anything else.

    >>> split_name("data/test_id.jsonl.gz"), split_name("hf://owner/shop:test")
    ('test_id', 'shop:test')
    """
    if not isinstance(source, (str, Path)):
        return "pairs"
    name = str(source).rstrip("/").rpartition("/")[2]
    return name if str(source).startswith("hf://") else name.split(".")[0] or name


def as_table(
    source: Any,
    scale: GradeScale,
    *,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    on_bad_rows: OnBadRows = "error",
) -> PairTable:
    """Graded pairs: a table as it is, anything else read by :func:`darl.pairs.read_pairs`.

    Raises:
        DataError, StorageError: the pairs cannot be read, or one has no grade.
    """
    if isinstance(source, PairTable):
        if columns or where:
            raise DataError(
                "columns and where are for sources that are read", mend="rename and filter the table itself"
            )
        return source
    return read_pairs(source, scale=scale, columns=columns, where=where, on_bad_rows=on_bad_rows)
