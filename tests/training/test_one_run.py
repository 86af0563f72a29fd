"""The published model: at every moment the old one or the new one stands there, and the same is not written again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from darl.model.saving import FACTS, model_folder
from darl.training.one_run import publish


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished stage's model."""
    return write_model(tmp_path / "finish" / "model", "old")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A run with that model."""
    publish(finished, tmp_path / "run" / "model")
    return tmp_path / "run"


def write_model(folder: Path, content: str) -> Path:
    (folder / "base").mkdir(parents=True)
    for name in (FACTS, "config.json", "base/config.json"):
        (folder / name).write_text(content)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_model_is_published_without_a_second_copy(finished: Path, run: Path) -> None:
    assert names(run) == {"model"}
    assert all((run / "model" / name).samefile(finished / name) for name in (FACTS, "config.json", "base/config.json"))


@pytest.mark.parametrize("linked", [True, False], ids=["links", "copies"])
def test_the_same_model_stays_and_what_a_killed_process_left_goes(
    linked: bool, finished: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not linked:
        shutil.rmtree(run / "model")
        shutil.copytree(finished, run / "model")
    for name in (".model.darl-old", ".model.darl-new", ".model.darl-new.partial"):
        write_model(run / name, "left")
    monkeypatch.setattr(os, "rename", lambda *_: pytest.fail("nothing changed"))
    publish(finished, run / "model")
    assert names(run) == {"model"}


@pytest.mark.parametrize("content", ["new", "longer"])
def test_killed_at_any_point_the_old_or_the_new_model_stands_there(
    content: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = write_model(tmp_path / "redone" / "model", content)
    snapshots = []

    def watched(action):
        def act(*args, **options) -> None:
            snapshots.append(shutil.copytree(run, tmp_path / f"{action.__name__}-{len(snapshots)}"))
            action(*args, **options)

        return act

    with monkeypatch.context() as patch:
        for name in ("rename", "link"):
            patch.setattr(os, name, watched(getattr(os, name)))
        publish(new, run / "model")
    assert len(snapshots) == 3 + 3  # three files; the new folder, the old one aside, the new one in place
    for snapshot in [*snapshots, run]:
        found = model_folder(snapshot)
        assert {(found / name).read_text() for name in (FACTS, "config.json", "base/config.json")} in (
            {"old"},
            {content},
        )
        publish(new, snapshot / "model")
        assert names(snapshot) == {"model"}
        assert (snapshot / "model" / FACTS).read_text() == content
