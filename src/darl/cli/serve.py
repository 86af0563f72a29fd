"""`darl serve`: a server that existing rerank clients can call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from darl.cli.arguments import Device, Dtype
from darl.cli.output import put, put_json


def serve(
    model: Annotated[
        Path | None, typer.Argument(help="The folder of a model, or of a run.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]…", help="Any other setting, as in max_documents=200.", show_default=False),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of settings.")] = None,
    host: Annotated[str | None, typer.Option(help="Where to listen; default 127.0.0.1, this machine alone.")] = None,
    port: Annotated[int | None, typer.Option(help="Default 8080; 0: any free one.")] = None,
    name: Annotated[str | None, typer.Option(help="What replies call the model.")] = None,
    device: Device = None,
    dtype: Dtype = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that each hold the model; default one a core, four at most.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads of each worker.")] = None,
    ood: Annotated[
        str | None, typer.Option(help="How far out each pair is, at a second pass: asked (default), always, never.")
    ] = None,
    api_keys_file: Annotated[Path | None, typer.Option(help="One API key a line; default: none is asked for.")] = None,
    traffic_log: Annotated[Path | None, typer.Option(help="A folder for the log of what was served.")] = None,
    traffic_sample: Annotated[float | None, typer.Option(help="The share of requests it keeps; default 1.")] = None,
    traffic_texts: Annotated[str | None, typer.Option(help="hashed (default) or plain.")] = None,
    traffic_columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Columns more, of the requests' X-Traffic-Columns; by commas.")
    ] = None,
    watch_seconds: Annotated[float | None, typer.Option(help="Look for a new model in the folder this often.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info (default), warning, error.")] = None,
    log_texts: Annotated[bool | None, typer.Option("--log-texts", help="Write texts into the log.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the settings as JSON and leave.")] = False,
) -> None:
    """Serve a model to the clients of Cohere, Jina, TEI, vLLM and Elasticsearch, and at /v1/relevance.

    Every setting can also come from the environment (DARL_SERVE_PORT=9000) or the file of --config.
    SIGTERM answers what was accepted and stops; SIGHUP loads a new model from the same folder.
    """
    from darl.serving.logs import start_json_logs
    from darl.serving.server import serve as run
    from darl.serving.settings import load_settings

    texts = [str(model)] if model is not None and "=" in str(model) and not model.exists() else []
    flags = {
        "model": None if texts else model, "host": host, "port": port, "name": name, "device": device,
        "dtype": dtype,
        "workers": workers, "threads": threads, "ood": ood, "api_keys_file": api_keys_file,
        "traffic_log": traffic_log, "traffic_sample": traffic_sample, "traffic_texts": traffic_texts,
        "traffic_columns": traffic_columns, "watch_seconds": watch_seconds, "log_level": log_level,
        "log_texts": log_texts,
    }  # fmt: skip
    for text in [*texts, *(settings or [])]:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
        flags[key.strip()] = value
    found = load_settings(config, **flags)
    if show:
        put_json(found.model_dump(mode="json"))
        return
    start_json_logs(found.log_level)
    run(found, announce=_announce)


def _announce(url: str) -> None:
    put(f"darl serves at {url}")
    sys.stdout.flush()  # it may be a pipe, and whoever reads it waits
