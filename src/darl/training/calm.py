"""How large the probed head is as tuning begins: calm on still features, and calm on those that dropout shakes."""

from __future__ import annotations

import numpy as np
import torch

from darl.model import RelevanceModel
from darl.model.head import set_head
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.dropout import set_dropout
from darl.training.probe import Probe, logit_spread

CALMED_ON = 256  # training pairs that measure the spread under dropout
SHAKEN = 3.0  # how many times the recipe's spread it may be before it is taken as the spread to calm
BATCH = 32


def calm(probe: Probe, features: np.ndarray, model: RelevanceModel, train: PairTable, recipe: Recipe) -> Probe:
    """The head at the spread that the recipe asks for: on still features, or under dropout where that dominates.

    A backbone that keeps all pairs in a narrow cone is shaken by dropout by more than its pairs differ. A head that
    was calm on still features then starts with losses far above those of no head at all, and tuning spends its
    first epochs on undoing that. So where dropout more than trebles the spread, it is measured under dropout.

    Args:
        features: the head's input of the training pairs, dropout off, (n, d).
        model: whose head is replaced.
    """
    found = probe.calmed(probe.logits(features), recipe.probe.spread)
    set_head(model.network, found.weight, found.bias)
    shaken = logits_in_training(model, train.sample(CALMED_ON, recipe.seed), recipe)
    if logit_spread(shaken) <= SHAKEN * recipe.probe.spread:
        return found
    return found.calmed(shaken, recipe.probe.spread)


def logits_in_training(model: RelevanceModel, pairs: PairTable, recipe: Recipe) -> np.ndarray:
    """The logits that the model gives in training as the recipe asks for it, dropout on, (n, K); drawn by its seed."""
    encoded, network = model.encode(pairs), model.network
    if recipe.tune.dropout is not None:
        set_dropout(network, recipe.tune.dropout)
    was_training, found = network.training, []
    network.train()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            for first in range(0, len(encoded), BATCH):
                rows = [encoded.row(i) for i in range(first, min(first + BATCH, len(encoded)))]
                batch = {name: values.to(network.device) for name, values in model.encoder.pad(rows).items()}
                found.append(network(**batch).logits.float().cpu().numpy())
    finally:
        network.train(was_training)
    return np.concatenate(found)
