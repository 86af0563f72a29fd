"""`darl recipe`: begin one, look at one whole, know its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from darl.cli.arguments import Columns, mapping
from darl.cli.output import note, put, put_json
from darl.errors import StorageError
from darl.storage import atomic_write_text

app = typer.Typer(no_args_is_help=True, help="Begin a recipe, see one whole, list every key.")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("recipe.yaml"),
    train: Annotated[
        str | None, typer.Option(metavar="FILE", help="Your graded pairs: columns and grades are read from them.")
    ] = None,
    columns: Columns = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a short commented recipe to edit."""
    from darl.recipe.template import recipe_template

    if path.exists() and not force:
        raise StorageError(
            "there is a file already", where=path, mend="choose another name, or replace it with --force"
        )
    facts, names = {}, mapping(columns, "--columns")
    if names and train is None:
        raise typer.BadParameter("it says which column of --train is which: give that too", param_hint="--columns")
    if train is not None:
        from darl.recipe.guess import guess_data

        facts = guess_data(train, path.parent, names)
        facts["columns"] = {**names, **facts["columns"]}
    atomic_write_text(path, recipe_template(file=str(path), **facts))
    put(f"wrote {path}")
    if facts and not facts["grades"][0].removeprefix("grade ").isdecimal():  # numbers come in their order
        note("the grade names are in alphabetical order: put the least relevant first")
    note(f"edit the parts marked (1) to (4), then: darl fit {path}")


@app.command()
def show(
    recipe: Annotated[Path, typer.Argument(help="The recipe.", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="Changes to it.", show_default=False)
    ] = None,
) -> None:
    """Check a recipe and print it whole, every key with its value."""
    from darl.recipe.file import load_recipe, recipe_to_yaml

    put(recipe_to_yaml(load_recipe(recipe, overrides or ())))


@app.command()
def schema() -> None:
    """Print the JSON schema of recipes, for an editor's completion."""
    from darl.recipe.file import recipe_schema

    put_json(recipe_schema())
