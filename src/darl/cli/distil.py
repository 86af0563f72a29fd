"""`darl distil`: a small model that answers like a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from darl.cli.arguments import Columns, Quiet, mapping, named_files
from darl.cli.failures import sigterm_stops
from darl.cli.output import Output, put, put_json, working


def distil(
    teacher: Annotated[Path, typer.Argument(help="The teacher: the folder of a run or model.", show_default=False)],
    pairs: Annotated[list[str], typer.Argument(help="Training pairs, graded or not.", show_default=False)],
    run: Annotated[Path, typer.Option("--run", help="The student's run folder.", show_default=False)],
    backbone: Annotated[str, typer.Option(help="The student's backbone.")] = "minilm-l6",
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", metavar="MODEL", help="A further teacher; repeatable, dev weighs each."),
    ] = None,
    dev_id: Annotated[
        str | None, typer.Option(metavar="FILE", help="Graded pairs for choices; default a cut by query.")
    ] = None,
    dev_ood: Annotated[
        str | None, typer.Option(metavar="FILE", help="A small graded sample of shifted traffic, for choices.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(metavar="[NAME=]FILE", help="Graded pairs for judging; repeatable, ID first.")
    ] = None,
    columns: Columns = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A change to the student's recipe.")
    ] = None,
    redo: Annotated[bool, typer.Option("--redo", help="Do again what a change affects.")] = False,
    quiet: Quiet = False,
    output: Annotated[Output, typer.Option(help="How to print the result.")] = "text",
) -> None:
    """Train a small model on a large one's grade probabilities, for the hot path.

    The teacher grades the pairs that have no grade. The small model, fitted on the graded pairs alone, is a teacher too
    (`--set teacher.itself=false`: not). Stopped or killed, the same command resumes the run.
    """
    names, tests = mapping(columns, "--columns"), named_files(test or [])
    with sigterm_stops(), working(quiet=quiet):
        from darl.training.distil import distil as run_distil

        result = run_distil(
            [teacher, *(also or [])],
            pairs,
            run=run,
            backbone=backbone,
            dev_id=dev_id,
            dev_ood=dev_ood,
            tests=tests,
            columns=names,
            overrides=change or (),
            redo=redo,
            quiet=quiet,
        )
    if output == "json":
        put_json({"folder": str(result.folder), "model": str(result.model_path), "metrics": result.metrics})
        return
    put(result.summary)
    put(f"\nmodel: {result.model_path}")
    put(f"next:  darl compare {teacher} {result.model_path} TEST")
