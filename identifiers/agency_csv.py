"""Agency directories from CSV files, with the dirt that real ones carry reported, never guessed at.

Pure: text and the present directory in, an `ImportResult` out; the caller stores `agencies`.
A row is kept clean, kept with a note, or skipped with a reason; nothing is dropped in silence. A
name is data whatever it looks like (``=SUM(A1)`` included): escaping belongs to who writes a file.

Recognised columns (case does not matter): a code in at least one of ``code102`` (QCVN 102),
``code_qd20`` (Decision 20), ``code`` or ``organ_id`` (either system), and ``name``; optionally
``old_code`` / ``alias``, ``valid_from``, ``valid_until`` (last day), ``successors``; several codes
in one cell are separated by ``;``. A column that is not in the file leaves what the directory
already knows; an empty cell in a column that is there clears it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from identifiers import agency_csv_sentences as say
from identifiers.agency import Agency
from identifiers.agency_row import AgencyRow, BadRow, read_row
from identifiers.csv_rows import DELIMITERS, parse_row, rows_below_header, split_lines
from identifiers.directory import Directory
from identifiers.organ_id import OrganId
from identifiers.texts import Bilingual, clean, quote

#: Column names that may hold an agency's own code, the primary code first.
CODE_COLUMNS = ("organ_id", "code_qd20", "code", "code102")
#: Every recognised column name.
COLUMNS = (*CODE_COLUMNS, "name", "old_code", "alias", "valid_from", "valid_until", "successors")


class RowSeverity(StrEnum):
    """What became of a row that has something to say."""

    #: The row is in the result; the note says what was put right or left out.
    KEPT = "kept"
    #: The row is not in the result.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class DoubtfulRow:
    """One thing about one row. `line` is 1-based, the header being line 1."""

    line: int
    code: str
    name: str
    reason: Bilingual
    severity: RowSeverity


@dataclass(frozen=True, slots=True)
class MalformedHeader:
    """A file whose columns cannot be understood: nothing of it was read."""

    found: str
    reason: Bilingual
    allowed: str = ", ".join(COLUMNS)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What a file would make of a directory.

    `agencies` holds every good agency of the file, unchanged ones too, by primary code; the counts
    compare with the directory as it was: added + changed + unchanged = len(agencies). `skipped`
    counts rows. `header` is set when nothing could be read at all.
    """

    agencies: tuple[Agency, ...] = ()
    doubtful: tuple[DoubtfulRow, ...] = ()
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    header: MalformedHeader | None = None
    #: Columns of the file that mean nothing here and were not read.
    ignored_columns: tuple[str, ...] = ()


def read_agencies(source: str | Iterable[str], *, existing: Directory) -> ImportResult:
    """Read a CSV text (or its lines) against the directory as it is; never raises on bad content.

    Of several rows for one agency the first is kept. Otherwise the order of rows makes no
    difference, and a file imported twice changes nothing the second time.
    """
    lines = split_lines(source)
    header = _read_header(lines[0])
    if isinstance(header, MalformedHeader):
        return ImportResult(header=header)
    return _Import(existing, header).run(lines)


@dataclass(frozen=True, slots=True)
class _Header:
    delimiter: str
    #: Recognised column name to its position.
    columns: Mapping[str, int]
    width: int
    ignored: tuple[str, ...]


def _read_header(line: str) -> _Header | MalformedHeader:
    best: tuple[str, list[str]] = (",", [])
    for delimiter in DELIMITERS:
        cells = parse_row([line], delimiter) or ()
        names = [clean(cell).casefold() for cell in cells]
        if sum(name in COLUMNS for name in names) > sum(name in COLUMNS for name in best[1]):
            best = delimiter, names
    delimiter, names = best
    columns = {name: at for at, name in enumerate(names) if name in COLUMNS}
    if "name" not in columns or not any(column in columns for column in CODE_COLUMNS):
        return MalformedHeader(quote(line), say.HEADER_MISSING)
    twice = sorted({name for name in columns if names.count(name) > 1})
    if twice:
        return MalformedHeader(quote(line), say.header_twice(twice))
    ignored = tuple(name for name in names if name and name not in COLUMNS)
    return _Header(delimiter, columns, len(names), ignored)


@dataclass(slots=True)
class _Draft:
    """A row on its way into the result, with the agency of the directory that it updates."""

    row: AgencyRow
    known: Agency | None
    primary: OrganId
    aliases: tuple[OrganId, ...] = ()

    def add_aliases(self, codes: set[OrganId]) -> None:
        """Give the agency these codes besides its primary one; kept in order."""
        self.aliases = tuple(sorted({*self.aliases, *codes} - {self.primary}))


