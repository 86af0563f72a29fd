"""Which dialect a request speaks: by its path, and on the paths that APIs share by the shape of its body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from darl.serving.dialects.base import Dialect
from darl.serving.dialects.cohere import CohereV1, CohereV2
from darl.serving.dialects.elasticsearch import Elasticsearch
from darl.serving.dialects.jina import Jina
from darl.serving.dialects.own import Own
from darl.serving.dialects.tei import TEIPredict, TEIRerank
from darl.serving.dialects.vllm import VLLMClassify, VLLMRerank, VLLMScore

OWN, COHERE_1, COHERE_2, JINA = Own(), CohereV1(), CohereV2(), Jina()
TEI, PREDICT, ELASTICSEARCH = TEIRerank(), TEIPredict(), Elasticsearch()
SCORE, VLLM, CLASSIFY = VLLMScore(), VLLMRerank(), VLLMClassify()

COHERE_KEYS = ("rank_fields", "max_chunks_per_doc", "max_tokens_per_doc", "priority")
COHERE_HEADERS = ("x-client-name", "x-fern-sdk-name")  # the cohere SDK sends them


@dataclass(frozen=True)
class Endpoint:
    """A path and the dialects spoken there, the usual one first: it words the errors of unreadable bodies."""

    path: str
    summary: str
    dialects: tuple[Dialect, ...]

    def dialect(self, data: Mapping[str, Any], headers: Mapping[str, str]) -> Dialect:
        """The dialect of a JSON object."""
        if len(self.dialects) == 1:
            return self.dialects[0]
        if "texts" in data and TEI in self.dialects:
            return TEI
        if "input" in data and ELASTICSEARCH in self.dialects:
            return ELASTICSEARCH
        if COHERE_1 in self.dialects and (
            any(key in data for key in COHERE_KEYS) or any(name in headers for name in COHERE_HEADERS)
        ):
            return COHERE_1
        return self.dialects[0]


ENDPOINTS = (
    Endpoint("/v1/relevance", "Grades, probabilities, relevance and OOD of pairs", (OWN,)),
    Endpoint("/v2/rerank", "Rerank (Cohere v2)", (COHERE_2,)),
    Endpoint("/v1/rerank", "Rerank (Jina; Cohere v1)", (JINA, COHERE_1)),
    Endpoint("/rerank", "Rerank (vLLM with `documents`, TEI with `texts`, Elasticsearch with `input`)",
             (VLLM, TEI, ELASTICSEARCH)),
    Endpoint("/predict", "Grade probabilities of pairs (TEI)", (PREDICT,)),
    Endpoint("/score", "Scores of pairs (vLLM)", (SCORE,)),
    Endpoint("/v1/score", "Scores of pairs (vLLM)", (SCORE,)),
    Endpoint("/classify", "Grades of pairs (vLLM)", (CLASSIFY,)),
    Endpoint("/_inference/rerank/{inference_id}", "Rerank (Elasticsearch)", (ELASTICSEARCH,)),
)  # fmt: skip


def endpoint_of(path: str) -> Endpoint | None:
    """The endpoint of a request's path, for the wording of errors that come before its body is read.

    >>> endpoint_of("/score").dialects[0].name, endpoint_of("/nothing")
    ('vllm_score', None)
    """
    if path.startswith("/_inference/rerank/"):
        return ENDPOINTS[-1]
    return next((endpoint for endpoint in ENDPOINTS if endpoint.path == path), None)
