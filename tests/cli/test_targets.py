"""What no command may write over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from darl.cli.main import app
from darl.cli.targets import refuse_overwrite, require_json_lines
from darl.errors import DataError


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("pool-1.jsonl", "pool-2.jsonl", "other.jsonl", "lab.sqlite"):
        Path(name).write_text(json.dumps({"query": "q", "item": name}) + "\n")
    return tmp_path


def run(command: str, code: int) -> Any:
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == code, result.output + result.stderr
    return result


def test_an_input_is_known_by_every_name(files: Path) -> None:
    Path("link.jsonl").symlink_to("pool-1.jsonl")
    for other in ("pool-1.jsonl", files / "pool-1.jsonl", "pool-*.jsonl", "*", "link.jsonl", ["x", ("pool-1.jsonl",)]):
        with pytest.raises(DataError, match="would overwrite") as caught:
            refuse_overwrite("./pool-1.jsonl", None, other)
        assert caught.value.mend == "write to another file"
    with pytest.raises(DataError, match="would overwrite"):
        refuse_overwrite("new.jsonl", files / "new.jsonl")  # two results, neither there yet
    refuse_overwrite(None, "pool-1.jsonl")
    refuse_overwrite("new.jsonl", "pool-*.jsonl", "hf://new.jsonl", "postgresql://host/new.jsonl", None, object())


def test_a_name_with_magic_in_it_is_a_file_where_there_is_one() -> None:
    Path("pool[1].jsonl").touch()
    with pytest.raises(DataError):
        refuse_overwrite("pool[1].jsonl", "pool[1].jsonl")


def test_json_lines_have_their_name() -> None:
    for name in ("a.jsonl", "a.ndjson", "a.JSON"):
        require_json_lines("-o", Path(name))
    require_json_lines("-o", None)
    for name in ("a.csv", "a.jsonl.gz", "a", "a.sqlite"):
        with pytest.raises(typer.BadParameter, match=r"no \.jsonl file"):
            require_json_lines("-o", Path(name))


JUDGE = "judge pool-1.jsonl --endpoint http://localhost:1/v1 --model m --grades a,b --gold other.jsonl"


@pytest.mark.parametrize(
    "command",
    [
        "select none pool-1.jsonl --budget 1 -o pool-1.jsonl",
        "select none pool-*.jsonl --budget 1 -o pool-2.jsonl",
        "select none pool-1.jsonl --budget 1 -o other.jsonl --train other.jsonl",
        "select none pool-1.jsonl --budget 1 -o other.jsonl --already other.jsonl",
        "select none pool-1.jsonl --budget 1 -o other.jsonl --against far=other.jsonl",
        "label export pool-1.jsonl -o pool-1.jsonl",
        "label merge pool-1.jsonl other.jsonl -o other.jsonl",
        "label merge pool-1.jsonl -o x.jsonl --conflicts pool-1.jsonl",
        "label merge pool-1.jsonl -o x.jsonl --conflicts x.jsonl",
        "label agreement lab.sqlite --save lab.sqlite",
        f"{JUDGE} -o pool-1.jsonl",
        f"{JUDGE} -o other.jsonl",
        f"{JUDGE} -o x.jsonl --answers x.jsonl",
        f"{JUDGE} -o x.jsonl --unlabelled other.jsonl",
        f"{JUDGE} -o x.jsonl --report pool-1.jsonl",
    ],
)
def test_a_command_overwrites_nothing_that_it_needs(command: str, files: Path) -> None:
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    assert "would overwrite" in " ".join(run(command, 2).stderr.split())
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before


@pytest.mark.parametrize(
    "command",
    [
        "label export lab.sqlite -o lab.sqlite",
        "label merge lab.sqlite -o lab.sqlite",
        "label merge lab.sqlite -o out.csv",
        "label export lab.sqlite -o out.jsonl.gz",
        "label merge lab.sqlite -o out.jsonl --conflicts left.csv",
    ],
)
def test_json_lines_are_written_under_no_other_name(command: str, files: Path) -> None:
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    assert "is no .jsonl file" in " ".join(run(command, 2).stderr.replace("│", " ").split())
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before