class _Import:
    """One run of an import; holds what earlier rows have claimed."""

    def __init__(self, existing: Directory, header: _Header) -> None:
        self._existing = existing
        self._header = header
        self._doubtful: list[DoubtfulRow] = []
        self._first: dict[OrganId, _Draft] = {}
        self._skipped = 0

    def run(self, lines: list[str]) -> ImportResult:
        rows = list(self._rows(lines))
        ties = self._ties(rows)
        drafts = [draft for row in rows if (draft := self._draft(row, ties)) is not None]
        self._settle_aliases(drafts)
        agencies = [self._agency(draft) for draft in drafts]
        pairs = list(zip(agencies, (draft.known for draft in drafts), strict=True))
        added = sum(known is None for _, known in pairs)
        unchanged = sum(known == agency for agency, known in pairs)
        return ImportResult(
            agencies=tuple(sorted(agencies, key=lambda agency: agency.organ_id)),
            doubtful=tuple(sorted(self._doubtful, key=lambda doubt: doubt.line)),
            added=added,
            changed=len(pairs) - added - unchanged,
            unchanged=unchanged,
            skipped=self._skipped,
            ignored_columns=self._header.ignored,
        )

    def _rows(self, lines: list[str]) -> Iterator[AgencyRow]:
        """The rows that can be read; the others are reported."""
        header = self._header
        for row in rows_below_header(lines, header.delimiter, header.width):
            if row.cells is None:
                self._skip(row.line, "", row.raw, say.BROKEN_QUOTES)
                continue
            if len(row.cells) != header.width:
                self._skip(row.line, "", row.raw, say.columns(len(row.cells), header.width))
                continue
            cells = {name: row.cells[at] for name, at in header.columns.items()}
            read = read_row(row.line, cells, CODE_COLUMNS)
            if isinstance(read, BadRow):
                self._skip(row.line, read.code, read.name, read.reason)
                continue
            yield read

    def _owners(self, codes: Iterable[OrganId]) -> dict[OrganId, Agency]:
        """The agencies of the directory that have any of `codes`, by primary code."""
        found = (self._existing.find(code) for code in codes)
        return {agency.organ_id: agency for agency in found if agency is not None}

    def _ties(self, rows: list[AgencyRow]) -> dict[OrganId, Agency]:
        """Rows (by first code) whose aliases alone say which agency of the directory they update.

        That is how a table of new codes meets a directory of old ones. A tie holds only where it
        is the one reading: own codes unknown, aliases of one agency, no other row for that agency.
        """
        spoken_for = {organ_id for row in rows for organ_id in self._owners(row.codes)}
        tied: dict[OrganId, dict[OrganId, Agency]] = {}
        for row in rows:
            owners = {} if self._owners(row.codes) else self._owners(row.aliases)
            if len(owners) == 1 and not owners.keys() & spoken_for:
                organ_id, agency = owners.popitem()
                tied.setdefault(organ_id, {})[row.codes[0]] = agency
        return dict(pair for ties in tied.values() if len(ties) == 1 for pair in ties.items())

    def _draft(self, row: AgencyRow, ties: Mapping[OrganId, Agency]) -> _Draft | None:
        """Tie a row to the agency it speaks of; None if another row or two agencies stand against.

        Own codes are looked up through the directory, so a file of old codes updates agencies that
        are kept under their new ones.
        """
        owners = self._owners(row.codes)
        if len(owners) > 1:
            self._skip_row(row, say.two_agencies(list(owners.values())))
            return None
        tie = ties.get(row.codes[0])
        known = next(iter(owners.values()), tie)
        primary = known.organ_id if known is not None else row.codes[0]
        own = tuple(dict.fromkeys((primary, *row.codes)))
        earlier = next((self._first[code] for code in own if code in self._first), None)
        if earlier is not None:
            first = earlier.row
            reason = say.repeats(first.line, first.name, row.name, first.name == row.name)
            self._skip_row(row, reason)
            if known is not None and known is earlier.known:
                # The code by which the row was taken for a repeat must stay the agency's.
                earlier.add_aliases(set(row.codes) & set(known.codes))
            return None
        listed = {*row.codes, *row.aliases}
        if known is not None and not row.has("old_code", "alias"):
            listed.update(known.aliases)
        if row.hidden:
            self._note(row, say.hidden(row.hidden))
        if tie is not None:
            self._note(row, say.tied(tie))
        draft = _Draft(row, known, primary)
        draft.add_aliases(listed)
        self._first.update(dict.fromkeys(own, draft))
        return draft

    def _settle_aliases(self, drafts: list[_Draft]) -> None:
        """Leave out aliases that belong to another agency, or that several rows claim.

        A disputed code must not route documents to either side, so nobody gets it.
        """
        rows_with: dict[OrganId, int] = {}
        for draft in drafts:
            for code in draft.aliases:
                rows_with[code] = rows_with.get(code, 0) + 1
        updated = {draft.known.organ_id for draft in drafts if draft.known is not None}
        for draft in drafts:
            kept = []
            for code in draft.aliases:
                owner = self._first.get(code)
                holder = self._existing.find(code)
                theirs = owner is not None and owner is not draft
                held = holder is not None and holder.organ_id not in updated
                contested = owner is None and rows_with[code] > 1
                if theirs or held or contested:
                    self._note(draft.row, say.alias_disputed(code))
                else:
                    kept.append(code)
            draft.aliases = tuple(kept)

    def _agency(self, draft: _Draft) -> Agency:
        row, known = draft.row, draft.known
        agency = known if known is not None else Agency(draft.primary, row.name)
        # The order of aliases means nothing: keep the directory's when it is the same set.
        aliases = draft.aliases
        if known is not None and set(known.aliases) == set(aliases):
            aliases = known.aliases
        agency = replace(agency, name=row.name, aliases=aliases)
        if row.has("valid_from"):
            agency = replace(agency, valid_from=row.valid_from)
        if row.has("valid_until"):
            agency = replace(agency, valid_until=row.valid_until)
        if row.has("successors"):
            agency = replace(agency, successors=row.successors)
        return agency

    def _skip_row(self, row: AgencyRow, reason: Bilingual) -> None:
        self._skip(row.line, row.codes[0].text, row.name, reason)

    def _skip(self, line: int, code: str, name: str, reason: Bilingual) -> None:
        self._skipped += 1
        doubt = DoubtfulRow(line, quote(code), quote(name), reason, RowSeverity.SKIPPED)
        self._doubtful.append(doubt)

    def _note(self, row: AgencyRow, reason: Bilingual) -> None:
        code = row.codes[0].text
        self._doubtful.append(DoubtfulRow(row.line, code, row.name, reason, RowSeverity.KEPT))
