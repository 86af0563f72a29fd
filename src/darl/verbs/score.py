"""score: a result for every pair of a file, in the file's order, beside the columns that were there."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import darl
from darl.cores import usable_cores
from darl.errors import DataError
from darl.memory import FreedMemory, give_back_memory
from darl.model import RelevanceModel
from darl.model.encoding import EncodedPairs
from darl.model.scorer import PairScorer
from darl.model.scores import Scores
from darl.pairs.formats import file_kind
from darl.pairs.sources import source_files
from darl.progress import Reporter
from darl.verbs.ahead import ahead
from darl.verbs.chunk_writer import chunk_writer
from darl.verbs.inputs import OnBadRows, as_scorer
from darl.verbs.score_parts import ScoreParts
from darl.verbs.score_source import ScoreSource, Shard, open_score_source

# Shards in, (number, results) out in any order, closed at the end; the options are those of PairScorer.score_encoded.
# One with `begin` and `end`, as RayEngine has, is begun while the model loads.
ShardEngine = Callable[[Iterator[Shard], dict[str, Any]], Generator[tuple[int, pa.Table], None, None]]
CHUNK = 2048  # pairs sorted by length together: enough for even batches, and a result every few seconds
PREFIX = "darl_"
# Distinct tokens of a job's passes in float32 on a CPU, fewer than the model's own: what a pass takes is given back
# after it, so larger ones take more and are no quicker. Against 4,096 tokens, MiniLM-L6 took .93 to .97 of the time on
# three sets. Where pairs share prefixes each pass computes its own: SmolLM2-135M took .99 with twice as many as these,
# 1.02 with these. In half precision a pass is two side by side.
TOKENS_PER_PASS = 1024
FEW_CORES = 2  # measured: on two, 20,000 pairs take as long whether the next shard is read beside the passes or between


@dataclass(frozen=True)
class ScoreResult:
    """What :func:`score_pairs` did.

    Attributes:
        pairs: how many were scored. seconds: how long it took, loading the model aside.
        columns: the names of the result's columns, in order.
        path: the file written, or None. table: the whole result where no file was asked for, or None.
        left_out: rows of the source that could not be parsed, with ``on_bad_rows="skip"``.
    """

    pairs: int
    seconds: float
    columns: tuple[str, ...]
    path: Path | None = None
    table: pa.Table | None = None
    left_out: int = 0

    @property
    def pairs_per_second(self) -> float:
        return self.pairs / max(self.seconds, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the table."""
        rate = round(self.pairs_per_second, 1)
        return {
            "pairs": self.pairs,
            "left_out": self.left_out,
            "seconds": round(self.seconds, 3),
            "pairs_per_second": rate,
            "columns": list(self.columns),
            "path": None if self.path is None else str(self.path),
        }


def score_pairs(
    model: PairScorer | str | Path,
    source: Any,
    out: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    on_bad_rows: OnBadRows = "error",
    ood: bool = True,
    prefix: str | None = None,
    chunk: int = CHUNK,
    tokens_per_batch: int | None = None,
    engine: ShardEngine | None = None,
    quiet: bool = True,
) -> ScoreResult:
    """Score every pair of a source; one result a pair, in the source's order, all its columns kept.

    Grades are not needed, pairs that stand twice are scored twice, and any text is scored, an empty or missing
    one as the empty text. The result's columns (``grade``, ``grade_name``, ``relevance_score``, ``p_<grade>``,
    ``ood_score``, ``ood_percentile``) come last.

    Args:
        model: a model or an export of one, or the folder of a model or of a run.
        source: a table, or anything that :func:`darl.read_pairs` reads.
        out: the file to write, whole or not at all: ``.parquet``, ``.jsonl``, ``.csv`` or ``.tsv``.
            A job over files that is killed goes on with the same call, from what it keeps in a hidden folder
            beside ``out``. None: the result is in memory, as ``table``.
        columns: {``query`` or ``item``: the source's column}; common names need none.
        where: only pairs with these column values.
        on_bad_rows: ``skip`` leaves out lines that cannot be parsed, and says how many; ``error`` refuses them.
        ood: also say how far out each pair is, where the model has a reference; costs a second pass.
        prefix: before the names of the result's columns; default none, or ``darl_`` where the source already
            has one of them.
        chunk: pairs held and scored at a time; the source itself may be larger than memory.
        tokens_per_batch: distinct tokens of a forward pass; default in float32 on a CPU 1,024, twice as many
            where pairs share prefixes; else the model's own.
        engine: does the shards elsewhere, as :class:`darl.scale_out.RayEngine` does; needs files and ``out``.
        quiet: no progress on standard error.

    Raises:
        ModelError: the model cannot be loaded.
        DataError: the source cannot be read, ``out`` is one of its files, or ``engine`` got no files.
        StorageError: ``out`` cannot be written.
    """
    if out is not None:
        check_target(out, source)
    pairs = open_score_source(source, columns=columns, where=where, on_bad_rows=on_bad_rows, size=chunk)
    resumable = out is not None and pairs.in_files() and (pairs.shards > 1 or engine is not None)
    if engine is not None and not resumable:
        raise DataError("only a file can be scored into a file by an engine", mend="name both, or leave the engine out")
    with ExitStack() as stack:
        model = _loaded(model, engine, stack)
        ood = ood and model.ood is not None
        names = _result_names(pairs.schema.names, model, ood, prefix)
        reporter, start = Reporter(quiet=quiet), time.monotonic()
        parts = None
        if resumable:
            job = {"darl": darl.__version__, "pairs": pairs.fingerprint(), "model": model.fingerprint()}
            parts = ScoreParts(Path(out), job | {"ood": ood, "names": names, "chunk": chunk})  # type: ignore[arg-type]
        done = 0 if parts is None else sum(parts.has(shard) for shard in range(pairs.shards))
        if done:
            reporter.say(f"going on after {done:,} of {pairs.shards:,} shards that an earlier call has scored")
        tokens = tokens_per_batch or _tokens_per_pass(model)
        budget = {} if tokens is None else {"tokens_per_batch": tokens}
        waiting = max(0, pairs.rows - done * chunk)
        with reporter.bar("scoring", waiting) as advance:
            options = {"ood": ood} | budget
            # results that are kept come beside the other columns at the end
            scored = pairs if parts is None else pairs.texts_alone()
            if engine is not None and parts is not None:
                _elsewhere(engine, scored, parts, names, advance, options)
            results = _results(model, scored, parts, names, advance, options)
            if out is None:
                whole = pa.concat_tables(list(results))
                return ScoreResult(pairs.rows, time.monotonic() - start, names, None, whole, pairs.left_out)
            if parts is not None:  # all scored before the file is begun, so that it is begun once
                for shard in results:
                    del shard
                results = _beside(pairs, parts)
            with chunk_writer(out) as write:
                for table in results:
                    write(table)
        if parts is not None:
            parts.remove()
        return ScoreResult(pairs.rows, time.monotonic() - start, names, Path(out), None, pairs.left_out)


