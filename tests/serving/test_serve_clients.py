"""Real clients and the plain HTTP shapes against a running server: the scores are RelevanceModel's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running_server import RunningServer

from darl.model import RelevanceModel
from darl.model.scores import Scores
from darl.serving.dialects.paths import ENDPOINTS

QUERY = "travel insurance"
ITEMS = [
    "yearly travel cover for two adults",
    "red running shoes",
    "",
    "vet bills cover for cats 多少钱 \N{CAT FACE}",
    "x" * 900,
]
CLOSE = 1e-3


@pytest.fixture(scope="module")
def expected(served_model: Path) -> Scores:
    return RelevanceModel.from_pretrained(served_model).score(queries=[QUERY] * len(ITEMS), items=ITEMS)


@pytest.fixture(scope="module")
def ranking(expected: Scores) -> list[int]:
    return np.argsort(-expected.relevance, kind="stable").tolist()


def check_ranked(results: Sequence[Any], expected: Scores, ranking: list[int], count: int = len(ITEMS)) -> None:
    """Index, score, grade and probabilities of ranked results, given as dictionaries."""
    assert [result["index"] for result in results] == ranking[:count]
    for result in results:
        row = result["index"]
        score = result["score"] if "score" in result else result["relevance_score"]
        assert score == pytest.approx(expected.relevance[row], abs=CLOSE)
        assert result["grade"] == expected.grades[row]
        assert result["grade_name"] == expected.scale.names[expected.grades[row]]
        assert result["grade_probs"] == pytest.approx(expected.probabilities[row].tolist(), abs=CLOSE)


# ------------------------------------------------------------------------------------------------- SDKs


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_cohere_sdk(server: RunningServer, expected: Scores, ranking: list[int], version: str) -> None:
    import cohere

    kind = cohere.ClientV2 if version == "v2" else cohere.Client
    client = kind(api_key="any", base_url=server.url)
    reply = client.rerank(model="small", query=QUERY, documents=ITEMS, top_n=3)
    assert reply.id
    assert reply.meta.api_version.version == version[1:]
    check_ranked([result.model_dump() for result in reply.results], expected, ranking, 3)
    if version == "v1":
        documents: list[Any] = [{"title": item, "price": 3} for item in ITEMS]
        found = client.rerank(
            model="small", query=QUERY, documents=documents, rank_fields=["title"], return_documents=True
        )
        assert found.results[0].document.text.startswith("title: ")


def test_langchain(server: RunningServer, expected: Scores, ranking: list[int]) -> None:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document

    compressor = CohereRerank(model="small", base_url=server.url, cohere_api_key="any", top_n=2)
    found = compressor.compress_documents([Document(page_content=item) for item in ITEMS], QUERY)
    assert [document.page_content for document in found] == [ITEMS[row] for row in ranking[:2]]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == pytest.approx(expected.relevance[ranking[:2]].tolist(), abs=CLOSE)


def test_llama_index(server: RunningServer, expected: Scores, ranking: list[int]) -> None:
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.cohere_rerank import CohereRerank
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    nodes = [NodeWithScore(node=TextNode(text=item, id_=str(row)), score=0.5) for row, item in enumerate(ITEMS)]
    full = [node for node in nodes if node.node.get_content()]
    order = [row for row in ranking if ITEMS[row]]
    for reranker in (
        CohereRerank(top_n=2, model="small", api_key="any", base_url=server.url),
        TextEmbeddingInference(top_n=2, base_url=server.url),
    ):
        found = reranker.postprocess_nodes(full, query_str=QUERY)
        assert [node.node.node_id for node in found] == [str(row) for row in order[:2]]
        assert [node.score for node in found] == pytest.approx(expected.relevance[order[:2]].tolist(), abs=CLOSE)


# ------------------------------------------------------------------------------------------- plain HTTP


def test_jina(server: RunningServer, expected: Scores, ranking: list[int]) -> None:
    documents: list[Any] = [*ITEMS[:1], *({"text": item} for item in ITEMS[1:])]
    body = {"model": "m", "query": QUERY, "documents": documents, "top_n": 3}
    reply = server.post("/v1/rerank", body, headers={"Authorization": "Bearer any"}).json()
    check_ranked(reply["results"], expected, ranking, 3)
    assert reply["results"][0]["document"]["text"] == ITEMS[ranking[0]]
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] > 0
    assert "document" not in server.post("/v1/rerank", body | {"return_documents": False}).json()["results"][0]


def test_tei(server: RunningServer, expected: Scores, ranking: list[int]) -> None:
    body = {"query": QUERY, "texts": ITEMS, "return_text": True, "truncate": True, "truncation_direction": "Right"}
    reply = server.post("/rerank", body).json()
    check_ranked(reply, expected, ranking)
    assert [rank["text"] for rank in reply] == [ITEMS[row] for row in ranking]
    raw = server.post("/rerank", {"query": QUERY, "texts": ITEMS, "raw_scores": True}).json()
    assert [1 / (1 + np.exp(-rank["score"])) for rank in raw] == pytest.approx([rank["score"] for rank in reply])
    several = server.post("/predict", {"inputs": [[QUERY, item] for item in ITEMS]}).json()
    lone = server.post("/predict", {"inputs": [QUERY, ITEMS[0]], "raw_scores": True}).json()
    for row, labels in enumerate(several):
        by_name = {label["label"]: label["score"] for label in labels}
        assert [by_name[name] for name in expected.scale.names] == pytest.approx(
            expected.probabilities[row].tolist(), abs=CLOSE
        )
        assert [label["score"] for label in labels] == sorted(by_name.values(), reverse=True)
    assert np.exp([label["score"] for label in lone]).sum() == pytest.approx(1.0)


def test_tei_information(server: RunningServer, served_model: Path) -> None:
    info = server.client.get("/info").json()
    assert info["model_id"] == "small"
    assert info["model_type"]["reranker"]["id2label"] == {"0": "bad", "1": "fair", "2": "good"}
    assert info["max_input_length"] == 64
    assert len(info["model_sha"]) == 12
    assert server.client.get("/health").json() == {"status": "ready", "model": "small", "version": info["model_sha"]}
    assert server.client.get("/v1/models").json()["data"][0]["id"] == "small"


def test_vllm(server: RunningServer, expected: Scores, ranking: list[int]) -> None:
    for path in ("/score", "/v1/score"):
        for body in ({"queries": QUERY, "documents": ITEMS}, {"text_1": [QUERY] * len(ITEMS), "text_2": ITEMS}):
            reply = server.post(path, {"model": "m", **body}).json()
            assert reply["object"] == "list"
            assert [datum["score"] for datum in reply["data"]] == pytest.approx(expected.relevance.tolist(), abs=CLOSE)
    assert server.post("/score", {"data_1": "a", "data_2": "b"}).json()["data"][0]["object"] == "score"
    assert server.post("/score", {"queries": ["a", "b"], "documents": ["c"]}).status_code == 400
    for top_n, count in ((0, len(ITEMS)), (2, 2)):
        reply = server.post("/rerank", {"model": "m", "query": QUERY, "documents": ITEMS, "top_n": top_n}).json()
        check_ranked(reply["results"], expected, ranking, count)
        assert reply["id"].startswith("rerank-")
        assert reply["results"][0]["document"]["text"] == ITEMS[ranking[0]]
    pairs: list[Any] = [[QUERY, ITEMS[0]], {"text": QUERY, "text_pair": ITEMS[1]}]
    for row, datum in enumerate(server.post("/classify", {"input": pairs}).json()["data"]):
        assert datum["probs"] == pytest.approx(expected.probabilities[row].tolist(), abs=CLOSE)
        assert datum["label"] == expected.scale.names[expected.grades[row]]


def test_elasticsearch(server: RunningServer, expected: Scores, ranking: list[int]) -> None:
    for path in ("/_inference/rerank/my-id", "/rerank"):
        reply = server.post(path, {"query": QUERY, "input": ITEMS, "task_settings": {"top_n": 2}}).json()
        check_ranked(reply["rerank"], expected, ranking, 2)
        assert reply["rerank"][0]["text"] == ITEMS[ranking[0]]


def test_our_own(server: RunningServer, expected: Scores) -> None:
    reply = server.post("/v1/relevance", {"query": QUERY, "items": ITEMS}).json()
    assert reply["grades"] == list(expected.scale.names)
    assert expected.ood_scores is not None
    assert expected.ood_percentiles is not None
    for row, result in enumerate(reply["results"]):
        assert result["relevance_score"] == pytest.approx(expected.relevance[row], abs=CLOSE)
        assert result["grade_probs"] == pytest.approx(expected.probabilities[row].tolist(), abs=CLOSE)
        assert result["ood"]["score"] == pytest.approx(expected.ood_scores[row], rel=CLOSE, abs=CLOSE)
        assert result["ood"]["percentile"] == pytest.approx(expected.ood_percentiles[row], abs=0.1)
        assert result["ood"]["flag"] is bool(expected.ood_percentiles[row] >= 95)
        assert result["model_version"] == reply["model_version"]
    pairs = [{"query": QUERY, "item": ITEMS[1]}, {"query": "another", "item": ITEMS[0]}]
    found = server.post("/v1/relevance", {"pairs": pairs, "ood": False}).json()["results"]
    assert found[0]["ood"] is None
    assert found[0]["relevance_score"] == pytest.approx(expected.relevance[1], abs=CLOSE)


def test_tokens_are_the_encoders(server: RunningServer, served_model: Path) -> None:
    model = RelevanceModel.from_pretrained(served_model)
    tokens = int(model.encode(queries=[QUERY] * len(ITEMS), items=ITEMS).lengths.sum())
    assert server.post("/score", {"queries": QUERY, "documents": ITEMS}).json()["usage"]["total_tokens"] == tokens


def test_rerank_replies_carry_ood_only_when_asked(server: RunningServer) -> None:
    body = {"query": QUERY, "documents": ITEMS}
    assert "ood" not in server.post("/v2/rerank", body).json()["results"][0]
    assert set(server.post("/v2/rerank", body | {"ood": True}).json()["results"][0]["ood"]) == {
        "score", "percentile", "flag",
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ errors

SHAPES = {
    "darl": ("/v1/relevance", {"query": QUERY}, 422, lambda e: e["error"]["what"]),
    "cohere": ("/v2/rerank", {"query": QUERY}, 422, lambda e: e["message"]),
    "jina": ("/v1/rerank", {"query": QUERY}, 422, lambda e: e["detail"]),
    "tei": ("/rerank", {"texts": ["a"]}, 422, lambda e: (e["error"], e["error_type"] == "validation")[0]),
    "vllm": ("/rerank", {"query": 3, "documents": ["a"]}, 400, lambda e: e["error"]["message"]),
    "vllm_score": ("/score", {}, 400, lambda e: e["error"]["message"]),
    "elasticsearch": ("/rerank", {"input": ["a"]}, 400, lambda e: e["error"]["reason"]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_errors_have_the_dialects_shape(server: RunningServer, name: str) -> None:
    path, body, status, message = SHAPES[name]
    reply = server.post(path, body)
    assert reply.status_code == status
    assert isinstance(message(reply.json()), str)
    assert message(reply.json())


def test_the_cohere_sdk_understands_our_errors(server: RunningServer) -> None:
    import cohere

    client = cohere.ClientV2(api_key="any", base_url=server.url)
    with pytest.raises(cohere.BadRequestError):
        client.rerank(model="small", query=QUERY, documents=["a"] * 65)


def test_every_example_of_the_schema_works(server: RunningServer) -> None:
    schema = server.client.get("/openapi.json").json()
    for endpoint in ENDPOINTS:
        content = schema["paths"][endpoint.path]["post"]["requestBody"]["content"]["application/json"]
        assert set(content["examples"]) == {dialect.name for dialect in endpoint.dialects}
        for name, example in content["examples"].items():
            reply = server.post(endpoint.path.replace("{inference_id}", "x"), example["value"])
            assert reply.status_code == 200, (name, reply.text)
    for endpoint in ENDPOINTS:
        for dialect in endpoint.dialects:
            reply = server.post(endpoint.path.replace("{inference_id}", "x"), dialect.example)
            spoken = endpoint.dialect(dialect.example, {})
            spoken.reply_body.model_validate(reply.json())
