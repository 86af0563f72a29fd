"""Peak memory of `darl score` over a short and a long file: out of core means that it does not grow with the file.

    python benchmarks/score_memory.py                        # 20,000 and 200,000 made-up pairs, MiniLM-L6
    python benchmarks/score_memory.py --sizes 2000 20000

Each row is one `darl score` from Parquet to Parquet in a process of its own, whose largest resident memory counts. A
peak is the largest of many passes, and passes differ by some megabytes, so a job of ten times as many has a better
chance of a large one. Therefore the long file is scored once whole and once in ten short files, all its rows again:
`ratio` is the whole's peak over the largest of the ten, of as many passes; `ratio_to_median` that over their median.
`tenths_gb` is the largest of each tenth of a job, looked at ten times a second: whether memory grows on the way.

Who reads a Parquet file holds a page and a dictionary a column, as large as its writer made them: pyarrow's are up to
1 MB each, which these short texts fill in the long file alone. So the files have pages of 64 KB, full in both, and
differ in their rows only; with `--writers-pages` the long job is done once more with pages as pyarrow makes them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.progress import quiet_libraries
from darl.storage import atomic_write_json
from machine import commit, machine

RESULTS = Path(__file__).resolve().parent / "results" / "score_memory.json"
PAGES = {"data_page_size": 2**16, "dictionary_pagesize_limit": 2**16}
WORDS = [a + b for a in ("la", "ro", "mi", "te", "su", "no", "ka", "pe") for b in ("mp", "ll", "nt", "rs", "ck", "st")]


def made_up(count: int) -> pa.Table:
    """Pairs of three and six words, five items a query, an id beside them."""
    rng, words = np.random.default_rng(0), np.array(WORDS, dtype=object)
    queries = [" ".join(row) for row in words[rng.integers(0, len(words), (count // 5 + 1, 3))]]
    items = [" ".join(row) for row in words[rng.integers(0, len(words), (count, 6))]]
    return pa.table({"query": [queries[i // 5] for i in range(count)], "item": items, "id": np.arange(count)})


def one(model: Path, pairs: pa.Table, folder: Path, **layout: int) -> dict[str, Any]:
    """A scoring job over a file of this layout: seconds, and the largest memory that its process ever had."""
    source, out = folder / "pairs.parquet", folder / "scored.parquet"
    pq.write_table(pairs, source, **layout)
    command = [sys.executable, "-m", "darl", "score", str(model), str(source), "-o", str(out), "-q"]
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    watched = []
    peak = 0.0
    while child.poll() is None:
        held, largest = memory_of(child.pid)
        watched.append(held)
        peak = max(peak, largest)
        time.sleep(0.1)
    if child.returncode:
        sys.exit(f"darl score ended with {child.returncode}")
    if not pq.read_table(out, columns=["id"])["id"].equals(pairs["id"]):
        sys.exit("rows are lost, doubled or out of order")
    tenths = [float(max(part)) for part in np.array_split(watched, 10)]
    seconds = time.perf_counter() - begin
    facts = {"pairs": pairs.num_rows, "pages": layout or "the writer's"}
    return facts | {"seconds": seconds, "peak_gb": peak, "tenths_gb": tenths}


def memory_of(pid: int) -> tuple[float, float]:
    """What a process holds, and the most that it has held since it began, in GB of 1,024 bytes a kB.

    Not `ru_maxrss`: the kernel begins that with what the *parent* holds when it starts the process.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    sizes = dict(line.split()[:2] for line in lines if line.startswith(("VmRSS:", "VmHWM:")))
    return tuple(round(int(sizes.get(name, 0)) / 1e6, 4) for name in ("VmRSS:", "VmHWM:"))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--sizes", type=int, nargs=2, default=[20_000, 200_000])
    parser.add_argument("--writers-pages", action="store_true", help="the long job again, with pyarrow's own pages")
    args = parser.parse_args()
    quiet_libraries()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        RelevanceModel.from_backbone(args.backbone, GradeScale(("bad", "fair", "good"))).save_pretrained(model)
        short, long = args.sizes
        whole = made_up(long)
        pieces = [whole.slice(start, short) for start in range(0, long, short)]
        jobs = [*((piece, PAGES) for piece in pieces), (whole, PAGES)]
        for pairs, layout in [*jobs, (whole, {})] if args.writers_pages else jobs:
            rows.append(one(model, pairs, Path(scratch), **layout))
            print(rows[-1], flush=True)
    *short_peaks, long_peak = (row["peak_gb"] for row in rows[: len(pieces) + 1])
    largest, typical = max(short_peaks), statistics.median(short_peaks)
    found = {"ratio": long_peak / largest, "ratio_to_median": long_peak / typical, "peak_gb": long_peak}
    found["short_gb"] = short_peaks
    if args.writers_pages:
        found["writers_pages"] = {"ratio": rows[-1]["peak_gb"] / largest, "peak_gb": rows[-1]["peak_gb"]}
    print(found)
    command = f"python benchmarks/score_memory.py --backbone {args.backbone} --sizes {args.sizes[0]} {args.sizes[1]}"
    command += " --writers-pages" * args.writers_pages
    facts = {"benchmark": "score_memory", "command": command, "commit": commit(), "machine": machine()}
    atomic_write_json(RESULTS, facts | {"headline": found, "rows": rows})


if __name__ == "__main__":
    main()
