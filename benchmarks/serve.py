"""The server under load, against a loop that scores one request at a time with the same model.

    python benchmarks/serve.py                       # minilm-l6 and smollm2-135m, 100,000 requests for the memory
    python benchmarks/serve.py --backbones minilm-l6 --seconds 5 --memory 200 1000    # a quick look

For each backbone (with a fresh head: the speed does not depend on the weights):

1. the naive loop: `model.score` on one request after the other, in a process of its own, no HTTP;
2. 32 clients, each query of the world once and none seen before (`unseen`); from then on every query has been seen, and
   an LLM's server may have kept what it computed for it;
3. 32 clients in a closed loop, lists of 1, 10 and 100 items; at list length 1 in turn with the naive loop, three times
   each, and saturation is the median of what they reach;
4. arrivals at 70 % of saturation, three times: p50 and p99;
5. arrivals beyond saturation on a server with a short queue: what is refused is refused with 429, and quickly;
6. resident memory of server and workers after 5,000 and after 100,000 requests: minilm-l6 by 8 clients with lists of
   all lengths, an LLM (only with `--memory-of`, it takes an hour) by 32 clients with lists of one.

`throughput_ratio_32` is the smallest ratio of medians at list length 1, `unseen_ratio_32` that with `unseen`,
`p99_over_p50` the largest median of a backbone, `lost` every request without an answer or with one that is neither 200
nor 429, `memory_growth` the last over the first, less one, of the backbone that grows most. Rows of backbones or parts
that were not asked for stay in the file, with their commit and machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from darl.demo.world import make_world
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.storage import atomic_write_json
from http_load import Load, arrivals, closed_loop, request_bytes
from machine import commit, machine

RESULTS = Path(__file__).resolve().parent / "results" / "serve.json"
CLIENTS = 32
WARM = 3  # requests that are not counted
LISTS = (1, 10, 100)
REPEATS = 3
SHARE, BEYOND = 0.7, 2.0  # of saturation
MIXED = "minilm-l6"  # quick enough for a hundred thousand lists of all lengths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["minilm-l6", "smollm2-135m"])
    parser.add_argument("--seconds", type=float, default=60, help="of each measurement")
    parser.add_argument("--memory", type=int, nargs="+", default=[5_000, 100_000], help="requests before each reading")
    parser.add_argument("--memory-of", nargs="+", default=[MIXED], help="backbones whose memory is measured")
    parser.add_argument("--parts", nargs="+", choices=("load", "memory"), default=["load", "memory"])
    parser.add_argument("--threads", type=int, help="of the model, in the loop and the worker alike")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--naive", type=Path, help=argparse.SUPPRESS)  # how the benchmark calls itself
    parser.add_argument("--length", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.naive:
        run_naive(args)
        return
    rows = kept_rows(args.out, args.backbones, args.parts)
    old = len(rows)
    with tempfile.TemporaryDirectory() as folder:
        for backbone in args.backbones:
            model = Path(folder) / backbone
            fresh = RelevanceModel.from_backbone(backbone, GradeScale(("irrelevant", "weak", "strong")))
            fresh.save_pretrained(model)
            del fresh
            gc.collect()
            gc.freeze()  # the clients live here: looking through all that torch brought would hold them up .2 s
            if "load" in args.parts:
                rows += asyncio.run(under_load(model, backbone, args))
            if "memory" in args.parts and backbone in args.memory_of:
                rows += asyncio.run(memory(model, backbone, args))
    command = ("python benchmarks/serve.py " + " ".join(sys.argv[1:])).strip()
    here = {"commit": commit(), "command": command, "machine": machine()}
    rows[old:] = [row | here for row in rows[old:]]
    for row in rows:
        print(json.dumps(row))
    found = headline(rows)
    print(json.dumps(found))
    atomic_write_json(
        args.out,
        {
            "benchmark": "serve", "command": command, "commit": commit(), "machine": machine(),
            "headline": found, "rows": rows,
        },
    )  # fmt: skip


def headline(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of the docstring, from the rows."""

    def speed(what: str, backbone: str) -> float:
        found = [row for row in rows if row["what"] == what and row["list"] == 1]
        return statistics.median(row["per_second"] for row in found if row["backbone"] == backbone)

    def tail(backbone: str) -> float:
        found = [row for row in rows if row["what"] == "share" and row["backbone"] == backbone]
        return statistics.median(row["p99"] / row["p50"] for row in found)

    backbones = dict.fromkeys(row["backbone"] for row in rows if row["what"] != "memory")
    if not backbones:  # only the memory was looked at so far
        return _growth(rows)
    begun = dict.fromkeys(row["backbone"] for row in rows if row["what"] == "unseen")
    found = {
        "throughput_ratio_32": min(speed("closed", one) / speed("naive", one) for one in backbones),
        "unseen_ratio_32": min((speed("unseen", one) / speed("naive", one) for one in begun), default=0.0),
        "p99_over_p50": max(tail(one) for one in backbones),
        "lost": sum(row.get("lost", 0) for row in rows),
        "refused_p99_seconds": max((row["refused_p99"] or 0.0 for row in rows if row["what"] == "beyond"), default=0.0),
    }
    return found | _growth(rows)


