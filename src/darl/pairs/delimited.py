"""CSV and TSV: lines into records; of a row that cannot be parsed no more is lost than its own line."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from darl.errors import DataError
from darl.pairs.badrows import NOT_UTF8, BadRow

LONGEST = 2**24  # characters of a field, and of a row that goes on over several lines
_SHORTEST = 2**10  # to which the limit of such a row may sink
MANY = 5  # lines of one record, from which on those with as many commas as a row are taken for rows
_OPEN = "a quote is never closed"
# what separates fields where the file's name says otherwise: spreadsheets of many countries write ";"
_OTHERS = ",;\t|"


@dataclass
class Batch:
    """Consecutive records of the header's width.

    Args:
        rows: the 1-based line on which each begins.
        records: their fields.
        bad: the rows among them that cannot be used, in order.
    """

    rows: list[int] = field(default_factory=list)
    records: list[list[str]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def read_delimited(lines: Iterator[bytes], delimiter: str, name: str, size: int) -> tuple[list[str], Iterator[Batch]]:
    """The header of a CSV or TSV, and its records, at most ``size`` at a time and at least one batch.

    A quoted field may hold line breaks. Where its quote turns out to be a stray one (``"12 inch shelf``), the line it
    stands on is bad, and the lines after it are read anew. A header that is one field by this delimiter, and several by
    a semicolon, a tab, a comma or a bar, is of a file that is separated by that one.

    Args:
        lines: the file's lines with their ends.
        delimiter: between fields.
        name: the file's name in messages.
        size: records held at a time.

    Returns:
        the column names, none where the file holds nothing; the batches.

    Raises:
        DataError: the header cannot be parsed, is not UTF-8, or names a column twice.

    >>> lines = [b"q,item\\n", b'lamp,"desk\\n', b'lamp"\\n', b'shelf,"12 inch\\n', b"hose,garden\\n"]
    >>> header, batches = read_delimited(iter(lines), ",", "a.csv", 100)
    >>> header, [(batch.rows, batch.records, str(batch.bad[0])) for batch in batches]
    (['q', 'item'],
     [([2, 5], [['lamp', 'desk\\nlamp'], ['hose', 'garden']], 'a.csv:4: malformed CSV (a quote is never closed)')])
    """
    if csv.field_size_limit() < LONGEST:
        csv.field_size_limit(LONGEST)
    source = _Lines(lines)
    try:
        header = _header(source, delimiter)
        if len(header) == 1 and (other := max(_OTHERS, key=header[0].count)) in header[0]:
            delimiter, header = other, _columns(next(csv.reader(source.held, delimiter=other, strict=True)))
    except csv.Error as error:
        mac = "\r" in source.held[-1].rstrip("\r\n")
        raise DataError(
            "its lines end in a carriage return alone" if mac else f"the header cannot be parsed ({error})",
            where=name,
            mend="save it with the line ends of Linux or Windows" if mac else "check its quotes",
        ) from error
    if _broken(together := "".join(header)) or "\0" in together:
        raise DataError("the header is not valid UTF-8", where=f"{name}:1", mend="save the file as UTF-8")
    if not any(header):
        return [], iter(())
    twice = {column for column in header if header.count(column) > 1}
    if twice:
        raise DataError(f"the header names {sorted(twice)} more than once", where=name, mend="rename one of them")
    return header, _batches(source, len(header), delimiter, name, size)


def _header(source: _Lines, delimiter: str) -> list[str]:
    """The first record that is no empty line; none where there is none."""
    for record in csv.reader(source.rest(), delimiter=delimiter, strict=True):
        if len(record) > 1 or any(map(str.strip, record)):
            return _columns(record)
        source.forget()
    return []


def _columns(record: list[str]) -> list[str]:
    return [column.strip() for column in record]


def _batches(source: _Lines, width: int, delimiter: str, name: str, size: int) -> Iterator[Batch]:
    batch = Batch()
    reader = csv.reader(source.rest(), delimiter=delimiter, strict=True)
    while True:
        source.forget()
        row = source.number + 1
        record, detail = None, ""
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            detail = _OPEN if "end of data" in str(error) else str(error)
        lost = (record is not None and len(record) != width) or _are_rows(source.held, width, delimiter)
        if record is not None and len(source.held) > 1 and lost:
            record, detail = None, _OPEN
        if record is None:
            batch.bad.append(BadRow(name, row, "malformed CSV", detail, _readable(source.held[0].rstrip("\r\n"))))
            source.give_back()
            reader = csv.reader(source.rest(), delimiter=delimiter, strict=True)
        elif len(record) == width:
            batch.rows.append(row)
            batch.records.append(record)
            if len(batch.rows) == size:
                yield _whole(batch, delimiter, name)
                batch = Batch()
        elif record:  # else an empty line
            detail = f"{len(record)} fields, the header has {width}"
            batch.bad.append(BadRow(name, row, "ragged row", detail, _readable(delimiter.join(record))))
    yield _whole(batch, delimiter, name)


def _are_rows(lines: list[str], width: int, delimiter: str) -> bool:
    """Whether the lines of one record are rows of their own, which two stray quotes have made one field of.

    A text has no tabs. Its lines may have as many commas as a row by chance, but then hardly its first and its last as
    well, which hold the row's other fields besides.
    """
    fits = [line.count(delimiter) == width - 1 for line in lines]
    if width == 1 or (delimiter != "\t" and not (len(lines) >= MANY and fits[0] and fits[-1])):
        return False
    return 10 * sum(fits) >= 9 * len(lines)


def _whole(batch: Batch, delimiter: str, name: str) -> Batch:
    """The batch with the records that are not UTF-8 among the bad rows."""
    if _broken("".join(map("".join, batch.records))):
        kept = Batch(bad=batch.bad)
        for row, record in zip(batch.rows, batch.records, strict=True):
            if _broken(text := delimiter.join(record)):
                kept.bad.append(BadRow(name, row, NOT_UTF8, "", _readable(text)))
            else:
                kept.rows.append(row)
                kept.records.append(record)
        batch = kept
    batch.bad.sort(key=lambda bad: bad.row)
    return batch


def _broken(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Lines:
    """Lines as text; those since the last :meth:`forget` are held, and all but the first can be had again.

    Broken bytes come through as lone surrogates, which no valid text has: so a broken row can be told from its
    neighbours without decoding line by line.
    """

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.number = 0  # of the line handed out last
        self.held: list[str] = []
        self._lines, self._ahead = lines, deque[str]()
        self._size = self._passed = self._again = 0  # characters held, handed out and forgotten, handed out again

    def rest(self) -> Iterator[str]:
        """The lines to come; to be asked for anew after :meth:`give_back`."""
        while True:
            if self._ahead:
                line = self._ahead.popleft()
            else:
                data = next(self._lines, None)
                if data is None:
                    return
                line = data.decode("utf-8", "surrogateescape")
            self.number += 1
            self.held.append(line)
            self._size += len(line)
            if self._size > _SHORTEST and len(self.held) > 1 and self._size > self._limit():
                raise csv.Error(_OPEN)
            yield line

    def forget(self) -> None:
        self._passed += self._size
        self.held, self._size = [], 0

    def give_back(self) -> None:
        """Hands out again, at the next :meth:`rest`, every line that is held but the first."""
        again = self.held[1:]
        self._ahead.extendleft(reversed(again))
        self.number -= len(again)
        self.held = self.held[:1]
        size, self._size = self._size, len(self.held[0]) if self.held else 0
        self._again += size - self._size

    def _limit(self) -> int:
        # A file may open a quote on every line: what is read again stays in step with the file's length.
        return max(_SHORTEST, min(LONGEST, LONGEST + 4 * self._passed - self._again))
