"""Every Python block of the documentation: calls of darl fit its signatures, and what can run here runs.

A block runs in a folder with a finished run, graded pairs and a pool under the names that the pages use. Those that
serve until stopped, train for minutes, or need a service are only held against the signatures; each says why.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from docs_blocks import BLOCKS, Block

import darl

PYTHON = [block for block in BLOCKS if block.language == "python"]
# page → what its blocks cannot do here; the first words of the block tell it from others of the page
NOT_RUN = {
    ("README.md", "import darl"): "fits a backbone; tests/training does so with a tiny one",
    ("docs/labelling.md", "import darl"): "serves until Ctrl+C",
    ("docs/distil.md", "import darl"): "trains; tests/training/test_distil.py does",
    ("docs/guides/llm-judge.md", "import darl"): "asks an endpoint; tests/labelling/test_judge_command.py has one",
    ("docs/report.md", "import darl"): "tests/report builds pages",
    ("docs/deploy.md", "from langchain_cohere"): "needs a server; tests/serving/test_serve_clients.py has one",
    ("docs/deploy.md", "from llama_index"): "needs a server; tests/serving/test_serve_clients.py has one",
}


def reason_not_to_run(block: Block) -> str | None:
    fits = (why for (page, start), why in NOT_RUN.items() if page == block.page and block.text.startswith(start))
    return next(fits, None)


def names_in(tree: ast.Module) -> dict[str, Any]:
    """What the block's imports of darl bind; an import of something that is not there fails."""
    bound: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {alias.asname or "darl": darl for alias in node.names if alias.name == "darl"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "darl":
            module = importlib.import_module(str(node.module))
            bound |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    return bound


def check_calls(text: str) -> int:
    """Binds each call of a function of darl to its signature; returns how many there were."""
    tree = ast.parse(text)
    bound, seen = names_in(tree), 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        parts: list[str] = []
        target: Any = node.func
        while isinstance(target, ast.Attribute):
            parts, target = [target.attr, *parts], target.value
        if not isinstance(target, ast.Name) or target.id not in bound:
            continue
        called = bound[target.id]
        for part in parts:
            called = getattr(called, part)
        starred = any(isinstance(one, ast.Starred) for one in node.args)
        starred |= any(key.arg is None for key in node.keywords)
        if callable(called) and not starred:
            inspect.signature(called).bind(*node.args, **{str(key.arg): key.value for key in node.keywords})
            seen += 1
    return seen


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the tutorial has at hand when its Python block comes."""
    data = tmp_path / "darl-demo" / "data"
    data.mkdir(parents=True)
    pool = [{"query": f"q {n}", "item": f"cover {n}", "hidden_label": n % 3} for n in range(9)]
    (data / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool), encoding="utf-8")
    picked = [{"query": row["query"], "item": row["item"], "ood_percentile": 99.0} for row in pool[:4]]
    (tmp_path / "to_label.jsonl").write_text("".join(json.dumps(row) + "\n" for row in picked), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_blocks_are_found_and_every_exception_is_needed() -> None:
    assert len(PYTHON) >= 6
    used = {(page, start) for page, start in NOT_RUN for b in PYTHON if b.page == page and b.text.startswith(start)}
    assert used == set(NOT_RUN)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_its_calls_fit_the_signatures(block: Block) -> None:
    compile(block.text, str(block), "exec")
    check_calls(block.text)


@pytest.mark.parametrize("block", [one for one in PYTHON if reason_not_to_run(one) is None], ids=str)
def test_it_runs(block: Block, workplace: Path) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
    if block.page == "docs/tutorial.md":
        scale = darl.GradeScale(("irrelevant", "weak", "strong"))
        assert darl.read_pairs(workplace / "labelled.jsonl", scale=scale).grades.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("text", ["import darl\ndarl.fit('a.yaml', epochs=1)", "from darl.losses import Occ"])
def test_a_wrong_call_is_refused(text: str) -> None:
    with pytest.raises((TypeError, AttributeError)):
        check_calls(text)
