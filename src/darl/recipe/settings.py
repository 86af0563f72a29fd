"""The recipe: every setting of a run, with its default and the reason for it.

A recipe is one YAML file. :mod:`darl.recipe.file` reads it; this file says what may stand in it.
Defaults were chosen on dev sets of real suites; ``docs/experiments.md`` has the figures.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from darl.grades import GradeScale
from darl.recipe.data import DataSettings, Settings
from darl.recipe.rounds import RoundsSettings

# ----------------------------------------------------------------------------------------------- model


class BackboneSettings(Settings):
    """The pretrained model and how it reads a pair."""

    name: str = Field(default="smollm2-135m", description="embedded name, local folder, or hub name")
    revision: str | None = None
    trust_remote_code: bool = False
    template: str | None = Field(default=None, description="text with {query} and {item}; decoders have a default")
    max_length: int = Field(default=128, ge=16, description="tokens a pair may take; the item is cut first")


def _as_backbone(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class LoraSettings(Settings):
    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: str | list[str] = Field(default="all-linear", description="module names, or all-linear")


class LossSettings(Settings):
    name: str = "occ"
    params: dict[str, Any] = Field(default_factory=dict, description="the loss's own parameters")
    class_weights: Literal["none", "balanced"] | list[float] = "none"


def _as_loss(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class TeacherSettings(Settings):
    """Darl models, larger as a rule, whose grade probabilities this one learns."""

    model: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        min_length=1,
        description="the teacher's folder: a run, or a saved model of the same grades; several are weighed on dev_id",
    )
    share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="weight of the teacher on a graded pair; 1 on an ungraded one",
    )
    itself: bool = Field(
        default=True,
        description="this backbone, fitted on the graded pairs alone, is asked too: a poor teacher then does less harm",
    )


# ---------------------------------------------------------------------------------------------- stages


class MatchSettings(Settings):
    """Before probing, the backbone learns to match as a reader of pairs what it can match as an embedder of texts."""

    enabled: Literal["auto"] | bool = Field(
        default="auto",
        description="auto: encoders whose embeddings' cosine of query and item tells the grades of train better than a "
        "probe on their features of pairs does; for the probed start alone",
    )
    teacher: str | None = Field(
        default=None, description="a backbone that embeds texts, to learn from; default: the recipe's own"
    )
    pairs: int = Field(
        default=12_000,
        ge=100,
        description="pairs of texts of train and `data.pool` it learns on, at most; no label is read",
    )
    epochs: float = Field(default=1.0, gt=0)
    learning_rate: float | None = Field(default=None, gt=0, description="default: as for tuning from a probed head")
    reuse: str | None = Field(default=None, description="the folder of a run whose matched backbone to take")


class ProbeSettings(Settings):
    """A linear head on the frozen backbone."""

    l2: list[Annotated[float, Field(ge=0)]] = Field(
        default=[1e-3, 1e-2, 1e-1, 1.0], min_length=1, description="penalties tried; the objective on dev_id chooses"
    )
    spread: float = Field(
        default=0.35, gt=0, description="spread of the probed head's logits as tuning begins: a calm head distorts less"
    )
    max_iterations: int = Field(default=300, ge=1)


class TuneSettings(Settings):
    """Fine-tuning of backbone and head."""

    start: Literal["random", "probe", "verbalizer", "auto"] = Field(
        default="auto",
        description="the head that tuning begins with; auto tunes from a random one and from the LLM's rows for the "
        "grade words (encoders: from the probe), and dev chooses",
    )
    kind: Literal["full", "lora"] = "full"
    lora: LoraSettings = LoraSettings()
    freeze_embeddings: bool = Field(
        default=True, description="token embeddings stay as they are: those of unseen words then still fit the rest"
    )
    freeze_layers: int = Field(default=0, ge=0, description="embeddings and this many lower layers stay as they are")
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="share dropped between layers in training; default: the backbone's own"
    )
    epochs: float = Field(default=3.0, ge=0, description="0: no tuning (the probe, or the zero-shot verbalizer)")
    batch_size: int = Field(default=32, ge=1)
    accumulate: int = Field(default=1, ge=1, description="batches whose gradients are added before a step")
    learning_rate: float | None = Field(
        default=None, gt=0, description="default: by the backbone's width and what it starts from"
    )
    head_learning_rate: float | None = Field(default=None, gt=0, description="default: the same")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps over which the rate rises")
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: bfloat16 where the machine computes it natively, else float32"
    )
    keep: Literal["last", "best"] = Field(default="last", description="best: the epoch best on dev_id")
    patience: int | None = Field(default=None, ge=1, description="stop after this many epochs without gain")
    checkpoints: int = Field(default=5, ge=1, description="checkpoints a run writes, evenly spaced")
    report_to: list[str] = Field(default_factory=list, description="tensorboard, mlflow, wandb …")
    trainer: dict[str, Any] = Field(default_factory=dict, description="passed to transformers' TrainingArguments")


class InterpolateSettings(Settings):
    """θ(α) = (1 − α)·θ_start + α·θ_tuned, body and head; α = 1 is the tuned model."""

    enabled: bool = True
    start: str = Field(default="start", description="the model as tuning began, or the folder of a saved darl model")
    alphas: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default=[0.0, 0.3, 0.5, 0.7, 0.85, 1.0],
        description="0: where tuning began (the probe); 1: tuned, always a candidate; of a random head beside another "
        "start 1 alone is one",
    )
    before: str | None = Field(
        default=None,
        description="a run or model from before new labels: it and its mixes with this one are candidates, and what is "
        "kept may not fall behind it on dev",
    )
    max_id_loss: float = Field(default=0.003, ge=0, description="ε: how much of the dev_id objective may be given up")
    min_gain: float = Field(
        default=0.005, ge=0, description="a candidate must beat plain tuning by this on dev_ood, or else on dev_id"
    )
    dev_limit: int = Field(
        default=1000, ge=50, description="pairs of each dev set that judge a candidate, and of each grade ten"
    )


class CalibrateSettings(Settings):
    """A temperature and, where it pays, a shift for each grade; after interpolation, folded into the head."""

    enabled: bool = True
    per_grade: Literal["auto"] | bool = Field(
        default="auto",
        description="a shift for each grade; auto: where it gains held-out NLL, with a rule by auto",
    )
    shift_share: float = Field(
        default=0.3, ge=0, le=1, description="weight of dev_ood in the calibration loss; 0 calibrates for dev_id alone"
    )


class DecideSettings(Settings):
    """From probabilities to a grade."""

    rule: Literal["auto", "argmax", "prior_corrected", "least_cost", "thresholds"] = Field(
        default="auto",
        description="auto: cross-fitted choice on dev; the likeliest grade unless another is clearly better",
    )
    shift_share: float = Field(
        default=0.3, ge=0, lt=1, description="auto: weight of dev_ood in the choice; 0 decides for dev_id alone"
    )
    max_ood_loss: float = Field(
        default=0.02, ge=0, description="auto: how much of the dev_ood objective a rule may give up against likeliest"
    )


class OODSettings(Settings):
    """The reference that says how far out a pair is."""

    enabled: bool = True
    detector: str = Field(
        default="knn",
        description="knn, mahalanobis, energy, msp, fusion, peer; auto: the best at telling dev_ood",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="the detector's own parameters")
    source: Literal["base", "model"] = Field(default="base", description="of the frozen base or the tuned model")
    layer: int = Field(default=-1, description="0 the embeddings, −1 the last layer")
    pooling: Literal["mean", "first", "last"] = "mean"
    max_reference: int = Field(default=20_000, ge=10, description="training pairs kept in the reference")


class EvaluateSettings(Settings):
    bootstrap: int = Field(default=1000, ge=0, description="resamples of whole queries for the intervals")
    min_slice: int = Field(default=50, ge=1, description="pairs a slice needs to be reported")


Objective = Literal["macro_f1", "qwk", "macro_f1_qwk", "accuracy"]


def _as_grades(value: Any) -> Any:
    if isinstance(value, list):
        return {"names": value}
    if isinstance(value, dict) and not {"names", "gains"} & set(value):
        return {"names": list(value), "gains": list(value.values())}
    return value


class GradeSettings(Settings):
    """Grade names, least relevant first; or ``{irrelevant: 0, weak: 1, strong: 3}`` with gains."""

    names: list[str]
    gains: list[float] = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_a_scale(self) -> GradeSettings:
        self.scale()
        return self

    def scale(self) -> GradeScale:
        return GradeScale(tuple(self.names), tuple(self.gains))


class Recipe(Settings):
    """One run, whole."""

    name: str = Field(default="darl", description="of the run; only for people")
    output: str = Field(default="runs/{name}", description="the run folder; {name} is replaced")
    seed: int = 0
    grades: Annotated[GradeSettings, BeforeValidator(_as_grades)]
    data: DataSettings
    backbone: Annotated[BackboneSettings, BeforeValidator(_as_backbone)] = BackboneSettings()
    method: Literal["head", "verbalizer"] = Field(
        default="head",
        description="head: a K-grade classifier; verbalizer: an LLM that answers with grade words",
    )
    words: list[str] | None = Field(default=None, description="the verbalizer's answers; default the grade names")
    objective: Objective = Field(default="macro_f1_qwk", description="what choices on dev maximise")
    loss: Annotated[LossSettings, BeforeValidator(_as_loss)] = LossSettings()
    teacher: TeacherSettings | None = Field(
        default=None, description="distil this model; `data.train` may then hold ungraded pairs"
    )
    match: MatchSettings = MatchSettings()
    probe: ProbeSettings = ProbeSettings()
    tune: TuneSettings = TuneSettings()
    interpolate: InterpolateSettings = InterpolateSettings()
    calibrate: CalibrateSettings = CalibrateSettings()
    decide: DecideSettings = DecideSettings()
    ood: OODSettings = OODSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    rounds: RoundsSettings | None = Field(
        default=None, description="after the first fit: pick from `data.pool`, get labels, fit again; so many times"
    )

    @model_validator(mode="after")
    def _can_run_its_rounds(self) -> Recipe:
        if self.rounds is not None and self.data.pool is None:
            raise ValueError("`rounds` picks from `data.pool`, and the recipe names none")
        if self.rounds is not None and not self.ood.enabled:
            raise ValueError("`rounds` needs to know how far out a pair is: leave `ood.enabled` on")
        return self