def _growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    read: dict[str, list[int]] = {}
    for row in rows:
        if row["what"] == "memory":
            read.setdefault(row["backbone"], []).append(row["bytes"])
    return {"memory_growth": max(found[-1] / found[0] - 1 for found in read.values())} if read else {}


def kept_rows(path: Path, measured: list[str], parts: list[str]) -> list[dict[str, Any]]:
    """The rows of other backbones, or of the part that is not measured, that the file holds already."""
    if not path.exists():
        return []
    before = json.loads(path.read_text(encoding="utf-8"))
    made = {key: before[key] for key in ("commit", "command", "machine")}

    def anew(row: dict[str, Any]) -> bool:
        return row["backbone"] in measured and ("memory" if row["what"] == "memory" else "load") in parts

    return [made | row for row in before["rows"] if not anew(row)]


# -------------------------------------------------------------------------------------------------- loads


def naive_loop(model: Path, backbone: str, length: int, seconds: float, args: argparse.Namespace) -> dict[str, Any]:
    """The loop in a process of its own, so that it is alone with the model, as a worker is."""
    threads = ["--threads", str(args.threads)] if args.threads else []
    where = ["--naive", str(model), "--length", str(length)]
    command = [sys.executable, __file__, *where, "--seconds", str(seconds), *threads]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    (line,) = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {"what": "naive", "backbone": backbone, **line}


