"""`darl fit`: from a recipe to a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from darl.cli.arguments import Quiet
from darl.cli.output import Output, put, put_json, working


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
    """Train a model: probe, tune, interpolate, calibrate; judged in and out of distribution.

    Stopped or killed, the same command resumes the run.
    """
    with working(quiet=quiet):
        from darl.training.pipeline import fit as run_fit
        from darl.training.processes import is_main

        result = run_fit(recipe, run=run, overrides=overrides or (), redo=redo, quiet=quiet)
    if not is_main():  # under torchrun one process speaks
        return
    if output == "json":
        put_json({"folder": str(result.folder), "model": str(result.model_path), "metrics": result.metrics})
        return
    put(result.summary)
    put(f"\nmodel: {result.model_path}")
    put(f"next:  darl select {result.model_path} POOL --budget 500 -o to_label.jsonl")
