"""Relative paths of a recipe: what stands in the file is meant from the file's folder.

``output`` alone stays as it is: a run belongs where it was started.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_SOURCES = ("train", "dev_id", "dev_ood", "pool")


def resolve_paths(data: dict[str, Any], folder: Path) -> None:
    """Makes the relative paths of a recipe's plain data absolute, in place.

    Args:
        data: the recipe as read, short forms and mistakes included; what is not a path is left alone.
        folder: what relative paths are relative to.

    Paths are: every source under ``data`` (globs too; not ``hf://…``), ``backbone.name`` where it begins with
    a dot (any other name is an embedded or a hub one), ``teacher.model``, ``rounds.labels``,
    ``rounds.judge.gold`` and ``.guideline``, ``interpolate.before``,
    ``match.reuse``, ``match.teacher`` as ``backbone.name``, and ``interpolate.start`` unless it is ``start``.
    """
    section = data.get("data")
    if isinstance(section, dict):
        for name in _SOURCES:
            if name in section:
                section[name] = _source(section[name], folder)
        if isinstance(section.get("tests"), dict):
            section["tests"] = {name: _source(value, folder) for name, value in section["tests"].items()}
    backbone = data.get("backbone")
    if isinstance(backbone, dict) and "name" in backbone:
        backbone["name"] = _backbone(backbone["name"], folder)
    elif isinstance(backbone, str):
        data["backbone"] = _backbone(backbone, folder)
    match = data.get("match")
    if isinstance(match, dict) and "reuse" in match:
        match["reuse"] = _absolute(match["reuse"], folder)
    if isinstance(match, dict) and "teacher" in match:
        match["teacher"] = _backbone(match["teacher"], folder)
    interpolate = data.get("interpolate")
    if isinstance(interpolate, dict) and interpolate.get("start", "start") != "start":
        interpolate["start"] = _absolute(interpolate["start"], folder)
    if isinstance(interpolate, dict) and "before" in interpolate:
        interpolate["before"] = _absolute(interpolate["before"], folder)
    teacher = data.get("teacher")
    if isinstance(teacher, dict) and "model" in teacher:
        teacher["model"] = _source(teacher["model"], folder)
    rounds = data.get("rounds")
    if isinstance(rounds, dict) and "labels" in rounds:
        rounds["labels"] = _source(rounds["labels"], folder)
    judge = rounds.get("judge") if isinstance(rounds, dict) else None
    if isinstance(judge, dict):
        if "gold" in judge:
            judge["gold"] = _source(judge["gold"], folder)
        if "guideline" in judge:
            judge["guideline"] = _absolute(judge["guideline"], folder)


def _source(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_source(part, folder) for part in value]
    if isinstance(value, dict):
        return {**value, "path": _source(value["path"], folder)} if "path" in value else value
    return _absolute(value, folder)


def _backbone(name: Any, folder: Path) -> Any:
    return _absolute(name, folder) if isinstance(name, str) and name.startswith((".", "~")) else name


def _absolute(path: Any, folder: Path) -> Any:
    if not isinstance(path, str) or not path.strip() or "://" in path:
        return path
    return os.path.normpath(folder / os.path.expanduser(path))
