"""The client against a real server that is slow, busy, broken, picky, or says no."""

from __future__ import annotations

import email.utils
import itertools
import json
import logging
import random
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from judge_world import MODEL, SCALE, ChatServer, Told, error, no_waiting, right, run, says, serving  # noqa: F401

from darl.labelling.judge import (
    JudgeError,
    KeyRefusedError,
    NoSuchModelError,
    QuotaError,
    RequestRefusedError,
    UnreachableError,
)
from darl.labelling.judge.endpoint import ChatEndpoint
from darl.labelling.judge.waiting import asked_wait, backoff

pytestmark = pytest.mark.usefixtures("no_waiting")
SECRET = "sk-secret-4711"


def labelled(server: ChatServer, folder: Path, **more: Any) -> list[str]:
    return [row["grade"] for row in run(server, folder, gold=0, **more).rows]


def test_a_right_server_is_asked_once_a_pair(tmp_path: Path) -> None:
    with serving(right) as server:
        assert labelled(server, tmp_path) == ["irrelevant", "weak", "strong"] * 2
    assert [asked.path for asked in server.asked] == ["/v1/chat/completions"] * 6
    body = server.asked[0].body
    assert (body["model"], body["temperature"], body["max_tokens"], body["stream"]) == (MODEL, 0.0, 256, False)
    schema = body["response_format"]["json_schema"]
    assert schema["schema"]["properties"]["grade"]["enum"] == list(SCALE.names)
    assert "authorization" not in server.asked[0].headers


def test_requests_and_answers_are_those_of_the_openai_library(tmp_path: Path) -> None:
    """What we send is what its types allow; what our server of the tests answers is what its models read."""
    types = pytest.importorskip("openai.types.chat", reason="openai is not installed: pip install 'darl[dev]'")
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from pydantic import TypeAdapter

    with serving(right) as server:
        run(server, tmp_path, gold=0, pairs=2)
        run(server, tmp_path, gold=0, pairs=2, settings={"samples": 2, "answer": "json", "temperature": 0.7})
    for asked in server.asked:
        TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(asked.body)
        types.ChatCompletion.model_validate_json(right(asked).bytes(MODEL), strict=True)


def test_the_most_requests_at_a_time_are_those_asked_for(tmp_path: Path) -> None:
    four = threading.Barrier(4, timeout=60)

    def answer(asked: Any) -> Told:
        if asked.number:  # the first goes alone, to find the form of the requests
            four.wait()  # raises, and so breaks the connection, where not four are at the server together
        return right(asked)

    with serving(answer) as server:
        found = run(server, tmp_path, pairs=21, gold=0, settings={"concurrency": 4, "timeout": 100.0})
    assert len(found.rows) == 21
    assert found.judge.endpoint.retried == 0
    assert server.most_at_once == 4


