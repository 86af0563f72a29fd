"""score carries any text into any format: lone surrogates, nested lists, and what first comes in a later chunk."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from darl.model import RelevanceModel
from darl.verbs.score import score_pairs
from model_texts import ANY_TEXT, HARD, STEADY
from small_model import make_small_model

ROWS = st.lists(
    st.fixed_dictionaries(
        {"query": ANY_TEXT, "item": ANY_TEXT, "note": ANY_TEXT, "tags": st.lists(ANY_TEXT, min_size=1, max_size=3)},
        optional={
            "more": st.fixed_dictionaries({"inner": st.lists(ANY_TEXT, min_size=1, max_size=2).map(lambda one: [one])})
        },
    ),
    min_size=1,
    max_size=4,
)
PLAIN = [{"query": "cat cover", "item": "vet bills", "note": "plain", "tags": ["a", "b"]}] * 2
HARD_ROWS = [{"query": one, "item": one, "note": one, "tags": [one, "b"], "more": {"inner": [[one]]}} for one in HARD]


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> RelevanceModel:
    return RelevanceModel.from_pretrained(make_small_model(tiny_encoder, tmp_path_factory.mktemp("small")))


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    nested = [{name: json.loads(row[name]) if row[name] else None for name in ("tags", "more")} for row in rows]
    return [row | more for row, more in zip(rows, nested, strict=True)]


def storable(value: Any) -> Any:
    """The value with what no file can hold replaced."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [storable(one) for one in value]
    return {name: storable(one) for name, one in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv", "tsv"])
@given(rows=ROWS)
@example(rows=HARD_ROWS)
@settings(
    STEADY,
    max_examples=6,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_format_carries_any_text_of_any_chunk(
    model: RelevanceModel, tmp_path: Path, kind: str, rows: list[dict[str, Any]]
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / f"out.{kind}"
    given = [*PLAIN, *rows, {**PLAIN[0], "more": {"inner": [["late"]]}}]
    source.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="ascii")
    assert score_pairs(model, source, out, chunk=2).pairs == len(given)
    found = read(out)
    for name in ("query", "item", "note", "tags", "more"):
        assert [row[name] for row in found] == [storable(row.get(name)) for row in given], name
    assert all(0 <= float(row["relevance_score"]) <= 1 for row in found)
