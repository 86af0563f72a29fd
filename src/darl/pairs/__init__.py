"""Tables of query–item pairs: reading, checking, splitting, the leak guard, and converters.

The public surface; everything else in this package is a part of it. Readers of public data sets are in
:mod:`darl.pairs.converters`.
"""

from darl.pairs.badrows import BadRow, UnusableRowsError
from darl.pairs.leaks import Leak, LeakReport, check_leaks, drop_leaks, find_leaks
from darl.pairs.reading import read_pairs
from darl.pairs.splitting import Splits, split_pairs
from darl.pairs.table import PairTable
from darl.pairs.text import clean_text, normalise_query
from darl.pairs.writing import write_pairs

__all__ = [
    "BadRow",
    "Leak",
    "LeakReport",
    "PairTable",
    "Splits",
    "UnusableRowsError",
    "check_leaks",
    "clean_text",
    "drop_leaks",
    "find_leaks",
    "normalise_query",
    "read_pairs",
    "split_pairs",
    "write_pairs",
]
