"""`darl report`: one page with the pictures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from darl.cli.arguments import Quiet
from darl.cli.output import Output, note, put, put_json, working


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.", show_default=False)],
    baseline: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A run to set it against, as the naive LLM's.")
    ] = None,
    picked: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pairs that `darl select` chose, shown on the map.")
    ] = None,
    rounds: Annotated[
        list[Path] | None,
        typer.Option("--round", metavar="RUN", help="An earlier run, for the learning curve; repeatable, in order."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="HTML", help="Default RUN/report/report.html.")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Also write every chart as SVG and PNG, beside the page.")] = True,
    sample: Annotated[int, typer.Option(min=10, help="Pairs of each set, at most, on the map.")] = 600,
    seconds: Annotated[
        float, typer.Option(min=0, help="Time for the model to place pairs; the next call goes on from there.")
    ] = 10.0,
    quiet: Quiet = False,
    output: Annotated[Output, typer.Option(help="How to print the result.")] = "text",
) -> None:
    """Draw a run as one page: how good, what each stage brought, where it hurts, what to do next.

    The page is one file that opens from disk and asks the network for nothing. It shows texts of your pairs: share it
    as you would share them.
    """
    with working(quiet=quiet):
        from darl.report import build_report

        found = build_report(
            run,
            baseline=baseline,
            picked=picked,
            rounds=rounds or (),
            out=out,
            pictures=pictures,
            sample=sample,
            seconds=seconds,
            quiet=quiet,
        )
    if output == "json":
        put_json(found.to_dict())
        return
    for part in found.parts:
        if part.reads:
            put(f"{part.title} {part.reads}")
    for part in found.parts:
        if part.missing:
            note(f"not shown, {part.name}: {part.missing}")
    put(f"\npage: {found.page} ({found.bytes / 1e6:.1f} MB, {found.seconds:.0f} s)")
    if found.pictures:
        put(f"pictures: {found.pictures[0].parent} ({len(found.pictures)} files)")
