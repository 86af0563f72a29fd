"""ServeSettings: everything that `darl serve` can be told, by flag, environment, file, or not at all.

The order of precedence: flags, then ``DARL_SERVE_*`` variables, then the file, then the defaults here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator

from darl.errors import MissingExtraError, RecipeError, StorageError
from darl.storage import storage_errors

try:
    from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
except ImportError as error:
    raise MissingExtraError(
        f"serving needs a package that is not installed ({error.name})", mend="pip install 'darl[serve]'"
    ) from error

PREFIX = "DARL_SERVE_"
MIB = 1024 * 1024
COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,49}")
LOGGED_COLUMNS = (
    "time", "request_id", "query", "item", "query_hash", "item_hash", "grade", "probabilities", "relevance_score",
    "ood_score", "ood_percentile", "model_version", "dialect", "latency_ms",
)  # fmt: skip
"""The traffic log's own columns."""


class ServeSettings(BaseSettings):
    """Settings of a server; :func:`load_settings` reads them.

    >>> ServeSettings(model="runs/shop/model").port
    8080
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", protected_namespaces=())

    model: Path
    """The folder of a model, or of a run."""
    name: str | None = None
    """What replies call the model; default the folder's name."""

    host: str = "127.0.0.1"
    """Where to listen: this machine alone, unless told otherwise."""
    port: int = Field(8080, ge=0, le=65535)
    """0: any free one."""
    docs: bool = True
    """Serve the OpenAPI schema at ``/openapi.json`` and its page at ``/docs``."""
    playground: bool = True
    """Serve the page at ``/`` on which people try the model."""

    device: str | None = None
    """cpu, cuda, cuda:1 …; default a GPU where there is one."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """What the model computes in; default what it was saved in, and float32 where the machine would emulate it."""
    workers: int | None = Field(None, ge=1, le=64)
    """Processes that each hold the model; default on a processor one a core, four at most, and on a GPU one."""
    threads: int | None = Field(None, ge=1)
    """Processor threads of each worker; default all cores, shared out."""
    spare: bool = True
    """Keep one more process with the libraries loaded, so that a dead worker is replaced in a second or two."""

    ood: Literal["asked", "always", "never"] = "asked"
    """When to say how far out a pair is: it costs a second forward pass."""
    ood_flag_at: float = Field(95.0, ge=0, le=100)
    """The percentile from which a pair is flagged."""
    nearest: bool = False
    """Read the run's training pairs, so that clients may ask which are nearest; whoever may ask sees their texts."""

    batch_tokens: int = Field(4096, ge=1)
    """The most tokens of a batch."""
    batch_seconds: float = Field(0.1, gt=0)
    """How long a batch should take: on slow machines it is made smaller than ``batch_tokens``."""
    prefix_cache_mb: int = Field(256, ge=0)
    """MiB in which each worker keeps what a causal LLM computed for the prompt and for queries, so that a query that
    comes again costs only its items; 0: nothing is kept. On a processor alone."""
    max_queue_tokens: int = Field(262_144, ge=1)
    """Accepted work that waits; beyond it requests are refused with 429."""
    max_wait_seconds: float = Field(10.0, gt=0)
    """Refuse with 429 what would wait longer than this, by the speed measured so far."""
    deadline_seconds: float = Field(30.0, gt=0)
    """Give a request up after this long."""
    worker_timeout_seconds: float = Field(60.0, gt=0)
    """Restart a worker that has not answered a batch for this long."""
    drain_seconds: float = Field(30.0, ge=0)
    """How long accepted requests may take after SIGTERM."""

    max_body_bytes: int = Field(8 * MIB, ge=1)
    max_documents: int = Field(1000, ge=1)
    max_text_chars: int = Field(100_000, ge=1)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Any of these opens the server; in the environment separated by commas. None: no key is asked for."""
    api_keys_file: Path | None = None
    """A file with one key a line."""

    watch_seconds: float | None = Field(None, gt=0)
    """Look at the model folder this often, and load what has changed."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_texts: bool = False
    """Write queries and items into the log."""

    traffic_log: Path | None = None
    """A folder for the traffic log, which `darl drift` and `darl select` read."""
    traffic_sample: float = Field(1.0, gt=0, le=1)
    """The share of requests that it keeps."""
    traffic_texts: Literal["plain", "hashed"] = "hashed"
    traffic_columns: Annotated[tuple[str, ...], NoDecode] = ()
    """Columns more, as the requests' ``X-Traffic-Columns`` says: names separated by commas."""
    traffic_salt: SecretStr | None = None
    """Keys the hashes of texts, so that nobody without it can guess texts from them."""
    traffic_rows: int = Field(50_000, ge=1)
    """Rows of a file of the traffic log."""
    traffic_seconds: float = Field(300.0, gt=0)
    """A file is written at the latest after this long."""
    traffic_max_bytes: int = Field(1024 * MIB, ge=1)
    """The oldest files go when the traffic log is larger."""

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        keys = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        blank = not keys if isinstance(value, str) else isinstance(keys, (list, tuple)) and any(map(_is_blank, keys))
        if blank:  # a variable that was meant to hold a key must not leave the server open
            raise ValueError("holds no key: write keys separated by commas, or take the setting away")
        return keys

    @field_validator("traffic_columns", mode="before")
    @classmethod
    def _split_columns(cls, value: Any) -> Any:
        parts = value.split(",") if isinstance(value, str) else value
        names = tuple(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))
        if wrong := [name for name in names if not COLUMN_NAME.fullmatch(name) or name in LOGGED_COLUMNS]:
            raise ValueError(f"{wrong[0]!r} cannot be a column of the traffic log: letters, digits, _, and a new name")
        return names

    def all_keys(self) -> tuple[str, ...]:
        """The keys given directly and those of the file.

        Raises:
            StorageError: the file cannot be read.
            RecipeError: the file holds no key, which would leave the server open.
        """
        keys = [key.get_secret_value() for key in self.api_keys]
        if self.api_keys_file is not None:
            with storage_errors(self.api_keys_file):
                lines = self.api_keys_file.read_text(encoding="utf-8").splitlines()
            found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            if not found:
                raise RecipeError("holds no key", where=self.api_keys_file, mend="write one key a line")
            keys += found
        return tuple(keys)

    @property
    def model_name(self) -> str:
        folder = Path(os.path.abspath(self.model))
        return self.name or (folder.parent.name if folder.name == "model" and folder.parent.name else folder.name)


