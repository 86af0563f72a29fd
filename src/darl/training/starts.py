"""What tuning begins from and ends with: fresh, probed and verbalizer models, and their weights on disk."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from darl.errors import BackboneError, RecipeError
from darl.losses import GradeLoss, make_loss
from darl.model import RelevanceModel
from darl.model.backbones import is_decoder, load_tokenizer, resolve_backbone
from darl.model.head import head_name, set_head
from darl.model.template import PairTemplate
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.processes import device
from darl.training.run import Stage
from darl.training.tune import balanced_class_weights
from darl.training.verbalizer import check_grade_words, check_verbalizer, grade_words, zero_shot

WEIGHTS = "network.safetensors"


def fresh_model(recipe: Recipe) -> RelevanceModel:
    """The recipe's backbone with a random head."""
    backbone = recipe.backbone
    return RelevanceModel.from_backbone(
        backbone.name,
        recipe.grades.scale(),
        template=backbone.template,
        max_length=backbone.max_length,
        revision=backbone.revision,
        trust_remote_code=backbone.trust_remote_code,
        seed=recipe.seed,
    ).to(device())


def check_backbone(recipe: Recipe) -> None:
    """Find out before any work what would stop the stages later: the backbone, the template, the answers.

    Raises:
        BackboneError: the backbone cannot be had, or the verbalizer cannot use it.
        RecipeError: the template, the words or the settings do not fit.
    """
    settings = recipe.backbone
    backbone = resolve_backbone(settings.name, revision=settings.revision, trust_remote_code=settings.trust_remote_code)
    tokenizer = load_tokenizer(backbone)
    if settings.template:
        PairTemplate.parse(settings.template)
    is_decoder(backbone)  # reads its configuration
    if recipe.method == "verbalizer" and recipe.teacher is not None:
        raise RecipeError(
            "a verbalizer learns from grade words, not from a teacher's probabilities",
            where="teacher",
            mend="take method=head",
        )
    if recipe.method == "verbalizer":
        check_verbalizer(recipe, backbone, tokenizer)
    elif recipe.tune.start == "verbalizer":
        check_grade_words(recipe, backbone, tokenizer)


def starts_of(recipe: Recipe) -> list[str]:
    """What tuning begins from, in turn, the first being plain tuning.

    ``auto`` is a random head and one that knows something of grades already: a causal LLM's own rows for the grade
    words, where these begin with distinct tokens, else a probe on the frozen features.
    """
    if recipe.method == "verbalizer":
        return ["verbalizer"]
    if recipe.tune.start != "auto":
        return [recipe.tune.start]
    settings = recipe.backbone
    backbone = resolve_backbone(settings.name, revision=settings.revision, trust_remote_code=settings.trust_remote_code)
    try:
        check_grade_words(recipe, backbone, load_tokenizer(backbone))
    except (BackboneError, RecipeError):
        return ["random", "probe"]
    return ["random", "verbalizer"]


def make_recipe_loss(recipe: Recipe, train: PairTable) -> GradeLoss:
    """The recipe's loss, told the grade mix where it needs it."""
    scale = recipe.grades.scale()
    loss = make_loss(recipe.loss.name, scale.size, scale, **recipe.loss.params)
    if loss.needs_prior:
        loss.set_prior(scale.counts(train.grades).tolist())
    return loss


def class_weights(recipe: Recipe, train: PairTable) -> torch.Tensor | None:
    chosen, K = recipe.loss.class_weights, recipe.grades.scale().size
    if chosen == "none":
        return None
    if chosen == "balanced":
        return balanced_class_weights(train.grades, K)
    if len(chosen) != K:
        raise RecipeError(f"{len(chosen)} weights for {K} grades", where="loss.class_weights")
    return torch.tensor(chosen, dtype=torch.float32)


def start_model(
    recipe: Recipe, start: str, *, probe: Stage | None = None, matched: Stage | None = None
) -> RelevanceModel:
    """The model as tuning begins: fresh, with the probed head (on the matched backbone), or with the verbalizer's."""
    model = fresh_model(recipe)
    if start == "probe":
        assert probe is not None
        if matched is not None:
            load_matched(model, matched)
        head = load_file(probe.folder / "head.safetensors")
        set_head(model.network, head["weight"], head.get("bias"))
    elif start == "verbalizer":
        zero_shot(model, grade_words(recipe))
    return model


def load_matched(model: RelevanceModel, stage: Stage) -> RelevanceModel:
    """``model`` with the matched backbone, in place; its head stays as it is."""
    head = head_name(model.network) + "."
    state = {name: tensor for name, tensor in load_file(stage.folder / WEIGHTS).items() if not name.startswith(head)}
    own = {name: tensor.shape for name, tensor in model.network.state_dict().items() if not name.startswith(head)}
    if own != {name: tensor.shape for name, tensor in state.items()}:
        raise RecipeError("the matched weights are of another backbone", where="match.reuse")
    model.network.load_state_dict(state, strict=False)
    model.network.eval()
    return model


def state_of(model: RelevanceModel) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.network.state_dict().items()}


def load_state(model: RelevanceModel, state: dict[str, torch.Tensor]) -> None:
    model.network.load_state_dict(state)
    model.network.eval()


def load_weights(model: RelevanceModel, stage: Stage) -> RelevanceModel:
    """``model`` with a stage's weights, in place."""
    load_state(model, load_file(stage.folder / WEIGHTS))
    return model
