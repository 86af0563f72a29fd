"""RelevanceModel: a sequence classifier that knows its grades, its prompt, its limits.

backbone + head + GradeScale + template (in the tokenizer) + temperature (folded into the head)
+ decision rule + OOD reference.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from darl.decisions import DecisionRule
from darl.errors import ModelError
from darl.grades import GradeScale
from darl.model.backbones import (
    Backbone,
    is_decoder,
    load_backbone,
    load_body,
    load_tokenizer,
    position_room,
    resolve_backbone,
)
from darl.model.encoding import EncodedPairs, PairEncoder
from darl.model.features import FeatureSpec, Progress, head_features, pooled_features
from darl.model.head import scale_head, shift_head
from darl.model.inference.kept import KeptPrefixes, store_of
from darl.model.inference.packed import is_causal
from darl.model.inference.reading import Read, Wanted, to_numpy
from darl.model.inference.run import keep_prefixes, run_pairs
from darl.model.inference.support import why_not_packed
from darl.model.precision import Dtype, settle_precision
from darl.model.scorer import PairScorer, softmax
from darl.model.template import DECODER_TEMPLATE, PairTemplate, install_template
from darl.ood import OODReference

__all__ = ["RelevanceModel", "softmax"]


class RelevanceModel(PairScorer):
    """Graded relevance of query–item pairs.

    Args:
        network: a transformers sequence classifier with K labels.
        tokenizer: fast; holds the template.
        scale: the grades.
        backbone: where the frozen base comes from; OOD features may need it.
        max_length: the most tokens of a pair; lowered, with a warning, to what the network's learnt
            positions reach.
        rule: from probabilities to a grade; default argmax.
        temperature: by which the head is already divided; kept for the record.
        shifts: what the head already adds to each grade's logit after that, (K,) or empty; likewise.
        constant: direction of the head's features in which they are 1, (d,), or None; holds the shifts where the head
            has no bias.
        ood: the OOD reference, or None.
        provenance: how the model came to be; any JSON.

    Load a saved one and score pairs::

        model = RelevanceModel.from_pretrained("runs/insurance/model")
        scores = model.score(queries=["cat insurance"], items=["Vet fee cover for cats"])
        scores.grades, scores.relevance, scores.ood_percentiles
    """

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        scale: GradeScale,
        *,
        backbone: Backbone,
        max_length: int = 256,
        rule: DecisionRule | None = None,
        temperature: float = 1.0,
        shifts: tuple[float, ...] = (),
        constant: Sequence[float] | None = None,
        ood: OODReference | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        if network.config.num_labels != scale.size:
            raise ModelError(f"the network has {network.config.num_labels} labels, the scale {scale.size} grades")
        room = position_room(network)
        if room is not None and max_length > room:
            warnings.warn(f"max_length {max_length} lowered to {room}, the most the backbone reads", stacklevel=2)
            max_length = room
        network.config.pad_token_id = tokenizer.pad_token_id
        network.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        self.network, self.tokenizer, self.scale, self.backbone = network, tokenizer, scale, backbone
        self.max_length, self.rule = max_length, rule or DecisionRule("argmax")
        self.temperature, self.shifts = temperature, tuple(shifts)
        self.constant = None if constant is None else [float(value) for value in constant]
        self.ood, self.provenance = ood, provenance or {}
        tokenizer.model_max_length = max_length
        self.encoder = PairEncoder(tokenizer, max_length)
        self._base: PreTrainedModel | None = None

    # ------------------------------------------------------------------ making

    @classmethod
    def from_backbone(
        cls,
        name: str,
        scale: GradeScale,
        *,
        template: str | None = None,
        max_length: int = 256,
        revision: str | None = None,
        trust_remote_code: bool = False,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> RelevanceModel:
        """A model with a fresh head on a pretrained backbone.

        Args:
            name: embedded name, local folder or hub name.
            scale: the grades.
            template: with ``{query}`` and ``{item}``; default for decoders a short prompt, for encoders
                the pair encoding they were pretrained with.

        Raises:
            BackboneError: the backbone cannot be had.
        """
        backbone = resolve_backbone(name, revision=revision, trust_remote_code=trust_remote_code)
        tokenizer = load_tokenizer(backbone)
        if template or is_decoder(backbone):
            install_template(tokenizer, PairTemplate.parse(template or DECODER_TEMPLATE))
        network = load_backbone(backbone, scale.names, dtype=dtype, seed=seed)
        return cls(network, tokenizer, scale, backbone=backbone, max_length=max_length)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        device: str | None = None,
        dtype: Dtype | None = None,
        trust_remote_code: bool = False,
    ) -> RelevanceModel:
        """Load a saved model.

        Args:
            folder: that :meth:`save_pretrained` wrote.
            device: where to put it.
            dtype: what its network computes in; default what it was saved in. A CPU that would emulate half precision
                computes in float32, whatever was asked for. The frozen base that OOD scores may read stays in float32.
            trust_remote_code: run code that came with the backbone. What the folder says of this does not
                count: whoever made the folder is not who runs it.

        Raises:
            ModelError: the folder is missing, incomplete, corrupt, or not darl's; no such device or dtype.
        """
        from darl.model.saving import load_model

        model = load_model(Path(folder), trust_remote_code=trust_remote_code)
        if device:
            model.to(device)
        settle_precision(model.network, dtype)
        return model

    def save_pretrained(self, folder: str | Path) -> Path:
        """Save as a plain Hugging Face folder with ``darl.json`` and ``ood.*`` beside; whole or not at all.

        A darl model that stands there is replaced once the new one is whole.

        Raises:
            ModelError: the folder holds something else.
            StorageError: no room, or no right to write.
        """
        from darl.model.saving import save_model

        return save_model(self, Path(folder))

    def to(self, device: str) -> RelevanceModel:
        """The same model, moved to a device such as ``cpu`` or ``cuda:0``.

        Raises:
            ModelError: this machine has no such device.
        """
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            detail = str(error).splitlines()[0]
            raise ModelError(f"the device {device!r} cannot be used ({detail})", mend="use cpu, say") from error
        self.network.to(device)  # type: ignore[arg-type]
        if self._base is not None:
            self._base.to(device)  # type: ignore[arg-type]
        return self

    # ----------------------------------------------------------------- scoring

    def logits(
        self,
        encoded: EncodedPairs,
        *,
        tokens_per_batch: int | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Calibrated logits, (n, K) float32, in the input's order."""
        out = np.zeros((len(encoded), self.scale.size), dtype=np.float32)

        def consume(rows: np.ndarray, read: Read) -> None:
            out[rows] = to_numpy(read.logits)

        run_pairs(
            self.network, self.encoder, encoded, Wanted(), consume, tokens_per_batch=tokens_per_batch, progress=progress
        )
        return out

    @property
    def shares_prefixes(self) -> bool:
        """Whether pairs of one query are read behind one prefix: the network is causal and can be packed."""
        with torch.inference_mode():
            return why_not_packed(self.network, self.encoder, head=True) is None and is_causal(self.network)

    def keep_prefixes(self, max_bytes: int) -> bool:
        """Keep what the network computes for the prompt and for each query, so that a query that comes again costs only
        its items' tokens; off unless asked for, and probabilities differ by rounding alone.

        Keys and values of the tokens before the item, in every layer, 2 · L · H_kv · d numbers a token (SmolLM2-135M in
        float32: 46 kB). Those that were not used for longest go first. They are given up when the weights change
        (but not where these are written through ``.data``: call this again then).
        Pooled features are computed as without.

        Args:
            max_bytes: the most that is kept; 0 switches it off and gives up what there is.

        Returns:
            Whether prefixes are kept from now on: for causal LLMs that run packed, on a CPU.

        Raises:
            ModelError: less than 0.

        For example::

            model = RelevanceModel.from_pretrained("runs/insurance/model")
            model.keep_prefixes(256 * 2**20)
            model.score(queries=["cat insurance"], items=["Vet fee cover for cats"])
            model.score(queries=["cat insurance"], items=["Motor breakdown cover"])  # the query is known
            model.kept_prefixes.taken, model.kept_prefixes.computed
        """
        if max_bytes < 0:
            raise ModelError(f"prefixes are kept in a number of bytes, not {max_bytes}", mend="0 keeps none")
        return keep_prefixes(self.network, self.encoder, max_bytes) is None and max_bytes > 0

    @property
    def kept_prefixes(self) -> KeptPrefixes | None:
        """What is kept, with its ``bytes`` and the tokens ``taken`` and ``computed`` since; None where nothing is."""
        return store_of(self.network)

    # ---------------------------------------------------------------- features

    def head_features(self, encoded: EncodedPairs, *, progress: Progress | None = None) -> np.ndarray:
        """The input of the head for each pair, (n, d)."""
        return head_features(self.network, self.encoder, encoded, progress=progress)

    def features(self, encoded: EncodedPairs, spec: FeatureSpec, *, progress: Progress | None = None) -> np.ndarray:
        """Pooled features of a layer of the frozen base or of this model, (n, d)."""
        body = self.base() if spec.source == "base" else self.network
        return pooled_features(body, self.encoder, encoded, spec, progress=progress)

    def ood_features(self, encoded: EncodedPairs, logits: np.ndarray | None = None) -> np.ndarray:
        """What the model's OOD reference reads: pooled features, or its logits."""
        if self.ood is None:
            raise ModelError("this model has no OOD reference", mend="fit again with `ood:` in the recipe")
        spec = self.ood.feature_spec
        if spec.get("source") == "logits":
            return self.logits(encoded) if logits is None else logits
        return self.features(encoded, FeatureSpec(**spec))

    def base(self) -> PreTrainedModel:
        """The frozen backbone's body, loaded on first use."""
        if self._base is None:
            found = self.backbone
            if not found.is_local:
                found = resolve_backbone(found.name, revision=found.revision, trust_remote_code=found.trust_remote_code)
            self._base = load_body(found).eval().to(self.network.device)  # type: ignore[arg-type]
        return self._base

    def fingerprint(self) -> str:
        """SHA-256 over all that a score depends on; about a second a GB of weights."""
        from darl.model.fingerprint import model_fingerprint

        return model_fingerprint(self)

    # ------------------------------------------------------------- calibration

    def divide_logits(self, temperature: float) -> None:
        """Fold a temperature into the head, so that every tool that loads the folder is calibrated.

        Raises:
            ModelError: not a finite number above 0.
        """
        if not (math.isfinite(temperature) and temperature > 0):
            raise ModelError(f"a temperature is a finite number above 0, not {temperature}")
        scale_head(self.network, 1.0 / temperature)
        self.temperature *= temperature
        self.shifts = tuple(shift / temperature for shift in self.shifts)

    def shift_logits(self, shifts: Sequence[float]) -> None:
        """Fold a number for each grade into the head's bias, or into its rows along ``constant``.

        Raises:
            ModelError: not K finite numbers, or the head has no bias and the model no constant.
        """
        if len(shifts) != self.scale.size or not all(map(math.isfinite, shifts)):
            raise ModelError(f"shifts are {self.scale.size} finite numbers, not {list(shifts)}")
        shift_head(self.network, shifts, self.constant)
        self.shifts = tuple(a + b for a, b in zip(self.shifts or (0.0,) * len(shifts), shifts, strict=True))

    def undo_calibration(self) -> None:
        """The logits as they were before temperature and shifts were folded in."""
        if self.shifts:
            self.shift_logits([-shift for shift in self.shifts])
            self.shifts = ()
        self.divide_logits(1 / self.temperature)
