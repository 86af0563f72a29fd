"""OnnxModel: an exported model that scores like the one it came from, without torch computing anything."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from darl.cores import usable_cores
from darl.decisions import DecisionRule
from darl.errors import DarlError, ModelError
from darl.export.int8_graph import set_rounding
from darl.export.libraries import onnx_library
from darl.export.side_by_side import run_batches
from darl.grades import GradeScale
from darl.model.encoding import EncodedPairs, PairEncoder
from darl.model.scorer import PairScorer, Progress
from darl.ood import OODReference
from darl.storage import read_json, sha256_file, stable_hash

FLOAT, INT8, FACTS = "model.onnx", "model.int8.onnx", "darl-onnx.json"

# onnxruntime joins these pairs of operations into one that is slower here: a residual and a norm took 1 ms for 1,000
# tokens of 384 numbers together and .3 ms apart.
SLOWER_JOINED = ["SkipLayerNormFusion", "BiasGeluFusion"]
# A session of one thread holds the weights once more: larger graphs have their batches one after the other.
MOST_BYTES_TWICE = 512 * 1024**2
TOKENS_PER_BATCH = 512  # padded ones; larger batches pad more and leave the cache: 1,024 take 5 to 10 % longer


class OnnxModel(PairScorer):
    """Scores pairs with onnxruntime.

    Args:
        folder: that :func:`darl.export.export_onnx` wrote.
        int8: take the int8 graph; default where the folder has one.
        threads: that compute; default a core each. Several batches run side by side on a thread each, a lone one
            on all.

    An OOD reference comes along only where it reads the logits: the others need hidden states of a network.

    Raises:
        ModelError: onnxruntime is missing, or the folder is not one of these or damaged.
    """

    def __init__(self, folder: str | Path, *, int8: bool | None = None, threads: int | None = None) -> None:
        runtime = onnx_library("onnxruntime")
        folder = Path(folder)
        if not (folder / FACTS).is_file():
            raise ModelError("this is no exported model", where=folder, mend="make one: darl export MODEL -o FOLDER")
        graph = folder / (INT8 if (folder / INT8).is_file() and int8 is not False else FLOAT)
        if int8 and graph.name != INT8:
            raise ModelError("the export has no int8 graph", where=folder, mend="export it again with --int8")
        try:
            facts = read_json(folder / FACTS)
            self.scale = GradeScale.from_dict(facts["scale"])
            self.rule = DecisionRule.from_dict(facts["rule"])
            self.ood = OODReference.load(folder / "ood") if facts["has_ood"] else None
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
            self._threads = threads or usable_cores()
            self._session = _session(runtime, graph, self._threads)
        except DarlError:
            raise
        except Exception as error:
            raise ModelError(f"the export cannot be read ({type(error).__name__}: {error})", where=folder) from error
        self._graph, self._runtime = graph, runtime
        self._narrow: Any = None
        self._making = threading.Lock()
        self.int8, self.max_length = graph.name == INT8, int(facts["max_length"])
        self.backbone = str(facts.get("backbone", "unknown"))
        self.encoder = PairEncoder(self.tokenizer, self.max_length)
        self._names = [one.name for one in self._session.get_inputs()]

    def logits(
        self, encoded: EncodedPairs, *, tokens_per_batch: int | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """Calibrated logits, (n, K) float32, in the input's order; batches of like lengths, padded."""
        out = np.zeros((len(encoded), self.scale.size), dtype=np.float32)
        batches = (
            (rows, {name: batch[name].numpy() for name in self._names})
            for rows, batch in self.encoder.batches(encoded, tokens_per_batch or TOKENS_PER_BATCH)
        )
        cores = self._threads if self._graph.stat().st_size <= MOST_BYTES_TWICE else 1
        for rows, found in run_batches(batches, _runner(self._session), self._one_thread, cores):
            out[rows] = found
            if progress:
                progress(len(rows))
        return out

    def _one_thread(self) -> Any:
        """What runs a batch on one thread; made when it is first needed."""
        with self._making:
            if self._narrow is None:
                self._narrow = _session(self._runtime, self._graph, 1)
        return _runner(self._narrow)

    def ood_features(self, encoded: EncodedPairs, logits: np.ndarray | None = None) -> np.ndarray:
        """The logits: the one kind of OOD reference that an export has."""
        return self.logits(encoded) if logits is None else logits

    def fingerprint(self) -> str:
        """SHA-256 of the graph and of what is read beside it."""
        beside = sorted(path for path in self._graph.parent.glob("*.*") if path.suffix in (".json", ".safetensors"))
        return stable_hash([sha256_file(path) for path in (self._graph, *beside)])


def _session(runtime: Any, graph: Path, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if graph.name == INT8:
        set_rounding(options)
    providers = ["CPUExecutionProvider"]
    return runtime.InferenceSession(str(graph), options, providers=providers, disabled_optimizers=SLOWER_JOINED)


def _runner(session: Any) -> Any:
    return lambda inputs: session.run(["logits"], inputs)[0]