def run_naive(args: argparse.Namespace) -> None:
    """Requests a second of `model.score`, one request after the other."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    model = RelevanceModel.from_pretrained(args.naive)
    source, done, begin = bodies(args.length), -WARM, time.monotonic()
    while done < 1 or time.monotonic() - begin < args.seconds:
        query, items = next(source)
        model.score(queries=[query] * args.length, items=items, ood=False)
        done += 1
        if done == 0:
            begin = time.monotonic()
    print(json.dumps({"list": args.length, "per_second": done / (time.monotonic() - begin)}))


async def under_load(model: Path, backbone: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    patient = ["max_wait_seconds=100000", "deadline_seconds=100000", "max_queue_tokens=100000000"]
    with server(model, args, *patient) as (address, _):
        warm = itertools.repeat(post("a query of no world", ["an item of no world"]))
        await closed_loop(address, warm, clients=CLIENTS, count=3 * CLIENTS)
        once = list(each_query_once())
        load = await closed_loop(address, iter(once), clients=CLIENTS, count=len(once))
        rows.append({"what": "unseen", "backbone": backbone, "list": 1, **figures(load)})
        print(json.dumps(rows[-1]), flush=True)
        for length in LISTS:
            for _ in range(REPEATS if length == 1 else 1):
                seconds = args.seconds / (REPEATS if length == 1 else 1)
                rows.append(naive_loop(model, backbone, length, seconds, args))
                print(json.dumps(rows[-1]), flush=True)
                load = await closed_loop(address, posts(length), clients=CLIENTS, seconds=seconds)
                rows.append({"what": "closed", "backbone": backbone, "list": length, **figures(load)})
                print(json.dumps(rows[-1]), flush=True)
        saturation = statistics.median(r["per_second"] for r in rows if r["what"] == "closed" and r["list"] == 1)
        for _ in range(REPEATS):
            load = await arrivals(address, posts(1), per_second=SHARE * saturation, seconds=args.seconds)
            rows.append({"what": "share", "backbone": backbone, "list": 1, "rate": SHARE * saturation, **figures(load)})
            print(json.dumps(rows[-1]), flush=True)
    with server(model, args, "max_wait_seconds=1") as (address, _):
        await closed_loop(address, posts(1), clients=CLIENTS, count=3 * CLIENTS)
        load = await arrivals(address, posts(1), per_second=BEYOND * saturation, seconds=args.seconds)
        rows.append({"what": "beyond", "backbone": backbone, "list": 1, "rate": BEYOND * saturation, **figures(load)})
        print(json.dumps(rows[-1]), flush=True)
    return rows


async def memory(model: Path, backbone: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    rows, done = [], 0
    with server(model, args) as (address, pid):
        drawn, clients = (mixed_posts(), 8) if backbone == MIXED else (posts(1), CLIENTS)
        source = itertools.cycle(itertools.islice(drawn, 20_000))
        for until in args.memory:
            load = await closed_loop(address, source, clients=clients, count=until - done)
            done = until
            used = resident(pid)
            rows.append({"what": "memory", "backbone": backbone, "requests": until, "bytes": used, **figures(load)})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def figures(load: Load) -> dict[str, Any]:
    return {
        "seconds": load.seconds, "per_second": load.per_second, "answered": load.answered,
        "p50": load.quantile(0.5), "p99": load.quantile(0.99), "lost": sum(load.lost.values()),
        "lost_how": dict(load.lost), "refused": len(load.latencies.get(429, [])),
        "refused_p50": load.quantile(0.5, 429), "refused_p99": load.quantile(0.99, 429),
        "refused_max": load.quantile(1.0, 429),
    }  # fmt: skip


# --------------------------------------------------------------------------------------------- requests


def texts() -> tuple[list[str], list[str]]:
    """The queries and the items of an invented world."""
    world = make_world(seed=0, train=1998)
    return sorted({row["query"] for row in world.train}), sorted({row["item"] for row in world.train})


def bodies(length: int) -> Iterator[tuple[str, list[str]]]:
    """A query and ``length`` items, drawn without end."""
    queries, items = texts()
    draw = random.Random(0)
    while True:
        yield draw.choice(queries), draw.choices(items, k=length)


def post(query: str, items: list[str]) -> bytes:
    return request_bytes("/rerank", json.dumps({"query": query, "texts": items}).encode())


def posts(length: int) -> Iterator[bytes]:
    return (post(query, items) for query, items in bodies(length))


def each_query_once() -> Iterator[bytes]:
    """Every query of the world with one item, in an order of their own."""
    queries, items = texts()
    draw = random.Random(2)
    draw.shuffle(queries)
    return (post(query, [draw.choice(items)]) for query in queries)


def mixed_posts() -> Iterator[bytes]:
    """Mostly single pairs, some lists: the shapes that make an allocator's life hard."""
    draw, sources = random.Random(1), {length: posts(length) for length in (1, 2, 5, 10)}
    while True:
        yield next(sources[draw.choices((1, 2, 5, 10), weights=(70, 15, 10, 5))[0]])


# ----------------------------------------------------------------------------------------------- server


@contextmanager
def server(model: Path, args: argparse.Namespace, *settings: str) -> Iterator[tuple[tuple[str, int], int]]:
    """A `darl serve` process that is ready: its address and process id. No spare, for the memory's sake."""
    threads = [f"threads={args.threads}"] if args.threads else []
    process = subprocess.Popen(
        [sys.executable, "-m", "darl.cli.main", "serve", str(model), "--port", "0", "--log-level", "warning",
         "spare=false", *threads, *settings],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip().rpartition(" ")[2]
        host, port = url.removeprefix("http://").split(":")
        while True:
            time.sleep(0.2)
            if process.poll() is not None:
                raise SystemExit("the server ended")
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5):
                    break
            except OSError:
                continue
        yield (host, int(port)), process.pid
    finally:
        process.terminate()
        process.wait(60)


def resident(pid: int) -> int:
    """Bytes of the process and those it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * page for one in (pid, *map(int, children)))


if __name__ == "__main__":
    main()
