"""`darl evaluate` and `darl compare`: how good is a model, and is another one better?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from darl.cli.arguments import (
    Bootstrap,
    Columns,
    Device,
    Dtype,
    Quiet,
    Seed,
    SkipBad,
    Where,
    filters,
    listed,
    mapping,
    named_files,
)
from darl.cli.output import LongOutput, put, save, working

Files = Annotated[
    list[str], typer.Argument(metavar="[NAME=]FILE…", help="Graded pairs, one file a split.", show_default=False)
]
Save = Annotated[
    Path | None, typer.Option("--save", metavar="FILE", help="Also write the result: .md, .txt, or else JSON.")
]
Format = Annotated[LongOutput, typer.Option(help="How to print the result.")]


def evaluate(
    model: Annotated[Path, typer.Argument(help="The folder of a model, or of a run.", show_default=False)],
    files: Files,
    id_split: Annotated[
        str | None,
        typer.Option("--id", metavar="NAME", help="The split in the training distribution; default the first."),
    ] = None,
    slices: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN,…", help="Also by the values of these columns.")
    ] = None,
    columns: Columns = None,
    where: Where = None,
    skip_bad_rows: SkipBad = False,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    min_slice: Annotated[int, typer.Option(min=1, help="Pairs a slice needs to be shown.")] = 50,
    ood: Annotated[bool, typer.Option(help="Also by how far out the pairs are.")] = True,
    device: Device = None,
    dtype: Dtype = None,
    output: Format = "text",
    save_to: Save = None,
    quiet: Quiet = False,
) -> None:
    """Judge a model on graded pairs, with intervals and the gap between ID and OOD splits.

    A filter for one split alone carries its name: --where far:split=test_far
    """
    named = named_files(files)
    with working(quiet=quiet):
        from darl.evaluation import render
        from darl.verbs.evaluate import evaluate as run_evaluate
        from darl.verbs.inputs import as_model

        found = run_evaluate(
            as_model(model, device=device, dtype=dtype),
            named,
            id_split=id_split,
            slices=listed(slices),
            columns=mapping(columns, "--columns"),
            where=filters(where, list(named)),
            on_bad_rows="skip" if skip_bad_rows else "error",
            bootstrap=bootstrap,
            seed=seed,
            min_slice=min_slice,
            ood=ood,
            quiet=quiet,
        )
    if save_to is not None:
        save(save_to, render(found, _format_of(save_to)))
    put(render(found, output))


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The first model (or run).", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="The second model (or run).", show_default=False)],
    files: Files,
    columns: Columns = None,
    where: Where = None,
    skip_bad_rows: SkipBad = False,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    device: Device = None,
    output: Format = "text",
    save_to: Save = None,
    quiet: Quiet = False,
) -> None:
    """Say on which metrics B is better than A, and where the pairs cannot show it.

    As JSON: one comparison by the name of each file.
    """
    named = named_files(files)
    filtered = filters(where, list(named))
    with working(quiet=quiet):
        from darl.evaluation import render
        from darl.verbs.compare import compare as run_compare
        from darl.verbs.compare import model_names
        from darl.verbs.evaluate import filter_of
        from darl.verbs.inputs import as_model

        models = as_model(a, device=device), as_model(b, device=device)
        found = {
            name: run_compare(
                *models,
                file,
                names=model_names(a, b),
                columns=mapping(columns, "--columns"),
                where=filter_of(name, named, filtered),
                on_bad_rows="skip" if skip_bad_rows else "error",
                bootstrap=bootstrap,
                seed=seed,
                quiet=quiet,
            )
            for name, file in named.items()
        }

    def rendered(fmt: str) -> str:
        if fmt == "json":
            return json.dumps({name: json.loads(render(one, "json")) for name, one in found.items()}, indent=2)
        heading = "## {}\n\n" if fmt == "markdown" else "On {}\n\n"
        return "\n\n".join(heading.format(name) + render(one, fmt) for name, one in found.items())

    if save_to is not None:
        save(save_to, rendered(_format_of(save_to)))
    put(rendered(output))


def _format_of(path: Path) -> str:
    return {".md": "markdown", ".txt": "text"}.get(path.suffix.lower(), "json")
