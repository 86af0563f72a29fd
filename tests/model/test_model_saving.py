"""A saved model: a plain Hugging Face folder that any tool scores alike, and that saving replaces safely."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from small_models import ITEMS, QUERIES, make_model, make_reference
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from darl.decisions import DecisionRule
from darl.errors import ModelError, StorageError
from darl.model import RelevanceModel, saving
from darl.model.backbones import Backbone
from darl.model.relevance_model import softmax

PAIRS = list(zip(QUERIES, ITEMS, strict=True))
load = RelevanceModel.from_pretrained


def logits_of(model: RelevanceModel) -> np.ndarray:
    return model.logits(model.encode(queries=QUERIES, items=ITEMS))


@pytest.fixture
def saved(model, tmp_path: Path) -> Path:
    """A calibrated model with a rule, saved."""
    model.divide_logits(0.5)
    model.rule = DecisionRule("least_cost", power=2)
    model.provenance = {"recipe": {"seed": 3}}
    return model.save_pretrained(tmp_path / "model")


# ------------------------------------------------------------------ round trip


def test_the_logits_come_back_equal(model, saved: Path) -> None:
    np.testing.assert_array_equal(logits_of(load(saved)), logits_of(model))


def test_the_facts_come_back_equal(model, saved: Path) -> None:
    again = load(str(saved))
    assert (again.scale, again.rule, again.provenance) == (model.scale, model.rule, model.provenance)
    assert (again.temperature, again.max_length) == (0.5, 64)


def test_a_loaded_model_saves_the_same_files_again(saved: Path, tmp_path: Path) -> None:
    again = load(saved).save_pretrained(tmp_path / "again")
    for name in ("model.safetensors", "darl.json", "tokenizer.json"):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("source", ["base", "model"])
def test_the_ood_reference_comes_back_equal(model, tmp_path: Path, source: str) -> None:
    model.ood = make_reference(model, source)
    before = model.score(queries=QUERIES, items=ITEMS)
    after = load(model.save_pretrained(tmp_path / "model")).score(queries=QUERIES, items=ITEMS)
    np.testing.assert_array_equal(after.ood_scores, before.ood_scores)
    np.testing.assert_array_equal(after.ood_percentiles, before.ood_percentiles)


def test_a_template_of_ones_own_comes_back(tiny_backbone: Path, tmp_path: Path) -> None:
    model = make_model(tiny_backbone, template="q {query} i {item} relevant?")
    again = load(model.save_pretrained(tmp_path / "model"))
    assert again.tokenizer("red", "shoes")["input_ids"] == model.tokenizer("red", "shoes")["input_ids"]


# ----------------------------------------------------------------- other tools


def test_plain_transformers_gives_the_same_probabilities(model, saved: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved)
    network = AutoModelForSequenceClassification.from_pretrained(saved)
    batch = tokenizer(QUERIES, ITEMS, padding=True, truncation="only_second", return_tensors="pt")
    with torch.inference_mode():
        plain = network(**batch).logits.softmax(-1).numpy()
    np.testing.assert_allclose(plain, model.score(queries=QUERIES, items=ITEMS).probabilities, atol=1e-5)


def test_plain_transformers_scores_one_pair_at_a_time(shared_models, tmp_path: Path) -> None:
    model = shared_models["decoder"]
    folder = model.save_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.inference_mode():
        rows = [network(**tokenizer(*pair, return_tensors="pt")).logits.numpy() for pair in PAIRS]
    np.testing.assert_allclose(np.concatenate(rows), logits_of(model), atol=1e-5)


def test_a_cross_encoder_gives_the_same_probabilities(model, saved: Path) -> None:
    from sentence_transformers import CrossEncoder

    plain = CrossEncoder(str(saved), device="cpu").predict(PAIRS, apply_softmax=True)
    np.testing.assert_allclose(plain, softmax(logits_of(model)), atol=1e-5)


def test_a_cross_encoder_cuts_long_items_alike(model, saved: Path) -> None:
    from sentence_transformers import CrossEncoder

    pair = ("red shoes", "light running shoes " * 200)
    plain = CrossEncoder(str(saved), device="cpu").predict([pair], apply_softmax=True)
    np.testing.assert_allclose(plain, model.score(queries=pair[:1], items=pair[1:]).probabilities, atol=1e-5)


def test_the_config_names_the_grades(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "fair", "2": "good"}
    assert config["label2id"] == {"bad": 0, "fair": 1, "good": 2}


def test_the_temperature_is_in_the_weights(tiny_backbone: Path, saved: Path) -> None:
    uncalibrated = logits_of(make_model(tiny_backbone))
    np.testing.assert_allclose(logits_of(load(saved)), uncalibrated * 2, atol=1e-5)


# -------------------------------------------------------------------- the files


def test_nothing_is_pickled(model, tmp_path: Path) -> None:
    model.ood = make_reference(model, "base")
    files = [file for file in model.save_pretrained(tmp_path / "model").rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".txt", ".jinja"}
    assert {"darl.json", "model.safetensors", "ood.safetensors", "ood.json"} <= {file.name for file in files}


def test_every_file_may_be_read_by_those_who_may_read_darl_json(model, tmp_path: Path) -> None:
    model.ood = make_reference(model, "base")
    folder = model.save_pretrained(tmp_path / "model")
    rights = {stat.S_IMODE(file.stat().st_mode) for file in folder.rglob("*.*") if file.is_file()}
    assert rights == {stat.S_IMODE((folder / "darl.json").stat().st_mode)}


def test_a_local_backbone_that_the_ood_reference_needs_travels_along(tiny_backbone: Path, tmp_path: Path) -> None:
    backbone = shutil.copytree(tiny_backbone, tmp_path / "backbone")
    model = make_model(backbone)
    model.ood = make_reference(model, "base")
    before = model.score(queries=QUERIES, items=ITEMS).ood_scores
    model.save_pretrained(tmp_path / "model")
    shutil.rmtree(backbone)
    moved = (tmp_path / "model").rename(tmp_path / "moved")
    np.testing.assert_array_equal(load(moved).score(queries=QUERIES, items=ITEMS).ood_scores, before)


@pytest.mark.parametrize("name", ["backbone", "./backbone", "backbone/"])
def test_a_relative_backbone_travels_along_too(tiny_encoder: Path, tmp_path: Path, monkeypatch, name: str) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "backbone")
    monkeypatch.chdir(tmp_path)
    model = make_model(Path("backbone"))
    model.backbone = make_model(name).backbone  # type: ignore[arg-type]
    model.ood = make_reference(model, "base")
    model.save_pretrained("model")
    monkeypatch.chdir("/")
    assert (tmp_path / "model" / "base" / "model.safetensors").is_file()
    assert load(tmp_path / "model").score(queries=["red"], items=["shoes"]).ood_scores.shape == (1,)


def test_a_pickled_backbone_travels_as_safetensors(tiny_encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    backbone = shutil.copytree(tiny_encoder, tmp_path / "backbone")
    torch.save(load_file(backbone / "model.safetensors"), backbone / "pytorch_model.bin")
    (backbone / "model.safetensors").unlink()
    model = make_model(backbone)
    model.ood = make_reference(model, "base")
    before = model.score(queries=QUERIES, items=ITEMS).ood_scores
    again = load(model.save_pretrained(tmp_path / "model"))
    assert not list((tmp_path / "model").rglob("*.bin"))
    np.testing.assert_array_equal(again.score(queries=QUERIES, items=ITEMS).ood_scores, before)


def test_a_reference_on_the_tuned_model_needs_no_base(model, tmp_path: Path) -> None:
    model.ood = make_reference(model, "model")
    assert not (model.save_pretrained(tmp_path / "model") / "base").exists()


def test_an_embedded_name_stays_a_name(model, tiny_backbone: Path, tmp_path: Path) -> None:
    model.ood = make_reference(model, "base")
    model.backbone = Backbone("minilm-l6", str(tiny_backbone))
    folder = model.save_pretrained(tmp_path / "model")
    assert json.loads((folder / "darl.json").read_text())["backbone"]["name"] == "minilm-l6"
    assert not (folder / "base").exists()
    assert not load(folder).backbone.is_local


def test_what_a_folder_says_of_trust_does_not_count(model, tmp_path: Path) -> None:
    model.backbone = Backbone("somebody/model", "somebody/model", None, trust_remote_code=True)
    folder = model.save_pretrained(tmp_path / "model")
    assert not load(folder).backbone.trust_remote_code
    assert load(folder, trust_remote_code=True).backbone.trust_remote_code


# ------------------------------------------------------------------- replacing


@pytest.fixture
def changed(tiny_backbone: Path) -> RelevanceModel:
    """Another model to put in the saved one's place."""
    other = make_model(tiny_backbone)
    other.divide_logits(8.0)
    return other


