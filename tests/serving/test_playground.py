"""The playground: its files, its key, the nearest training pairs, and the page in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from playground_world import GRADES, write_run
from running_server import RunningServer, serving

from browser import Visit, serious_violations
from darl.errors import DataError
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.ood.knn import KNN
from darl.pairs import read_pairs
from darl.recipe.file import load_recipe
from darl.serving.app import Service
from darl.serving.facts import ModelFacts
from darl.serving.nearest import read_nearest
from darl.serving.playground.routes import FILES, PATHS
from darl.serving.settings import ServeSettings
from darl.training.reference import reference_rows

if TYPE_CHECKING:
    from playwright.sync_api import Page

FACTS = ModelFacts("v1", GRADES, (0.0, 0.5, 1.0), 64, 4, True, False, "tiny", "float32", "cpu", "nobody asked")
LONG = "<b>" + "Very long title 长标题 " * 600
HOSTILE = (
    "<script>window.hacked=1</script>",
    '<img src=x onerror=window.hacked=1> it\'s "$HOME" `id` \\',
    "حذاء رياضي أحمر 42",
    "safe\u202egnp.exe\u2066 🧦👩‍👩‍👧‍👦 &amp;&lt;",
    LONG,
)


@pytest.fixture(scope="module")
def run_folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tiny_encoder, tmp_path_factory.mktemp("playground") / "shop")


@pytest.fixture(scope="module")
def shop(run_folder: Path) -> Iterator[RunningServer]:
    with serving(run_folder, "nearest=true", "spare=false", "ood_flag_at=60") as running:
        yield running


def service(**settings: Any) -> Service:
    """A server's parts, with a model that is described but not loaded."""
    made = Service(ServeSettings(model=Path("runs/shop/model"), **settings))
    made.fleet.facts = FACTS
    return made


def get(made: Service, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=made.gate)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


