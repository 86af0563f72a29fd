"""`darl fit`: from a recipe to a trained model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darl.cli.arguments import Quiet
from darl.cli.failures import sigterm_stops
from darl.cli.output import Output, put, put_json, working

if TYPE_CHECKING:
    from darl.errors import LabelsAwaitedError


def fit(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]…", help="Changes to the recipe, as in tune.epochs=1.", show_default=False),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run folder; default the recipe's `output`.")] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Do again what a changed recipe or changed data affects.")
    ] = False,
    quiet: Quiet = False,
    output: Annotated[Output, typer.Option(help="How to print the result.")] = "text",
) -> None:
    """Train a model: match, probe, tune, interpolate, calibrate; judged in and out of distribution.

    With `rounds` in the recipe: then picks pairs of the pool, and fits again with their labels. Where a person or a
    judge gives these it stops with exit code 3 and says which command labels; run again, it goes on.

    Stopped or killed, the same command resumes the run.
    """
    with sigterm_stops(), working(quiet=quiet):
        from darl.errors import LabelsAwaitedError
        from darl.training.pipeline import fit as run_fit
        from darl.training.processes import is_main

        try:
            result = run_fit(recipe, run=run, overrides=overrides or (), redo=redo, quiet=quiet)
        except LabelsAwaitedError as awaited:
            waiting = awaited
        else:
            waiting = None
    if not is_main():  # under torchrun one process speaks
        raise typer.Exit(waiting.exit_code if waiting else 0)
    if waiting is not None:
        again = [str(recipe), *(overrides or ()), *(["--run", str(run)] if run else [])]
        _say_what_is_awaited(waiting, f"darl fit {shlex.join(again)}", output)
        raise typer.Exit(waiting.exit_code)
    if output == "json":
        put_json({"folder": str(result.folder), "model": str(result.model_path), "metrics": result.metrics})
        return
    put(result.summary)
    put(f"\nmodel: {result.model_path}")
    put(f"next:  darl select {_model_and_pool(result.folder, result.model_path)} --budget 500 -o to_label.jsonl")


def _model_and_pool(folder: Path, model: Path) -> str:
    """For `darl select`: a pool that the recipe names is read with its columns, any other is named with them."""
    from darl.recipe.file import load_recipe

    words, saved = [str(model)], folder / "recipe.yaml"
    data = load_recipe(saved).data if saved.is_file() else None
    if data is None or data.pool is None:
        words.append("POOL")
        names = [f"{ours}={theirs}" for ours, theirs in (data.columns if data else {}).items() if ours != "grade"]
        words += ["--columns", ",".join(names)] if names else []
    return shlex.join(words)


def _say_what_is_awaited(waiting: LabelsAwaitedError, again: str, output: Output) -> None:
    if output == "json":
        facts = {"picked": waiting.picked, "labelled": waiting.labelled}
        put_json({"awaited": facts, "commands": [*waiting.commands, again]})
        return
    put(f"{waiting.what}: {waiting.picked}")
    for words, command in zip(("label them:", "then:", "and go on:"), (*waiting.commands, again), strict=True):
        put(f"  {words:<12}{command}")
    put(f"any other file of these pairs with a grade each will do: put it at {waiting.labelled}")
