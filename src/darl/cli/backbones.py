"""`darl backbones`: the embedded ones, listed and fetched."""

from __future__ import annotations

from typing import Annotated

import typer

from darl.cli.output import Output, put, put_json, put_table, working

app = typer.Typer(invoke_without_command=True, help="List the embedded backbones, or fetch one.")


@app.callback()
def backbones(
    context: typer.Context, output: Annotated[Output, typer.Option(help="How to print the list.")] = "text"
) -> None:
    """List the embedded backbones: pretrained models that come from the package index, no hub needed."""
    if context.invoked_subcommand is not None:
        return
    from darl.model.embedded import EMBEDDED, cache_root
    from darl.model.embedded.unpack import is_complete

    here = {name: is_complete(cache_root() / "backbones" / name) for name in EMBEDDED}
    if output == "json":
        fields = ("name", "kind", "text", "licence", "about")
        put_json([{f: getattr(one, f) for f in fields} | {"fetched": here[one.name]} for one in EMBEDDED.values()])
        return
    rows = [
        [one.name, one.kind, one.text, one.licence, "here" if here[one.name] else "not yet", one.about]
        for one in EMBEDDED.values()
    ]
    put_table(["name", "kind", "text", "licence", "fetched", "about"], rows)


@app.command()
def fetch(names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Which ones.", show_default=False)]) -> None:
    """Download, check and unpack embedded backbones into the cache; nothing happens where they are."""
    for name in names:
        with working():
            from darl.model.embedded import fetch_embedded

            folder = fetch_embedded(name)
        put(f"{name}: {folder}")