@contextlib.contextmanager
def in_thread(made: Service) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(made.gate, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(30)


# ------------------------------------------------------------------------------------------------ over HTTP


def test_every_file_of_the_page_is_served_and_safe() -> None:
    import darl.serving.playground as package

    assert {path.name for path in (Path(package.__file__).parent / "page").iterdir()} == set(FILES)
    made = service()
    for path in PATHS:
        reply = get(made, path)
        assert reply.status_code == 200
        assert reply.content
        assert reply.headers["content-security-policy"].startswith("default-src 'self';")
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert get(made, path, "HEAD").status_code == 200
    assert "/playground" not in get(made, "/openapi.json").text


def test_off_means_gone() -> None:
    made = service(playground=False)
    assert {get(made, path).status_code for path in PATHS} == {404}
    assert get(service(playground=False, api_keys="k"), "/").status_code == 401


def test_with_keys_only_the_files_are_open() -> None:
    made = service(api_keys="s3cret")
    assert {get(made, path).status_code for path in PATHS} == {200}
    assert get(made, "/", "POST").status_code == 401
    assert get(made, "/playground/other.js").status_code == 401
    assert get(made, "/info").status_code == 401
    assert get(made, "/info", authorization="Bearer s3cret").json()["no_nearest"] == "nobody asked"
    files = " ".join(get(made, path).text for path in PATHS)
    assert "s3cret" not in files
    assert made.settings.model_name not in files.split()


def test_nearest_are_the_nearest_of_the_reference(shop: RunningServer, run_folder: Path) -> None:
    train = read_pairs(run_folder / "train.jsonl", scale=GradeScale(GRADES))
    # a pair that the model was trained on, and that its reference kept, is its own nearest at distance 0
    body = {"pairs": [{"query": q, "item": i} for q, i in zip(train.queries, train.items, strict=True)], "nearest": 2}
    results = shop.post("/v1/relevance", body).raise_for_status().json()["results"]
    kept = reference_rows(load_recipe(run_folder / "recipe.yaml"), 60)  # 20 of them
    for row in kept[KNN(max_reference=12).kept_rows(20)]:
        first = results[row]["nearest"][0]
        assert first["distance"] < 2**-11  # the reference keeps float16
        assert (first["query"], first["item"]) == (train.queries[row], train.items[row])
        assert (first["grade"], first["grade_name"]) == (row % 3, GRADES[row % 3])
    for found in results:
        near, far = (pair["distance"] for pair in found["nearest"])
        assert near <= far
        # k = 2 of 20 pairs is k = 1 of the 12 that are kept: the score is the distance to the nearest
        assert near == pytest.approx(found["ood"]["score"], abs=1e-5)


def test_nearest_only_where_asked_for(shop: RunningServer) -> None:
    body = {"query": "dog", "items": ["vet"], "ood": False}
    assert "nearest" not in shop.post("/v1/relevance", body).json()["results"][0]
    found = shop.post("/v1/relevance", body | {"nearest": 10}).json()["results"][0]
    assert found["ood"] is None
    assert len(found["nearest"]) == 10
    reply = shop.post("/v1/relevance", body | {"nearest": 11})
    assert reply.status_code == 422
    assert reply.json()["error"]["where"] == "nearest"
    assert shop.client.get("/info").json()["has_nearest"] is True


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda run: (run / "recipe.yaml").unlink(), "lies in no run"),
        (lambda run: (run / "train.jsonl").unlink(), "cannot be read any more"),
        (lambda run: _grade_again(run / "train.jsonl"), "are not those that the model was made from"),
        (lambda run: _forget_seed(run / "model" / "darl.json"), "do not fit the features"),
    ],
)
def test_texts_that_are_not_the_models_are_not_named(spoil: Any, reason: str, run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    for file in (run / "recipe.yaml", run / "model" / "darl.json"):  # both say where the training files lie
        file.write_text(file.read_text().replace(str(run_folder), str(run)))
    spoil(run)
    model = RelevanceModel.from_pretrained(run / "model")
    with pytest.raises(DataError, match=reason):
        read_nearest(model, run / "model")


def _grade_again(path: Path) -> None:
    path.write_text(path.read_text().replace('"grade": 0', '"grade": 1', 1))


def _forget_seed(path: Path) -> None:
    facts = json.loads(path.read_text())
    facts["provenance"]["recipe"]["seed"] = 4  # another draw of the training pairs
    path.write_text(json.dumps(facts))


# --------------------------------------------------------------------------------------------- in a browser


def fill(page: Page, query: str, items: list[str]) -> None:
    page.wait_for_selector("#work:not([hidden])")
    page.fill("#query", query)
    page.fill("#items", "\n".join(items))


def score(page: Page) -> None:
    shown = page.get_attribute("body", "data-shown") or "0"
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(f"body[data-shown='{int(shown) + 1}']")


def sent(page: Page) -> tuple[str, dict[str, Any]]:
    """What the shown command would send, and where, as a shell reads it."""
    words = shlex.split(page.text_content("#curl") or "")
    assert words[:2] == ["curl", "-s"]
    return words[2], json.loads(words[words.index("-d") + 1])


def test_what_is_shown_is_what_the_server_says(visit: Visit, shop: RunningServer) -> None:
    page = visit(shop.url + "/")
    items = ["red garden table", "vet cover for a dog", "yearly family travel cover", "light shoes"]
    fill(page, "known 3 dog", items)
    score(page)
    url, body = sent(page)
    assert (url, body) == (f"{shop.url}/v1/relevance", {"query": "known 3 dog", "items": items, "nearest": 3})
    results = shop.post("/v1/relevance", body).json()["results"]
    for order, key in (
        ("relevance", lambda row: -results[row]["relevance_score"]),
        ("ood", lambda row: -results[row]["ood"]["percentile"]),
        ("given", lambda row: row),
    ):
        page.select_option("#order", order)
        cards = page.locator("#results > li")
        expected = sorted(range(len(items)), key=key)
        assert [cards.nth(place).locator(".item .text").text_content() for place in range(4)] == [
            items[row] for row in expected
        ]
        for place, row in enumerate(expected):
            found, text = results[row], cards.nth(place).text_content() or ""
            assert cards.nth(place).locator(".score b").text_content() == f"{found['relevance_score']:.3f}"
            assert cards.nth(place).locator(".grade-name").text_content() == found["grade_name"]
            shares = [f"{100 * share:.1f} %" for share in reversed(found["grade_probs"])]
            assert cards.nth(place).locator("td.number").all_text_contents() == shares
            assert cards.nth(place).locator(".percentile").text_content() == f"{found['ood']['percentile']:.1f}"
            assert ("far out" in text) is found["ood"]["flag"]
            named = cards.nth(place).locator(".near-item").all_text_contents()
            assert named == [pair["item"] for pair in found["nearest"]]
    assert not serious_violations(page)
    page.uncheck("#ood")
    page.uncheck("#nearest")
    assert sent(page)[1] == {"query": "known 3 dog", "items": items, "ood": False}
    page.focus("#items")
    score(page)
    assert not page.locator(".out, .near").count()


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_any_text_is_shown_as_text(visit: Visit, shop: RunningServer, width: int, dark: bool) -> None:
    page = visit(shop.url + "/", width=width, dark=dark)
    fill(page, "</p></main><h1>gone ‮txet", list(HOSTILE))
    score(page)
    assert sent(page)[1]["items"] == [text.strip() for text in HOSTILE]
    assert not set("\u202e\u2066") & set(page.text_content("#curl") or "")
    page.select_option("#order", "given")
    assert page.locator(".item .text").all_text_contents() == [text.strip() for text in HOSTILE]
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not serious_violations(page)


def test_by_keyboard_and_with_refusals_in_words(visit: Visit, shop: RunningServer) -> None:
    visit.expects("status of 422")
    page = visit(shop.url + "/", permissions=["clipboard-read", "clipboard-write"])
    page.wait_for_selector("#query:focus")
    page.keyboard.press("Enter")  # no item yet
    page.wait_for_selector("#items:focus")
    assert page.text_content("#notice.trouble") == "Give at least one item."
    page.keyboard.insert_text("vet")
    for _ in range(4):  # two choices, the button
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "score":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#results > li")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "copy"
    page.keyboard.press("Enter")
    page.wait_for_selector("#copy:text('Copied')")
    assert page.evaluate("navigator.clipboard.readText()") == page.text_content("#curl")
    page.fill("#items", "x" * 100_001)
    page.press("#items", "Control+Enter")
    page.wait_for_selector("#notice.trouble")
    assert "100001 characters" in (page.text_content("#notice") or "")


def test_the_page_of_the_endpoints_loads_everything_from_the_server_itself(visit: Visit, shop: RunningServer) -> None:
    """FastAPI's own page needs a content network; a server in a closed network would show nothing."""
    page = visit(f"{shop.url}/docs")
    page.get_by_text("/v2/rerank", exact=True).first.wait_for()
    assert page.title().startswith("darl")
    visit.check()


def test_a_key_is_asked_for_and_kept_in_memory_only(visit: Visit) -> None:
    visit.expects("status of 401")
    with in_thread(service(api_keys="s3cret")) as url:
        page = visit(url)
        page.wait_for_selector("#key:focus")
        assert not serious_violations(page)
        page.keyboard.insert_text("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#notice.trouble")
        page.wait_for_selector("#key:focus")
        page.keyboard.insert_text("s3cret")
        page.keyboard.press("Enter")
        page.wait_for_selector("#work:not([hidden])")
        assert "Authorization: Bearer $DARL_KEY" in (page.text_content("#curl") or "")
        assert "s3cret" not in page.content()
        assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        assert page.text_content("#missing") == "No nearest training pairs: nobody asked."
        page.reload()
        page.wait_for_selector("#key:focus")