def load_settings(file: str | Path | None = None, **flags: Any) -> ServeSettings:
    """Settings from flags, environment, file and defaults, in this order of precedence.

    Args:
        file: YAML, the names as here.
        flags: what is None counts as not given.

    Raises:
        StorageError: the file cannot be read.
        RecipeError: an unknown name or an unfit value, with the place it comes from.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    from_file = _read(Path(file)) if file is not None else {}
    unknown = sorted({*from_file, *given} - set(ServeSettings.model_fields))
    if unknown:
        where = file if unknown[0] in from_file else None
        raise RecipeError(f"there is no setting {unknown[0]!r}", where=where, mend="`darl serve --help` lists them")
    in_environment = {name for name in ServeSettings.model_fields if (PREFIX + name).upper() in _environment()}
    merged = {name: value for name, value in from_file.items() if name not in in_environment} | given
    try:
        return ServeSettings(**merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        place = (
            f"--{name.replace('_', '-')}"
            if name in given
            else (PREFIX + name).upper()
            if name in in_environment
            else f"{file}: {name}"
            if name in from_file
            else name
        )
        mend = (
            "name the model's folder" if first["type"] == "missing" else "see the table of settings in docs/serving.md"
        )
        raise RecipeError(first["msg"].removeprefix("Value error, "), where=place, mend=mend) from error


def _is_blank(key: Any) -> bool:
    text = key.get_secret_value() if isinstance(key, SecretStr) else key
    return isinstance(text, str) and not text.strip()


def _environment() -> set[str]:
    return {name.upper() for name in os.environ}


def _read(file: Path) -> dict[str, Any]:
    with storage_errors(file):
        text = file.read_text(encoding="utf-8")
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise StorageError(f"is not YAML ({error})", where=file, mend="write `name: value` lines") from error
    if not isinstance(found, dict):
        raise RecipeError("holds no settings", where=file, mend="write `name: value` lines")
    return {str(name): value for name, value in found.items()}
