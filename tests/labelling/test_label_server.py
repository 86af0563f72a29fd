"""The server's interface: what it refuses, what headers it sends, how it starts and stops."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from label_world import SCALE, Command, begin, call, in_thread, some_pairs

from darl.labelling import Database, LabellingError, open_project, serve_page
from darl.labelling.serving import is_loopback


def test_a_round_of_calls(tmp_path: Path) -> None:
    project = begin(tmp_path / "a.sqlite", 2, guideline="# be fair")
    with in_thread(project) as url:
        assert call(url, "api/project")[1]["grades"] == ["irrelevant", "weak", "strong"]
        assert call(url, "api/project")[1]["guideline"] == "# be fair"
        status, state = call(url, "api/next", {"annotator": "Ann"})
        assert status == 200
        assert set(state["task"]) == {"token", "query", "item", "fields", "skipped", "previous"}  # nothing of gold
        said = {"annotator": "Ann", "token": state["task"]["token"], "outcome": "grade", "grade": 2, "seconds": 1.5}
        assert call(url, "api/renew", {"annotator": "Ann", "token": said["token"]}) == (200, {"held": True})
        status, state = call(url, "api/answer", said)
        assert (state["task"]["query"], state["progress"]["done"], state["can_undo"]) == ("query 1", 1, True)
        assert call(url, "api/answer", said)[1] == state
        status, state = call(url, "api/undo", {"annotator": "Ann"})
        assert state["task"]["previous"] == {"outcome": "grade", "grade": 2, "note": ""}
        status, found = call(url, "api/answer", {**said, "token": "other"})
        assert (status, found["error"]) == (409, "gone")


def test_what_is_refused(tmp_path: Path) -> None:
    project = begin(tmp_path / "a.sqlite", 2)
    with in_thread(project, key="secret", hosts=["127.0.0.1"]) as url:
        who, key = {"annotator": "Ann"}, {"X-Darl-Key": "secret"}
        assert call(url, "api/next", who)[0] == 401
        assert call(url, "api/project")[0] == 401
        assert call(url, "api/next", who, **{"X-Darl-Key": "sécret".encode().decode("latin-1")})[0] == 401
        assert call(url, "api/next", who, **key, Host="evil.example")[0] == 400
        assert _without_mark(url, key)[0] == 403
        assert call(url, "api/next", {"annotator": "x" * 70_000}, **key)[0] == 413
        assert call(url, "api/next", {"annotator": ""}, **key)[0] == 422
        assert call(url, "api/next", {"annotator": "Ann", "admin": True}, **key)[0] == 422
        token = call(url, "api/next", who, **key)[1]["task"]["token"]
        for wrong in ({"outcome": "grade", "grade": 7}, {"outcome": "maybe"}, {"outcome": "skip", "seconds": -1}):
            assert call(url, "api/answer", {**who, "token": token, **wrong}, **key)[0] == 422
        assert call(url, "api/answer", {**who, "token": token, "outcome": "skip"}, **key)[0] == 200
        assert call(url, "docs", **key)[0] == call(url, "openapi.json", **key)[0] == 404
        assert call(url, "static/../page.py", **key)[0] == 404
        page = urllib.request.urlopen(url)  # the page itself holds no secret
        assert page.status == 200


def test_headers(tmp_path: Path) -> None:
    with in_thread(begin(tmp_path / "a.sqlite", 1)) as url:
        for path in ("", "static/page.js", "api/project", "nowhere"):
            try:
                headers = urllib.request.urlopen(url + path).headers
            except urllib.error.HTTPError as error:
                headers = error.headers
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self'; ")
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_failing_database_is_no_answer(tmp_path: Path) -> None:
    project = begin(tmp_path / "a.sqlite", 2)
    with in_thread(project) as url:
        token = call(url, "api/next", {"annotator": "Ann"})[1]["task"]["token"]
        with project.database.writing() as connection:
            connection.execute(sa.text("ALTER TABLE darl_label_answers RENAME TO gone"))
        said = {"annotator": "Ann", "token": token, "outcome": "grade", "grade": 1}
        status, found = call(url, "api/answer", said)
        assert (status, found["error"]) == (503, "database")
        with project.database.writing() as connection:
            connection.execute(sa.text("ALTER TABLE gone RENAME TO darl_label_answers"))
        assert call(url, "api/answer", said)[1]["progress"]["done"] == 1


def test_addresses() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.1.2.3", "shop")] == [
        *[True] * 3,
        *[False] * 3,
    ]


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    project = begin(tmp_path / "a.sqlite", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LabellingError, match="another program listens there"):
            serve_page(project, port=taken.getsockname()[1])
    with pytest.raises(LabellingError, match=r"no such address|cannot be listened on"):
        serve_page(project, host="no.such.host.invalid")


def test_the_command_lets_others_in_by_a_key_and_stops_in_order(tmp_path: Path) -> None:
    pairs = tmp_path / "picked.jsonl"
    some_pairs(3).to_jsonl(pairs)
    (tmp_path / "recipe.yaml").write_text("grades: [irrelevant, weak, strong]\ndata: {train: t.csv}\n")
    with Command(pairs, "--grades", tmp_path / "recipe.yaml", "--host", "0.0.0.0", "--port", 0) as server:
        address, _, key = server.url.partition("#key=")
        assert len(key) >= 16
        local = address.replace("0.0.0.0", "127.0.0.1")
        assert call(local, "api/next", {"annotator": "Ann"})[0] == 401
        assert call(local, "api/next", {"annotator": "Ann"}, **{"X-Darl-Key": key})[0] == 200
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=30) == 0
        assert server.process.stdout is not None
        assert "Traceback" not in server.process.stdout.read()
    assert (tmp_path / "picked.labels.sqlite").is_file()
    assert open_project(Database(tmp_path / "picked.labels.sqlite")).scale == SCALE


def _without_mark(url: str, headers: dict[str, str]) -> tuple[int, Any]:
    """What another site's page could send: no header of its own choosing."""
    data = json.dumps({"annotator": "Ann"}).encode()
    request = urllib.request.Request(url + "api/next", data=data, headers={"Content-Type": "text/plain", **headers})
    try:
        return urllib.request.urlopen(request).status, None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
