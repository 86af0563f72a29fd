"""darl: the command. Each group of commands stands in a file of its own and is registered here."""

from __future__ import annotations

from typing import Annotated

import typer

from darl.cli import (
    backbones,
    demo,
    distil,
    doctor,
    drift,
    evaluate,
    export,
    fit,
    judge,
    label,
    recipe,
    report,
    score,
    select,
    serve,
)
from darl.cli.failures import DarlGroup
from darl.cli.output import put, start_logging
from darl.memory import keep_freed_memory

app = typer.Typer(
    name="darl",
    cls=DarlGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

TRAIN = ("fit", "distil", "demo")
WORK, LOOK = "The work", "Help on the way"
app.command("fit", rich_help_panel=WORK)(fit.fit)
app.command("evaluate", rich_help_panel=WORK)(evaluate.evaluate)
app.command("compare", rich_help_panel=WORK)(evaluate.compare)
app.command("score", rich_help_panel=WORK)(score.score)
app.command("distil", rich_help_panel=WORK)(distil.distil)
app.command("drift", rich_help_panel=WORK)(drift.drift)
app.command("export", rich_help_panel=WORK)(export.export)
app.command("select", rich_help_panel=WORK)(select.select)
app.command("serve", rich_help_panel=WORK)(serve.serve)
app.command("report", rich_help_panel=WORK)(report.report)
app.add_typer(label.app, name="label", rich_help_panel=WORK)
app.command("judge", rich_help_panel=WORK)(judge.judge)
app.add_typer(recipe.app, name="recipe", rich_help_panel=LOOK)
app.add_typer(backbones.app, name="backbones", rich_help_panel=LOOK)
app.command("demo", rich_help_panel=LOOK)(demo.demo)
app.command("doctor", rich_help_panel=LOOK)(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        import darl

        put(f"darl {darl.__version__}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Graded search relevance with LLMs that holds up when the traffic shifts.

    Begin with [bold]darl demo[/bold] to see it work, or [bold]darl recipe init[/bold] for data of your own.
    """
    start_logging()
    if context.invoked_subcommand in TRAIN:  # their batches are small, and what a job holds is bounded by its model
        keep_freed_memory()


if __name__ == "__main__":
    app(prog_name="darl")
