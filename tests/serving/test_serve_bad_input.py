"""Bad bodies by the hundred: no 5xx, no hang, and the next good request is answered right.

``DARL_BAD_BODIES=10000`` sends more of them.
"""

from __future__ import annotations

import json
import os
import random
import socket
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from running_server import PATIENCE, RunningServer
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from darl.serving.dialects.paths import ENDPOINTS

COUNT = int(os.environ.get("DARL_BAD_BODIES", "400"))
EXAMPLE_COUNT = COUNT // 8
PATHS = [endpoint.path.replace("{inference_id}", "x") for endpoint in ENDPOINTS]
EXAMPLES = [dialect.example for endpoint in ENDPOINTS for dialect in endpoint.dialects]
GOOD = {"query": "travel insurance", "items": ["yearly cover for two adults", "red shoes"], "ood": False}

VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, 2**70, -(2**70),
    "", " ", "\x00", "\ud800", "a\udc00b", "🐈", "x" * 30_000, "x" * 250_000,
    [], [[]], [None], [1], ["a", None], [{}], [{"text": 1}], {}, {"text": "a"}, {"a": {"b": []}}, ["a"] * 65,
    ["a"] * 10_000, float("nan"), float("inf"), [float("nan")], [["a"]], [["a", "b", "c"]], ["a", ["b"]],
]  # fmt: skip


def bad_body(draw: random.Random) -> bytes:
    """A body that is broken, or a good one with something wrong put in its place."""
    kind = draw.randrange(10)
    if kind == 0:
        return draw.randbytes(draw.randrange(200))
    if kind == 1:
        depth = draw.choice([10, 199, 201, 1000, 20_000])
        opener, closer = draw.choice([("[", "]"), ('{"a":', "}")])
        inner = opener * depth + ("1" if opener != "[" else "") + closer * draw.choice([0, depth])
        return draw.choice(
            [inner, '{"query": ' + inner + "}", '{"query":"a","documents":["b"],"x":' + inner + "}"]
        ).encode()
    body = dict(draw.choice(EXAMPLES))
    key = draw.choice(
        [*body, "top_n", "query", "documents", "texts", "items", "pairs", "inputs", "ood", "task_settings"]
    )
    if kind == 2:
        body.pop(key, None)
    elif kind == 3:
        body = {draw.choice([*body, "model"]): draw.choice(VALUES) for _ in range(3)}
    else:
        body[key] = draw.choice(VALUES)
    text = json.dumps(body, ensure_ascii=draw.random() < 0.8)
    if kind == 4:
        text = text[: draw.randrange(len(text))]
    if kind == 5:
        at = draw.randrange(len(text))
        text = text[:at] + draw.choice(['"', "}", "\\u", "\\ud8", "\x07", "NaN", "1e999", "//"]) + text[at:]
    return text.encode("utf-8", "surrogatepass")


def good(server: RunningServer) -> list[list[float]]:
    reply = server.post("/v1/relevance", GOOD)
    assert reply.status_code == 200, reply.text
    return [result["grade_probs"] for result in reply.json()["results"]]


def test_bad_bodies(server: RunningServer) -> None:
    before, draw = good(server), random.Random(0)
    statuses: dict[int, int] = {}
    for number in range(COUNT):
        body, path = bad_body(draw), draw.choice(PATHS)
        reply = server.client.post(path, content=body, headers={"content-type": "application/json"})
        assert reply.status_code < 500, (path, body[:300], reply.text)
        assert isinstance(reply.json(), (dict, list))
        statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
        if number % 100 == 99:
            assert good(server)[0] == pytest.approx(before[0], abs=1e-5)
    assert {200, 400, 413, 422} <= set(statuses), statuses
    assert good(server)[1] == pytest.approx(before[1], abs=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_fifty_megabytes_are_refused_unread(server: RunningServer, path: str) -> None:
    """By the declared size, before a byte of the body is sent."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {50 * 2**20}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_long_body_of_unknown_length_is_cut_off(server: RunningServer) -> None:
    def parts() -> Any:
        for _ in range(500):
            yield b" " * 1000

    before = good(server)
    try:
        reply = server.client.post("/v2/rerank", content=parts(), headers={"content-type": "application/json"})
        assert reply.status_code == 413
    except httpx.WriteError:  # closed on us while we were still sending
        pass
    assert good(server)[0] == pytest.approx(before[0], abs=1e-5)


def test_lone_surrogates_are_read_as_the_encoder_reads_them(server: RunningServer) -> None:
    reply = server.client.post("/score", content=b'{"queries":"a","documents":["b\\ud800","b\\ufffd"]}')
    scores = [datum["score"] for datum in reply.json()["data"]]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_schemathesis(server: RunningServer, mode: GenerationMode) -> None:
    """Generated requests over the OpenAPI schema, fitting and unfitting: the replies are as it says."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    operations = [found.ok() for found in schema.get_all_operations()]
    posts = [operation for operation in operations if operation.path in {endpoint.path for endpoint in ENDPOINTS}]
    assert len(posts) == len(ENDPOINTS)
    assert len(operations) == len(posts) + 5  # health, info, models, metrics, reload

    @settings(
        max_examples=EXAMPLE_COUNT, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=st.one_of([operation.as_strategy(generation_mode=mode) for operation in posts]))
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=checks, timeout=PATIENCE)

    call()
    for operation in operations:
        if operation.method == "get":
            operation.Case().call_and_validate(checks=checks, timeout=PATIENCE)
