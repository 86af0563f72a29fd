"""Which pairs a run reads: where they lie, what their columns are called, and what they are for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Settings(BaseModel):
    """Unknown keys are refused: a misspelt key that is silently ignored costs a day."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Settings):
    """Where the pairs of one split come from."""

    path: str | list[str] = Field(description="file, list of files, glob, hf://dataset[/config][:split]")
    where: dict[str, Any] = Field(default_factory=dict, description="keep rows with these column values")
    sample: int | None = Field(default=None, ge=1, description="draw this many pairs, by `data.sample_seed`")
    weight: float = Field(default=1.0, gt=0, description="weight of these pairs in the loss")
    columns: dict[str, str] | None = Field(
        default=None, description="darl's name: these files' name; default `data.columns`"
    )
    cut: bool = Field(
        default=True, description="whether dev_id and a test may be cut from these pairs, where the recipe names none"
    )


def _as_source(value: Any) -> Any:
    return {"path": value} if isinstance(value, (str, list)) and not _is_sources(value) else value


def _is_sources(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(part, dict) for part in value)


def _as_sources(value: Any) -> Any:
    parts = value if _is_sources(value) else [value]
    return [_as_source(part) for part in parts]


OneSource = Annotated[Source, BeforeValidator(_as_source)]
Sources = Annotated[list[Source], BeforeValidator(_as_sources)]


class SplitSettings(Settings):
    """How ``train`` is cut, when the recipe names no ``dev_id``: into that, and a test where ``tests`` names none."""

    by: Literal["query"] = Field(default="query", description="whole queries; shifts are given as files of their own")
    dev_id: float = Field(default=0.1, gt=0, lt=0.5, description="share of the queries kept for choices")
    test_id: float = Field(default=0.1, ge=0, lt=0.5, description="share of the queries kept for judging")


class DataSettings(Settings):
    """Which pairs are for training, for choices (dev), for judging (test), and which are unlabelled (pool)."""

    train: Sources = Field(description="graded pairs; several sources may have weights of their own")
    dev_id: OneSource | None = Field(
        default=None, description="graded pairs like train, for choices; default: cut off it"
    )
    dev_ood: OneSource | None = Field(default=None, description="a small graded sample of shifted traffic, for choices")
    tests: dict[str, OneSource] = Field(
        default_factory=dict,
        description="graded pairs for judging, by name, the in-distribution ones first; none and no dev_id: such a "
        "test is cut off train",
    )
    pool: OneSource | None = Field(default=None, description="unlabelled pairs; `darl select` picks from them")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="darl's name: the files' name; a file of darl's own names alone needs none of it",
    )
    on_bad_rows: Literal["error", "skip"] = "error"
    split: SplitSettings = SplitSettings()
    sample_seed: int = Field(default=0, description="which pairs `sample` draws; not `seed`, so that seeds share data")
    slices: list[str] = Field(default_factory=list, description="columns by whose values quality is also reported")
