"""Every ``darl …`` of the documentation is a call that the command line takes: verbs, options, values, arguments."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from docs_blocks import BLOCKS, Block, Command, commands_of

from darl.cli.main import app
from darl.recipe.overrides import parse_override

COMMANDS = [command for block in BLOCKS for command in commands_of(block)]
ROOT = typer.main.get_command(app)


def parse(words: list[str]) -> Any:
    """The command that the words name, with its values; raises typer's usage error, and runs nothing."""
    command, context, rest = ROOT, None, words
    while hasattr(command, "commands"):
        context = command.make_context("darl", list(rest), parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if not rest:
            return context  # a group that does something by itself, as `darl backbones`
        _, command, rest = command.resolve_command(context, rest)
    return command.make_context(command.name, list(rest), parent=context)


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 60
    assert {"fit", "select", "label", "drift", "serve", "export"} <= {command.words[0] for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_the_command_line_takes_it(command: Command) -> None:
    if command.words in (["--help"], ["COMMAND", "--help"]):
        return
    try:
        context = parse(command.words)
    except typer.Exit:
        return  # --help, --version
    if command.words[0] == "fit":
        for override in context.params["overrides"] or ():
            parse_override(override)


@pytest.mark.parametrize(
    "line",
    ["darl fit recipe.yaml --epochs 1", "darl select runs/x/model pool.parquet -o a.jsonl", "darl fitt a.yaml",
     "darl compare runs/a", "darl label merge a.sqlite -o b.jsonl --rule loudest", "darl evaluate runs/a"],
)  # fmt: skip
def test_a_wrong_command_is_refused(line: str) -> None:
    (command,) = commands_of(Block("page.md", 1, "sh", line))
    with pytest.raises(Exception, match=r"(?i)no such|missing|not one of|invalid"):
        parse(command.words)
