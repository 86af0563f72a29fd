"""`darl judge` as people type it: every command of the guide, a real kill, and the mistakes they make."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from judge_world import MODEL, Asked, Told, error, grade_of, read_lines, right, says, serving, some_pairs
from typer.testing import CliRunner

from darl.cli.main import app

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "llm-judge.md"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    some_pairs(12).to_jsonl("picked.jsonl")
    some_pairs(9, "gold", graded=True).to_jsonl("gold.jsonl")
    some_pairs(2, "example", graded=True).to_jsonl("examples.jsonl")
    Path("guide.md").write_text("Weak: the right kind of thing, but not what was asked for.")
    return tmp_path


def judge(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["judge", *map(str, arguments)])
    assert result.exit_code == code, result.output + result.stderr
    return result


def common(url: str) -> list[str]:
    return ["picked.jsonl", "--endpoint", url, "--model", MODEL, "--grades", "irrelevant,weak,strong"]


def test_every_command_of_the_guide(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", " ")
    commands = [shlex.split(line)[2:] for line in blocks.splitlines() if line.startswith("darl judge ")]
    assert len(commands) >= 4
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with serving(right) as server:
        for command in commands:
            at = command.index("--endpoint")
            judge(*command[: at + 1], server.url, *command[at + 2 :])
    assert len(read_lines(files / "judged.jsonl")) == 12
    used = set(re.findall(r"`(--[\w-]+)", text)) | {
        word for command in commands for word in command if word[:2] == "--"
    }
    help_text = CliRunner().invoke(app, ["judge", "--help"], env={"COLUMNS": "200"}).output
    assert {option for option in used if option not in help_text} <= {"--rule", "--adjudicator"}


def test_what_is_printed_where(files: Path) -> None:
    with serving(right) as server:
        result = judge(*common(server.url), "--gold", "gold.jsonl", "--price", "0.15,0.6", "-o", "out.jsonl")
        told = result.stderr
        assert told.index("21 pairs, 21 answers wanted") < told.index("on 9 of 9 gold pairs")
        lines = result.stdout.splitlines()
        assert lines[0].startswith("on 9 of 9 gold pairs (5 queries): same grade 1.000 [1.00, 1.00]")
        assert lines[-1] == "12 pairs → out.jsonl"
        assert "grades: irrelevant 4, weak 4, strong 4" in lines
        as_json = json.loads(
            judge(*common(server.url), "--gold", "gold.jsonl", "-o", "out.jsonl", "--output", "json").stdout
        )
        assert len(server.asked) == 21
    assert as_json["labelled"] == {"irrelevant": 4, "weak": 4, "strong": 4}
    assert as_json["out"] == "out.jsonl"
    report = json.loads(Path("out.judge.json").read_text())
    assert {**report, "out": "out.jsonl"} == as_json
    assert report["prompt"]["system"].startswith("You grade search results")


def test_an_estimate_and_only_gold_write_nothing(files: Path) -> None:
    with serving(right) as server:
        result = judge(*common(server.url), "--gold", "gold.jsonl", "--estimate", "--price", "1,2", "--samples", "3")
        assert result.stdout.startswith("21 pairs, 63 answers wanted, 0 of them at hand\nto ask: 63 requests")
        assert "cost: about " in result.stdout
        assert not server.asked
        judge(*common(server.url), "--gold", "gold.jsonl", "--only-gold")
        assert len(server.asked) == 9
    assert {path.name for path in files.iterdir()} >= {"picked.judge.sqlite"}
    assert not list(files.glob("out*"))


def test_mistakes_are_named(files: Path) -> None:
    with serving(error(401, "no key")) as server:
        words = common(server.url)
        assert "no gold pairs" in judge(*words, "-o", "out.jsonl", code=2).stderr
        assert "key is refused" in judge(*words, "--gold", "gold.jsonl", "-o", "out.jsonl", code=2).stderr
        assert "name the file" in judge(*words, "--gold", "gold.jsonl", code=2).stderr
        assert "no .jsonl file" in judge(*words, "--gold", "gold.jsonl", "-o", "out.csv", code=2).stderr
        assert "IN,OUT" in judge(*words, "--unmeasured", "-o", "out.jsonl", "--price", "cheap", code=2).stderr
        assert "budget needs prices" in judge(*words, "--unmeasured", "-o", "o.jsonl", "--budget", "5", code=2).stderr
    with serving(lambda asked: says(2 - grade_of(asked.pair))) as server:
        result = judge(*common(server.url), "--gold", "gold.jsonl", "--min-agreement", "0.5", "-o", "out.jsonl", code=2)
    assert "less than 0.5; no label was written" in " ".join(result.stderr.split())
    assert not Path("out.jsonl").exists()
    assert Path("out.judge.json").exists()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_job_goes_on_and_pays_only_for_what_was_in_flight(files: Path, end: signal.Signals) -> None:
    """Killed in the middle, with a file of answers on a real disk; then the same command in peace."""
    pairs, at_once, enough = 150, 4, 60
    some_pairs(pairs).to_jsonl("picked.jsonl")
    slowly = True

    def answer(asked: Asked) -> Told:
        # after enough of them so slowly that the job cannot end before the signal comes, however busy the machine is
        return Told(right(asked).text, after=(0.03 if len(server.asked) < enough else 1.0) if slowly else 0.0)

    with serving(answer) as server:
        words = [*common(server.url), "--unmeasured", "--concurrency", str(at_once), "-o", "out.jsonl"]
        paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a script's background, which the command inherits
            signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [sys.executable, "-m", "darl", "judge", *words],
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + 300
        while len(server.asked) < enough and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(end)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == (-signal.SIGKILL if end == signal.SIGKILL else 130), said
        assert not Path("out.jsonl").exists()
        asked = len(server.asked)
        assert enough <= asked < pairs
        with sqlite3.connect("picked.judge.sqlite") as cache:
            kept = cache.execute("SELECT count(*) FROM answers").fetchone()[0]
        cache.close()
        assert asked - at_once <= kept <= asked
        slowly = False
        judge(*words)
        assert len(server.asked) - asked == pairs - kept
    rows = read_lines(files / "out.jsonl")
    assert len(rows) == pairs
    assert [row["grade"] for row in rows] == ["irrelevant", "weak", "strong"] * (pairs // 3)
    if end == signal.SIGINT:
        assert "the same command resumes" in said


def test_fit_trains_on_the_judged_pairs_with_their_weights(files: Path, tiny_encoder: Path) -> None:
    """`darl fit` takes the file as it is, beside graded pairs, and both weights count."""
    import darl
    from darl.training.splits import load_splits

    some_pairs(90, "graded", graded=True).to_jsonl("graded.jsonl")
    some_pairs(30, "test", graded=True).to_jsonl("test.jsonl")
    with serving(right) as server:
        judge(*common(server.url), "--gold", "gold.jsonl", "--weight", "0.5", "-o", "judged.jsonl", "-q")
    recipe = {
        "name": "judged", "grades": ["irrelevant", "weak", "strong"], "output": str(files / "run"),
        "backbone": {"name": str(tiny_encoder), "max_length": 32},
        "tune": {"epochs": 1, "batch_size": 12, "precision": "float32"},
        "probe": {"l2": [0.1], "max_iterations": 30}, "evaluate": {"bootstrap": 10, "min_slice": 5},
        "data": {
            "train": ["graded.jsonl", {"path": "judged.jsonl", "weight": 0.5}],
            "dev_id": "gold.jsonl",
            "tests": {"test": "test.jsonl"},
        },
    }  # fmt: skip
    Path("recipe.json").write_text(json.dumps(recipe))
    splits = load_splits(darl.load_recipe("recipe.json"))
    assert splits.train.weights is not None
    assert sorted(splits.train.weights.tolist()) == [0.25] * 12 + [1.0] * 90
    result = CliRunner().invoke(app, ["fit", "recipe.json", "-q"])
    assert result.exit_code == 0, result.output + result.stderr
    assert Path("run/model/darl.json").is_file()
