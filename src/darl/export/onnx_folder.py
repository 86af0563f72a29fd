"""export: a model as a folder for onnxruntime, and how far its scores are from the model's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darl.errors import ModelError
from darl.evaluation import evaluate_predictions
from darl.export.int8_graph import write_int8
from darl.export.onnx_graph import graph_inputs, write_graph
from darl.export.onnx_model import FACTS, FLOAT, INT8, OnnxModel
from darl.model import RelevanceModel
from darl.model.saving import plain_tokenizer_class
from darl.model.scores import Scores
from darl.pairs import PairTable
from darl.storage import atomic_folder, atomic_write_json

# Texts for a look at parity where no pairs are given: short and long, empty, other scripts.
LOOK = [("red running shoes", "light running shoes, red, size 10"), ("", ""), ("cat", ""), ("医疗保险", "旅行 多少钱"),
        ("garden table", "round wooden table for four " * 12), ("travel insurance", "vet bills")]  # fmt: skip


@dataclass(frozen=True)
class Parity:
    """An export beside its model on n pairs.

    Attributes:
        graph: ``float32`` or ``int8``. pairs: n.
        max_probability_difference: over all pairs and grades. same_grade: share of pairs.
        macro_f1, own_macro_f1: of the export and of the model, where the pairs have grades.
    """

    graph: str
    pairs: int
    max_probability_difference: float
    same_grade: float
    macro_f1: float | None = None
    own_macro_f1: float | None = None

    @property
    def f1_loss(self) -> float | None:
        """What the export loses in macro-F1; negative where it gains."""
        return None if self.macro_f1 is None or self.own_macro_f1 is None else self.own_macro_f1 - self.macro_f1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"f1_loss": self.f1_loss}


def export_onnx(
    model: RelevanceModel, folder: str | Path, *, int8: bool = False, pairs: PairTable | None = None
) -> list[Parity]:
    """Write a model as ONNX: float32, with ``int8`` also in int8, tokenizer and darl's facts beside.

    Args:
        model: any whose architecture torch can export; decoders and encoders.
        folder: new; written whole or not at all.
        int8: also round the weights to int8: faster on a CPU, and something is lost: see the report.
        pairs: graded pairs to measure the loss on; else only parity on a few texts is.

    Returns:
        One report a graph; ``darl-onnx.json`` has them too.

    Raises:
        ModelError: a library is missing, the folder exists, or the architecture cannot be exported.
        StorageError: no room, or no right to write.
    """
    folder = Path(folder)
    if folder.exists():
        raise ModelError("the folder is there already", where=folder, mend="choose another, or remove it")
    with_ood = model.ood is not None and model.ood.feature_spec.get("source") == "logits"
    facts: dict[str, Any] = {"format": 1, "scale": model.scale.to_dict(), "rule": model.rule.to_dict()}
    facts |= {"max_length": model.max_length, "has_ood": with_ood, "backbone": Path(model.backbone.name).name}
    with atomic_folder(folder) as partial:
        model.tokenizer.save_pretrained(partial)
        plain_tokenizer_class(partial, list(model.tokenizer.model_input_names))
        if with_ood and model.ood is not None:
            model.ood.save(partial / "ood")
        write_graph(model, partial / FLOAT)
        if int8:
            look, tokens = _look(model)
            write_int8(partial / FLOAT, partial / INT8, look, tokens)
        atomic_write_json(partial / FACTS, facts)
        own = _scores(model, pairs)
        graphs = [False, True] if int8 else [False]
        found = [_parity(OnnxModel(partial, int8=graph), own, pairs) for graph in graphs]
        atomic_write_json(partial / FACTS, facts | {"parity": [one.to_dict() for one in found]})
    return found


def _look(model: RelevanceModel) -> tuple[list[dict[str, np.ndarray]], int]:
    """A look's texts as inputs of the graph, a pair a batch, so that none is padded; and how many tokens they are."""
    names = graph_inputs(model)
    encoded = model.encode(queries=[query for query, _ in LOOK], items=[item for _, item in LOOK])
    batches = [model.encoder.pad([encoded.row(at)]) for at in range(len(LOOK))]
    return [{name: batch[name].numpy() for name in names} for batch in batches], int(encoded.lengths.sum())


def _scores(model: RelevanceModel | OnnxModel, pairs: PairTable | None) -> Scores:
    if pairs is not None:
        return model.score(pairs, ood=False)
    return model.score(queries=[query for query, _ in LOOK], items=[item for _, item in LOOK], ood=False)


def _parity(export: OnnxModel, own: Scores, pairs: PairTable | None) -> Parity:
    scores = _scores(export, pairs)
    f1 = [None, None]
    if pairs is not None:
        f1 = [
            evaluate_predictions(
                pairs.grades, one.probabilities, one.grades, scale=one.scale, groups=pairs.queries, bootstrap=0
            )
            .metrics["macro_f1"]
            .estimate
            for one in (scores, own)
        ]
    return Parity(
        graph="int8" if export.int8 else "float32",
        pairs=len(own),
        max_probability_difference=float(np.abs(scores.probabilities - own.probabilities).max()),
        same_grade=float((scores.grades == own.grades).mean()),
        macro_f1=f1[0],
        own_macro_f1=f1[1],
    )