def test_saving_over_a_model_replaces_it(saved: Path, changed) -> None:
    changed.save_pretrained(saved)
    np.testing.assert_array_equal(logits_of(load(saved)), logits_of(changed))


def test_replacing_leaves_nothing_of_the_old_model(model, changed, tmp_path: Path) -> None:
    model.ood = make_reference(model, "base")
    folder = model.save_pretrained(tmp_path / "model")
    changed.save_pretrained(folder)
    assert not (folder / "base").exists()
    assert not (folder / "ood.json").exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_loaded_model_can_be_saved_over_itself(model, tmp_path: Path) -> None:
    model.ood = make_reference(model, "base")
    folder = model.save_pretrained(tmp_path / "model")
    before = model.score(queries=QUERIES, items=ITEMS)
    load(folder).save_pretrained(folder)
    np.testing.assert_array_equal(load(folder).score(queries=QUERIES, items=ITEMS).ood_scores, before.ood_scores)


def test_saving_through_a_link_replaces_what_it_points_to(saved: Path, changed, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(saved)
    changed.save_pretrained(link)
    assert link.is_symlink()
    np.testing.assert_array_equal(logits_of(load(saved)), logits_of(changed))


def test_an_empty_folder_may_be_filled(model, tmp_path: Path) -> None:
    assert load(model.save_pretrained(tmp_path)).max_length == 64


def test_a_folder_of_something_else_is_left_alone(model, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="other than a darl model") as caught:
        model.save_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_left_alone(model, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    with pytest.raises(ModelError, match="other than a darl model"):
        model.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "a file"


@pytest.mark.parametrize("failure", [OSError(28, "No space left"), RuntimeError("odd"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_model_alone(saved: Path, changed, monkeypatch, failure) -> None:
    before = logits_of(load(saved))

    def fail(*_args: object) -> None:
        raise failure

    monkeypatch.setattr(saving, "plain_tokenizer_class", fail)  # the weights are written by then
    with pytest.raises((StorageError, RuntimeError, KeyboardInterrupt)):
        changed.save_pretrained(saved)
    np.testing.assert_array_equal(logits_of(load(saved)), before)
    assert list(saved.parent.iterdir()) == [saved]


def test_a_full_disk_is_named_though_safetensors_reports_it(saved: Path, changed, monkeypatch) -> None:
    def fail(*_args: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(changed.network, "save_pretrained", fail)
    with pytest.raises(StorageError, match="no space is left"):
        changed.save_pretrained(saved)


def test_a_swap_that_fails_puts_the_old_model_back(saved: Path, changed, monkeypatch) -> None:
    before, rename = logits_of(load(saved)), os.rename

    def fail_into_place(source: Path, target: Path) -> None:
        if Path(target) == saved and "darl-new" in Path(source).name:
            raise PermissionError(13, "denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_into_place)
    with pytest.raises(StorageError, match="permission denied"):
        changed.save_pretrained(saved)
    np.testing.assert_array_equal(logits_of(load(saved)), before)


@pytest.fixture
def killed(saved: Path, changed, tmp_path: Path, monkeypatch) -> list[Path]:
    """What is on the disk if the process is killed before or after any rename, or while files are written."""
    rename, save, snapshots = os.rename, changed.network.save_pretrained, []

    def snapshot() -> None:
        snapshots.append(shutil.copytree(saved.parent, tmp_path.parent / f"{tmp_path.name}-{len(snapshots)}"))

    def watched(action):
        def run(*args: object) -> None:
            snapshot()
            action(*args)
            snapshot()

        return run

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", watched(rename))
        patch.setattr(changed.network, "save_pretrained", watched(save))
        changed.save_pretrained(saved)
    return snapshots


def test_killed_at_any_point_a_whole_model_is_loaded(saved: Path, changed, killed: list[Path], model) -> None:
    old, new = logits_of(model), logits_of(changed)
    assert len(killed) == 8  # before and after: the weights, the new folder, the old one aside, the new one in place
    for snapshot in killed:
        found = logits_of(load(snapshot / saved.name))
        assert np.array_equal(found, old) or np.array_equal(found, new)


def test_killed_at_any_point_the_next_save_succeeds_and_tidies_up(saved: Path, changed, killed: list[Path]) -> None:
    for snapshot in killed:
        changed.save_pretrained(snapshot / saved.name)
        np.testing.assert_array_equal(logits_of(load(snapshot / saved.name)), logits_of(changed))
        assert [path.name for path in snapshot.iterdir()] == [saved.name]


def test_provenance_that_is_not_json_is_named_and_nothing_written(model, tmp_path: Path) -> None:
    model.provenance = {"when": object()}
    with pytest.raises(ModelError, match="provenance"):
        model.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