@pytest.mark.parametrize(
    "trouble",
    [
        error(500, "oops"),
        error(503, "loading model"),
        error(529, "overloaded"),
        error(429, "slow down"),
        error(408, "too slow"),
        Told(hang_up=True),
        Told(body=b'{"choices": [{"message": {"content": "we'),
        Told(body=b"\xff\xfe not text"),
        Told(body={"choices": []}),
        Told(body=[1]),
        Told(body=b"[" * 100_000),
        Told(body={"choices": [{"message": {"content": {"a": 1}}}]}),
        Told(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
    ],
    ids=lambda told: f"{told.status}-{'drop' if told.hang_up else str(told.body)[:30]}",
)
def test_a_failure_on_the_way_is_tried_again(tmp_path: Path, trouble: Told) -> None:
    with serving(right, trouble, trouble, right) as server:
        found = run(server, tmp_path, gold=0)
    assert [row["grade"] for row in found.rows] == ["irrelevant", "weak", "strong"] * 2
    assert len(server.asked) == 8
    assert found.judge.endpoint.retried == 2


def test_a_slow_answer_is_tried_again_even_when_it_drips(tmp_path: Path) -> None:
    """Each byte of a dripping answer comes in time, the whole of it does not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        seen = []

        def drip() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                seen.append(connection)
                threading.Thread(target=feed, args=(connection,), daemon=True).start()

        def feed(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                    for _ in range(1000):
                        connection.sendall(b" ")
                        time.sleep(0.05)
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        server = type("Dripping", (), {"url": f"http://127.0.0.1:{listening.getsockname()[1]}/v1"})
        found = run(server, tmp_path, pairs=1, gold=0, settings={"timeout": 0.4, "retries": 1})  # type: ignore[arg-type]
    assert len(seen) == 2
    assert "the connection failed (TimeoutError) (in 2 attempts)" in found.unlabelled[0]["judge_problem"]


def test_retry_after_is_waited_for_by_all(tmp_path: Path) -> None:
    busy = error(429, "slow down", headers={"Retry-After": "1"})
    slowly = lambda asked: Told(right(asked).text, after=0.05)  # noqa: E731
    with serving(right, busy, slowly) as server:
        labelled(server, tmp_path, pairs=12, settings={"concurrency": 3})
    gaps = [after - before for before, after in itertools.pairwise(server.times)]
    silence = max(gaps)
    assert silence >= 0.8  # the server hears of nobody for about the second it asked for
    assert len(gaps) - gaps.index(silence) >= 6


def test_a_long_pause_is_not_waited_for(tmp_path: Path) -> None:
    with (
        serving(error(429, "daily limit", headers={"Retry-After": "7200"})) as server,
        pytest.raises(QuotaError, match="120 minutes: daily limit"),
    ):
        run(server, tmp_path)


def test_waits_grow_with_jitter_and_dates_are_read() -> None:
    draw = random.Random(0)
    waits = [[backoff(attempt, draw) for _ in range(2000)] for attempt in range(8)]
    for attempt, drawn in enumerate(waits):
        top = min(60.0, 0.01 * 2**attempt)
        assert 0 <= min(drawn) < max(drawn) <= top
        assert sum(drawn) / len(drawn) == pytest.approx(top / 2, rel=0.1)
    now = datetime(2026, 5, 1, tzinfo=UTC)
    date = email.utils.format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert asked_wait({"retry-after": date}, now) == 90
    assert asked_wait({"retry-after": date}, now + timedelta(hours=1)) == 0
    assert [asked_wait({"retry-after": text}) for text in ("", "nan", "inf", "-3", "99-99")] == [
        None,
        None,
        None,
        0.0,
        None,
    ]


PLAIN = {"messages", "model", "stream"}


@pytest.mark.parametrize(
    ("complaint", "refused", "form", "gone"),
    [
        ("response_format json_schema is not supported", lambda b: "json_schema" in str(b.get("response_format")),
         "answers as JSON", set()),
        ("unknown field: response_format", lambda b: "response_format" in b, "answers as text", {"response_format"}),
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
         lambda b: "max_tokens" in b, "answers by JSON schema, length by max_completion_tokens", {"max_tokens"}),
        ("Unsupported value: 'temperature' does not support 0.0", lambda b: "temperature" in b,
         "answers by JSON schema, no temperature", {"temperature"}),
        ("System role not supported", lambda b: b["messages"][0]["role"] == "system",
         "answers by JSON schema, no system message", set()),
        ("no", lambda b: set(b) - PLAIN - {"temperature", "max_tokens"}, "answers as text", {"response_format"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 422])
def test_the_form_of_requests_is_found(
    tmp_path: Path, complaint: str, refused: Any, form: str, gone: set[str], status: int
) -> None:
    def picky(asked: Any) -> Told:
        return error(status, complaint) if refused(asked.body) else right(asked)

    with serving(picky) as server:
        found = run(server, tmp_path, pairs=9, gold=0, settings={"concurrency": 4})
    assert len(found.rows) == 9
    assert found.judge.endpoint.dialect.to_text() == form
    assert len(server.asked) <= 9 + 2  # found once, by the first question alone
    assert not gone & set(server.asked[-1].body)


def test_a_form_that_was_asked_for_stays(tmp_path: Path) -> None:
    with (
        serving(error(400, "response_format is not supported")) as server,
        pytest.raises(RequestRefusedError, match="response_format"),
    ):
        run(server, tmp_path, gold=0, settings={"answer": "schema"})
    assert len(server.asked) == 3


def test_a_pair_that_is_refused_stays_unlabelled(tmp_path: Path) -> None:
    def filtering(asked: Any) -> Told:
        return error(400, "content filter", code="content_filter") if "item 0" in asked.pair["item"] else right(asked)

    with serving(filtering) as server:
        found = run(server, tmp_path, gold=0)
    assert len(found.rows) == 5
    assert [row["judge_problem"] for row in found.unlabelled] == ["refused: HTTP 400: content filter"]
    assert found.judge.endpoint.dialect.answer == "schema"  # it was the pair, not the form


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        (error(401, f"Incorrect API key provided: {SECRET}"), KeyRefusedError, "key is refused"),
        (error(403, "no access"), KeyRefusedError, "HTTP 403"),
        (error(404, "The model `tiny-judge` does not exist"), NoSuchModelError, "does not exist"),
        (Told(status=404, body=b"<html>nothing here</html>"), NoSuchModelError, "no such address"),
        (Told(status=405, body=b""), NoSuchModelError, "nothing said"),
        (error(402, "no credit"), QuotaError, "credit"),
        (error(429, "You exceeded your current quota", code="insufficient_quota"), QuotaError, "credit"),
        (error(400, "nonsense"), RequestRefusedError, "refuses every request"),
        (Told(status=422, body={"detail": [{"msg": "nonsense"}]}), RequestRefusedError, "nonsense"),
        (Told(status=307, headers={"Location": "http://127.0.0.1:1/"}, body=b""), RequestRefusedError, "redirects"),
    ],
)
def test_what_cannot_be_mended_by_waiting_is_said_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    told: Told,
    kind: type,
    words: str,
) -> None:
    monkeypatch.setenv("DARL_JUDGE_KEY", SECRET)
    caplog.set_level(logging.DEBUG)
    with serving(told) as server, pytest.raises(kind, match=words) as caught:
        run(server, tmp_path, settings={"concurrency": 1})
    assert len(server.asked) <= 9  # no attempt is repeated: at most three pairs in three forms
    assert server.asked[0].headers["authorization"] == f"Bearer {SECRET}"
    assert caught.value.where == server.url + "/chat/completions"
    assert SECRET not in str(caught.value) + caplog.text


def test_the_key_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_OF_OURS", f" {SECRET}\n")
    with serving(right) as server:
        run(server, tmp_path, key_env="JUDGE_OF_OURS", out=tmp_path / "out.jsonl", answers=tmp_path / "answers.jsonl")
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {SECRET}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_key_in_the_address_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(right) as server:
        address, server.url = server.url, f"{server.url.replace('//', f'//user:{SECRET}@')}?key={SECRET}"
        run(server, tmp_path)
    assert server.asked[0].path == f"/v1/chat/completions?key={SECRET}"
    assert f"POST {address}/chat/completions" in caplog.text
    assert SECRET not in caplog.text
    assert not logging.getLogger("httpx").filters


def test_a_key_that_is_missing_or_broken_is_named_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(right) as server:
        with pytest.raises(JudgeError, match="NO_SUCH_KEY is empty"):
            run(server, tmp_path, key_env="NO_SUCH_KEY")
        monkeypatch.setenv("DARL_JUDGE_KEY", "sk-ключ-4711")
        with pytest.raises(JudgeError, match="cannot be sent") as caught:
            run(server, tmp_path)
    assert "4711" not in str(caught.value)
    assert not server.asked


def test_nothing_there_is_said_after_two_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, real = [], ChatEndpoint._post

    async def counted(*given: Any) -> Any:
        attempts.append(given)
        return await real(*given)

    monkeypatch.setattr(ChatEndpoint, "_post", counted)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = type(
            "Nobody", (), {"url": f"http://user:{SECRET}@127.0.0.1:{unused.getsockname()[1]}/v1?key={SECRET}"}
        )
        with pytest.raises(UnreachableError, match="nothing answers") as caught:
            run(server, tmp_path)  # type: ignore[arg-type]
    assert len(attempts) == 2
    assert SECRET not in str(caught.value)


def test_an_endpoint_that_dies_ends_the_job_and_loses_nothing(tmp_path: Path) -> None:
    def dying(asked: Any) -> Told:
        return right(asked) if asked.number < 10 else Told(hang_up=True, after=0.03)

    with ChatServer(dying) as server:
        with pytest.raises(UnreachableError, match=r"5 requests in a row.*\n.*are kept"):
            run(server, tmp_path, pairs=40, gold=0, settings={"retries": 1, "concurrency": 3})
        answered = {asked.pair["item"] for asked in server.asked[:10]}
        before, server.behave = len(server.asked), right
        found = run(server, tmp_path, pairs=40, gold=0)
    assert len({(row["query"], row["item"]) for row in found.rows}) == 40
    again = [asked.pair["item"] for asked in server.asked[before:]]
    assert len(again) == len(set(again)) == 40 - 10
    assert not answered & set(again)


def test_one_request_that_always_fails_costs_one_pair(tmp_path: Path) -> None:
    def crashing(asked: Any) -> Told:
        return error(500, "out of memory") if "item 3 " in asked.pair["item"] else right(asked)

    with serving(crashing) as server:
        found = run(server, tmp_path, pairs=12, gold=0, settings={"retries": 2})
    assert len(found.rows) == 11
    assert found.unlabelled[0]["judge_problem"] == "failed: HTTP 500: out of memory (in 3 attempts)"
    assert len(server.asked) == 11 + 3


def test_a_running_loop_is_no_obstacle(tmp_path: Path) -> None:
    """As in a notebook."""
    import asyncio

    async def cell() -> list[str]:
        with serving(right) as server:
            return labelled(server, tmp_path)

    assert len(asyncio.run(cell())) == 6


@pytest.mark.parametrize(
    "given",
    [{"endpoint": "localhost:8000/v1"}, {"endpoint": "ftp://a/b"}, {"endpoint": "http://"}, {"endpoint": "http://a b/"},
     {"model": " "}, {"samples": 0}, {"temperature": 3}, {"max_tokens": 0}, {"tries": 0}, {"concurrency": 0},
     {"concurrency": 10_000}, {"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}, {"answer": "xml"},
     {"temperature": 0.0, "samples": 2}],
)  # fmt: skip
def test_settings_out_of_range_are_named(given: dict[str, Any]) -> None:
    from darl.labelling.judge import JudgeSettings

    with pytest.raises(JudgeError, match=next(iter(given))):
        JudgeSettings(**{"endpoint": "http://a/v1", "model": "m", **given})


def test_addresses() -> None:
    from darl.labelling.judge import JudgeSettings

    for text in ("http://a/v1", "http://a/v1/", "http://a/v1/chat/completions"):
        assert JudgeSettings(text, "m").url == "http://a/v1/chat/completions"
    azure = JudgeSettings("https://u:p@a.example/openai/v1?api-version=2", "m")
    assert azure.url == "https://u:p@a.example/openai/v1/chat/completions?api-version=2"
    assert azure.shown == "https://a.example/openai/v1/chat/completions"


def test_answers_in_parts_refusals_and_surrogates_are_read(tmp_path: Path) -> None:
    parts = Told(body={"choices": [{"message": {"content": [{"type": "text", "text": '{"grade": "weak"}'}]}}]})
    refusal = Told(
        body={"choices": [{"message": {"content": None, "refusal": "I will not."}, "finish_reason": "stop"}]}
    )
    surrogate = Told(body=json.dumps({"choices": [{"message": {"content": "\ud800 strong \u0000"}}]}).encode())
    with serving(parts, refusal, surrogate) as server:
        found = run(server, tmp_path, pairs=3, gold=0, settings={"concurrency": 1, "tries": 1})
    assert [row["grade"] for row in found.rows] == ["weak"]
    problems = [row["judge_problem"] for row in found.unlabelled]
    assert problems == ["it names no grade: I will not.", "it names no grade: \ufffd strong \ufffd"]
    assert found.to_dict()["spending"]["prompt_tokens"] > 100  # estimated, for none was told


def test_no_answer_is_read_from_another_pair(tmp_path: Path) -> None:
    """Answers that come back in another order than they were asked for."""
    draw = random.Random(3)
    with serving(lambda asked: Told(right(asked).text, after=draw.uniform(0, 0.03))) as server:
        found = run(server, tmp_path, pairs=60, gold=0, settings={"concurrency": 16})
    assert all(SCALE.names[int(row["item"][-1])] == row["grade"] for row in found.rows)
    assert [row["item"] for row in found.rows] == [record["item"] for record, _ in found.pairs]
    assert says(0).text
