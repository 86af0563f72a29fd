"""The command as a process of its own: quick to help, quiet on standard output, coded exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from small_model import make_small_model, write_graded_csv


@pytest.fixture(scope="module")
def small_model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tiny_encoder, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def graded_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_graded_csv(tmp_path_factory.mktemp("graded"))


def darl(
    *arguments: object, cwd: Path | None = None, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "darl.cli.main", *map(str, arguments)]
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1"}
    environment.pop("DARL_DEBUG", None)
    return subprocess.run(
        command,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=300,
        cwd=cwd,
        env=environment,
        encoding="utf-8",
    )


def test_help_and_version_do_not_load_torch() -> None:
    code = "import sys, darl, darl.cli.main; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
    result = darl("--help")
    assert result.returncode == 0
    assert all(word in result.stdout for word in ("fit", "evaluate", "compare", "score", "select", "demo", "doctor"))
    assert darl("--version").stdout.startswith("darl ")


def test_a_users_error_has_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("grades: [a, b]\ntune: {epocs: 1}\n")
    result = darl("recipe", "show", "r.yaml", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "tune.epocs: unknown key — did you mean 'epochs'?" in result.stderr
    assert "data: is missing" in result.stderr


def test_json_alone_on_standard_output(small_model: Path, graded_csv: Path, tmp_path: Path) -> None:
    result = darl("evaluate", small_model, graded_csv, "--bootstrap", 10, "--output", "json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["splits"]["test"]["pairs"] == 60
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["recipe", "schema"]])
def test_a_reader_that_goes_away_as_head_does_is_no_defect(arguments: list[str], tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        result = darl(*arguments, cwd=tmp_path, stdout=write)
    finally:
        os.close(write)
    assert result.returncode == 1
    assert result.stderr == ""
