"""Readers of public data sets in their official files; each states its grade scale."""

from darl.pairs.converters import beir, esci, qbqtc, wands
from darl.pairs.converters.beir import read_beir, read_trec
from darl.pairs.converters.esci import read_esci
from darl.pairs.converters.qbqtc import read_qbqtc
from darl.pairs.converters.wands import read_wands

__all__ = ["beir", "esci", "qbqtc", "read_beir", "read_esci", "read_qbqtc", "read_trec", "read_wands", "wands"]
