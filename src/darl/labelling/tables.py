"""The tables of a labelling database. Answers are only ever added: what is taken back is marked, not removed.

One database holds one project. Times are seconds since 1970 (UTC).
"""

from __future__ import annotations

from darl.errors import MissingExtraError
from darl.labelling.answer import SKIP

try:
    import sqlalchemy as sa
except ImportError as error:
    raise MissingExtraError(
        "labelling needs the package sqlalchemy", where="darl label", mend="pip install 'darl[label]'"
    ) from error

FORMAT = 1

metadata = sa.MetaData()

project = sa.Table(
    "darl_label_project",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # always 1
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("scale", sa.JSON, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)

pairs = sa.Table(
    "darl_label_pairs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, unique=True),  # of query and item
    sa.Column("position", sa.Integer, nullable=False, index=True),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),  # the file's other columns
    sa.Column("gold", sa.Integer),  # the known grade; null for a pair to label
    sa.Column("wanted", sa.Integer, nullable=False),  # annotators who shall grade it
)

annotators = sa.Table(
    "darl_label_annotators",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),  # the name, case folded
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)

leases = sa.Table(
    "darl_label_leases",
    metadata,
    sa.Column("token", sa.String(32), primary_key=True),
    sa.Column("annotator_id", sa.ForeignKey(annotators.c.id), nullable=False, unique=True),
    sa.Column("pair_id", sa.ForeignKey(pairs.c.id), nullable=False, index=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("previous", sa.JSON),  # the answer just taken back
)

answers = sa.Table(
    "darl_label_answers",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("token", sa.String(32), nullable=False, unique=True),  # of the lease: a repeated send is known by it
    sa.Column("pair_id", sa.ForeignKey(pairs.c.id), nullable=False, index=True),
    sa.Column("annotator_id", sa.ForeignKey(annotators.c.id), nullable=False, index=True),
    sa.Column("attempt", sa.Integer, nullable=False),  # 0: the label; 1: the hidden repeat
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("grade", sa.Integer),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float),  # how long the pair was looked at
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("undone", sa.Float),  # when it was taken back
    sa.CheckConstraint("(outcome = 'grade') = (grade IS NOT NULL)", name="darl_label_grade_given"),
)

_stands = sa.and_(answers.c.undone.is_(None), answers.c.outcome != SKIP)
sa.Index(
    "darl_label_one_answer",
    answers.c.pair_id,
    answers.c.annotator_id,
    answers.c.attempt,
    unique=True,
    sqlite_where=_stands,
    postgresql_where=_stands,
)
