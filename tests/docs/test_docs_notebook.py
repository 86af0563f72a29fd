"""The notebook runs from top to bottom, on a tiny backbone in place of the one it names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from docs_blocks import REPO

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install nbclient ipykernel")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install ipykernel")

NOTEBOOK = REPO / "examples" / "notebook.ipynb"
QUICK = "train=60, dev_id=30, dev_ood=30, pool=60, test_id=30, test_ood=30"


def test_it_is_saved_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not [cell for cell in cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]


def test_it_runs_from_top_to_bottom(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    settings = next(cell for cell in book.cells if "parameters" in cell.metadata.get("tags", ()))
    before = settings.source
    settings.source = before.replace('"minilm-l6"', repr(str(tiny_encoder))).replace(
        "SIZES = {}", f"SIZES = dict({QUICK})"
    )
    assert settings.source.count(str(tiny_encoder)) == 1
    assert QUICK in settings.source
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    nbclient.NotebookClient(
        book, timeout=400, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    said = [output.get("text", "") for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert "macro-F1" in "".join(said)
    assert (tmp_path / "darl-notebook" / "runs" / "second" / "model" / "darl.json").is_file()
    assert os.path.exists(tmp_path / "darl-notebook" / "labelled.jsonl")