def _loaded(model: PairScorer | str | Path, engine: ShardEngine | None, stack: ExitStack) -> PairScorer:
    """The model, loaded while an engine starts that has something to start; ``stack`` ends it, whatever comes."""
    begin = getattr(engine, "begin", None)
    if begin is None or not isinstance(model, (str, Path)):
        return as_scorer(model)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(as_scorer, model)
        begin()
        stack.callback(engine.end)  # type: ignore[union-attr]
        return loading.result()


def _tokens_per_pass(model: PairScorer) -> int | None:
    """None: as many as the scorer likes."""
    if not isinstance(model, RelevanceModel) or model.network.device.type != "cpu":
        return None
    if model.network.dtype != torch.float32:
        return None
    return 2 * TOKENS_PER_PASS if model.shares_prefixes else TOKENS_PER_PASS


def _core_to_spare(model: PairScorer) -> bool:
    """Whether reading ahead has a core of its own; where the model works on all there are it gains no time, and its
    memory comes on top of a pass's, more or less as the two happen to meet."""
    on_cpu = not isinstance(model, RelevanceModel) or model.network.device.type == "cpu"
    return not on_cpu or usable_cores() > FEW_CORES


def _results(
    model: PairScorer,
    pairs: ScoreSource,
    parts: ScoreParts | None,
    names: tuple[str, ...],
    advance: Callable[[int], None],
    options: dict[str, Any],
) -> Iterator[pa.Table]:
    """Each shard with its results; with a core to spare the next one is read and tokenised while the model works."""

    def prepared() -> Generator[tuple[Shard, EncodedPairs], None, None]:
        for shard in pairs:
            if parts is None or not parts.has(shard.number):
                yield shard, model.encode(queries=shard.queries, items=shard.items)

    give_back_memory()  # what reading the source through has left, which grows with the source
    freed = FreedMemory()

    def after_a_batch(scored: int) -> None:
        advance(scored)
        freed.give_back_if_much()

    with closing(ahead(prepared()) if _core_to_spare(model) else prepared()) as shards:
        for shard, encoded in shards:
            scores = model.score_encoded(encoded, progress=after_a_batch, **options)
            found = scores.to_arrow().rename_columns(list(names))
            if parts is not None:
                parts.write(shard.number, found)
            yield _append(shard.table, found)


def _elsewhere(
    engine: ShardEngine,
    pairs: ScoreSource,
    parts: ScoreParts,
    names: tuple[str, ...],
    advance: Callable[[int], None],
    options: dict[str, Any],
) -> None:
    """Every shard that is missing, scored by the engine and kept."""
    missing = ahead(shard for shard in pairs if not parts.has(shard.number))
    with closing(missing), closing(engine(missing, options)) as results:
        for number, found in results:
            parts.write(number, found.rename_columns(list(names)))
            advance(found.num_rows)


def _beside(pairs: ScoreSource, parts: ScoreParts) -> Iterator[pa.Table]:
    """Each shard's own columns beside the results that were kept."""
    for shard in pairs:
        yield _append(shard.table, parts.read(shard.number))


def _append(table: pa.Table, results: pa.Table) -> pa.Table:
    for name, column in zip(results.column_names, results.columns, strict=True):
        table = table.append_column(name, column)
    return table


def _result_names(columns: list[str], model: PairScorer, ood: bool, prefix: str | None) -> tuple[str, ...]:
    """The result's columns under names that the source does not have."""
    none = np.zeros(0)
    probabilities, grades = np.zeros((0, model.scale.size)), np.zeros(0, dtype=np.int64)
    names = Scores(model.scale, probabilities, grades, none, *((none, none) if ood else ())).to_arrow().column_names
    taken = set(columns)
    if prefix is None:
        prefix = "" if not taken & set(names) else PREFIX
        while taken & {prefix + name for name in names}:
            prefix += "_"
    clash = sorted(taken & {prefix + name for name in names})
    if clash:
        raise DataError(f"the source already has a column {clash[0]!r}", mend="choose another prefix")
    return tuple(prefix + name for name in names)


def check_target(out: str | Path, source: Any) -> None:
    """Refuses a file that cannot be written as a result, or that is one of the sources."""
    kind, gzipped = file_kind(out)
    if kind == "parquet" and gzipped:
        raise DataError("Parquet is compressed already", where=out, mend="leave out .gz")
    for path in source_files(source):
        if Path(out).resolve() == path.resolve():
            raise DataError("the result would overwrite the pairs", where=out, mend="write to another file")
