"""Who opens the server: any key that a request brings, and never nobody's by a slip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from darl.errors import RecipeError
from darl.serving.auth import KeyRing
from darl.serving.settings import load_settings

RING = KeyRing(["s3cret", "other"])
RIGHT, WRONG = (b"x-api-key", b"s3cret"), (b"authorization", b"Basic d2hvOndobw==")


@pytest.mark.parametrize(
    "headers",
    [
        [RIGHT],
        [RIGHT, WRONG],
        [WRONG, RIGHT],
        [(b"x-api-key", b"theirs"), (b"authorization", b"ApiKey other")],
        [(b"authorization", b"Bearer theirs"), (b"authorization", b"Bearer s3cret")],
        [(b"authorization", b"other")],
    ],
)
def test_any_of_the_keys_that_a_request_brings_opens(headers: list[tuple[bytes, bytes]]) -> None:
    assert RING.opens(headers)


@pytest.mark.parametrize(
    "headers", [[], [WRONG], [WRONG, (b"x-api-key", b"s3cre")], [(b"cookie", b"s3cret")], [(b"authorization", b"")]]
)
def test_no_key_and_a_wrong_one_open_nothing(headers: list[tuple[bytes, bytes]]) -> None:
    assert not RING.opens(headers)


@pytest.mark.parametrize("blank", ["", " ", ",", " , "])
def test_a_variable_without_a_key_is_refused(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARL_SERVE_API_KEYS", blank)
    with pytest.raises(RecipeError, match=r"DARL_SERVE_API_KEYS: holds no key"):
        load_settings(model="m")


@pytest.mark.parametrize("keys", ['""', '["a", " "]', '[""]'])
def test_a_list_with_a_blank_key_is_refused(keys: str, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(f"model: m\napi_keys: {keys}\n")
    with pytest.raises(RecipeError, match="holds no key"):
        load_settings(file)


@pytest.mark.parametrize(
    ("keys", "found"), [("a, b,", ("a", "b")), ([], ()), ((SecretStr("a"),), ("a",)), (["a b"], ("a b",))]
)
def test_keys_and_none_at_all_are_taken(keys: Any, found: tuple[str, ...]) -> None:
    assert load_settings(model="m", api_keys=keys).all_keys() == found
