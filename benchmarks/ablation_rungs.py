"""The rungs of the ablation: each is a list of recipe overrides that a user can run as it is.

The ladder goes from the naive LLM to the whole method, one change a rung; only with the probed start the learning rate
changes too, as each kind of start has a rate that suits it. Peers stand beside it: what others publish, as recipes of
darl where that is the same thing, or as scripts of their own (`peers_*.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Nothing of what darl adds after tuning: likeliest grade, probabilities as they come.
UNMIXED, UNCALIBRATED = "interpolate.enabled=false", "calibrate.enabled=false"
UNDECIDED = ("decide.rule=argmax", "ood.enabled=false")
PLAIN = (UNMIXED, UNCALIBRATED, *UNDECIDED)
TEMPERATURE_ALONE = ("calibrate.per_grade=false", "calibrate.shift_share=0")
EVERY_WEIGHT = "tune.freeze_embeddings=false"
# From here on a reference for the OOD scores is kept, which `darl select` needs; training does not read it.
STAGES = ("tune.start=probe", UNCALIBRATED, "decide.rule=argmax")
UNMATCHED = "match.enabled=false"
# The last rungs alone match first and try mixes far from the tuned weights: those before were published without.
BEFORE_MATCHING = (UNMATCHED, "interpolate.alphas=[0.0, 0.7, 0.85, 1.0]")


@dataclass(frozen=True)
class Rung:
    """One way of making a model.

    Attributes:
        name: of its folder and its rows. title: in tables.
        overrides: of the suite's recipe.
        baseline: it begins from a random or a language-model head, so the learning rate given for baselines is its own.
        decoders: it needs a causal language model.
        shares: the rung whose probe and tuning are the same; they are not done twice.
        before: the rung whose model may be fallen back on where labels harm dev, as rounds of a recipe do.
        labels: which selection buys labels for it: "random", or "dasa" for darl's own.
        chooser: the rung whose model selects them.
        peer: it is no part of the ladder.
        script: the module that trains and judges it, where it is no recipe; its `train` is called with `options`.
    """

    name: str
    title: str
    overrides: tuple[str, ...] = ()
    baseline: bool = False
    decoders: bool = False
    shares: str | None = None
    before: str | None = None
    labels: str | None = None
    chooser: str = "interpolation"
    peer: bool = False
    script: str | None = None
    options: dict[str, str] = field(default_factory=dict)


LADDER = (
    Rung(
        "zero_shot",
        "zero-shot verbalizer",
        ("method=verbalizer", "tune.epochs=0", *PLAIN),
        decoders=True,
    ),
    Rung(
        "verbalizer",
        "fine-tuned verbalizer",
        ("method=verbalizer", EVERY_WEIGHT, *PLAIN),
        baseline=True,
        decoders=True,
    ),
    Rung(
        "cross_entropy",
        "cross-entropy head",
        ("loss=cross_entropy", "tune.start=random", EVERY_WEIGHT, *PLAIN),
        baseline=True,
    ),
    Rung("occ", "+ OCC", ("loss=occ", "tune.start=random", EVERY_WEIGHT, *PLAIN), baseline=True),
    Rung("frozen", "+ embeddings frozen", ("tune.start=random", *PLAIN), baseline=True),
    Rung("lp_ft", "+ LP→FT", ("tune.start=probe", UNMATCHED, *PLAIN)),
    Rung("interpolation", "+ interpolation", (*STAGES, *BEFORE_MATCHING), shares="lp_ft"),
    Rung("random_labels", "+ random labels", (*STAGES, *BEFORE_MATCHING), labels="random"),
    Rung("dasa_labels", "+ DASA labels instead", (*STAGES, *BEFORE_MATCHING), labels="dasa"),
    Rung("finished", "calibrated and decided, no labels", BEFORE_MATCHING, shares="lp_ft"),  # the better of two starts
    Rung("full", "the same with DASA labels", BEFORE_MATCHING, shares="dasa_labels", before="finished", labels="dasa"),
    Rung("matching", "match → LP→FT → interpolation", STAGES),
    Rung("matched", "every default, no labels", shares="matching"),
    Rung("matched_full", "full pipeline", before="matched", labels="dasa", chooser="matched"),
)
# What the claims on the stages and on the whole need, where the ladder without matching was climbed before.
SHORT = ("cross_entropy", "frozen", "matching", "matched", "matched_full")

# Kumar et al. 2022: a converged probe at its own size, then all weights by cross-entropy. A probe with λ = 1e-3 on
# standardised features spreads its logits by about 1.2 (experiment 6).
AS_PUBLISHED = (
    "loss=cross_entropy",
    "tune.start=probe",
    "probe.l2=[1e-3]",
    "probe.spread=1.2",
    UNMATCHED,
    EVERY_WEIGHT,
)

PEERS = (
    Rung("tfidf", "TF-IDF + logistic regression", peer=True, script="peers_tfidf"),
    Rung(
        "temperature",
        "cross-entropy + temperature",
        ("loss=cross_entropy", "tune.start=random", EVERY_WEIGHT, UNMIXED, *TEMPERATURE_ALONE, *UNDECIDED),
        baseline=True,
        shares="cross_entropy",
        peer=True,
    ),
    Rung("lp_ft_published", "LP-FT as published", (*AS_PUBLISHED, *PLAIN), baseline=True, peer=True),
    Rung(
        "wise_ft",
        "WiSE-FT as published, α by dev",
        # Wortsman et al. 2022 sweep α in tenths between the first and the tuned weights
        (*AS_PUBLISHED, UNCALIBRATED, *UNDECIDED, f"interpolate.alphas={[i / 10 for i in range(11)]}"),
        baseline=True,
        shares="lp_ft_published",
        peer=True,
    ),
    Rung(
        "st_cross_entropy",
        "CrossEncoderTrainer, cross-entropy",
        baseline=True,
        peer=True,
        script="peers_cross_encoder",
        options={"loss": "cross_entropy"},
    ),
    Rung(
        "st_binomial",
        "CrossEncoderTrainer, BCE on the scaled grade",
        baseline=True,
        peer=True,
        script="peers_cross_encoder",
        options={"loss": "binomial"},
    ),
)
RUNGS = {rung.name: rung for rung in (*LADDER, *PEERS)}


def rungs_for(decoder: bool, names: list[str] | None = None) -> list[Rung]:
    """The rungs that a backbone can climb, in order; with ``names`` only those."""
    return [rung for rung in RUNGS.values() if (decoder or not rung.decoders) and (names is None or rung.name in names)]


def naive(decoder: bool) -> str:
    """What everybody does: the fine-tuned verbalizer, on an encoder the cross-entropy head."""
    return "verbalizer" if decoder else "cross_entropy"


def comparisons(names: list[str], decoder: bool) -> list[tuple[str, str]]:
    """(ours, against): each rung of the ladder and the one before, then what the claims need, then every peer."""
    ladder = [rung.name for rung in LADDER if rung.name in names]
    found = list(zip(ladder[1:], ladder, strict=False))
    # one bought labels and the other has none: two changes
    found = [pair for pair in found if pair not in (("finished", "dasa_labels"), ("matching", "full"))]
    found += [
        ("matching", "frozen"),
        ("matching", "interpolation"),
        ("matched", "finished"),
        ("matched", naive(decoder)),
        ("matched_full", "full"),
        ("matched_full", naive(decoder)),
        ("finished", "interpolation"),
        ("finished", naive(decoder)),
        ("full", "dasa_labels"),
        ("occ", "verbalizer"),
        ("interpolation", "frozen"),
        ("interpolation", "occ"),
        ("full", naive(decoder)),
        ("full", "random_labels"),
    ]
    found += [("full", rung.name) for rung in PEERS]
    found += [(rung.name, "cross_entropy") for rung in PEERS if rung.name != "temperature"]
    return [(ours, against) for ours, against in dict.fromkeys(found) if ours in names and against in names]
