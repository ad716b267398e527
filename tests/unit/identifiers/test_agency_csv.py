"""Import of agency lists: what is kept, what is put right, what is skipped, and why."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifiers.agency_csv import ImportResult, RowSeverity, read_agencies
from identifiers.directory import Agency, Directory
from identifiers.organ_id import OrganId
from tests.unit.identifiers.strategies import new_texts, old_texts

REPOSITORY = Path(__file__).parents[3]
DIRTY = REPOSITORY / "tests" / "corpus" / "agencies" / "dirty.csv"
REAL = REPOSITORY.parent / "shared" / "data" / "agencies-sample.csv"

#: What each list must give: agencies, skipped rows.
GOOD_AND_SKIPPED = {"dirty.csv": (10, 10), "agencies-sample.csv": (447, 8)}


def lists_present() -> list[Path]:
    """The dirty lists to import: our own, and the real one where it lies beside the project."""
    return [path for path in (DIRTY, REAL) if path.exists()]


def text_of(path: Path) -> str:
    """A file's text with its line ends and byte order mark as they are."""
    return path.read_bytes().decode("utf-8")


def read(text: str, *existing: Agency) -> ImportResult:
    """Import `text` into a directory of these agencies."""
    return read_agencies(text, existing=Directory(existing))


def doubts(result: ImportResult) -> list[tuple[int, RowSeverity, str]]:
    """Line, severity and English reason of everything doubtful."""
    return [(doubt.line, doubt.severity, doubt.reason.en) for doubt in result.doubtful]


def found(result: ImportResult, code: str) -> Agency:
    """The imported agency with this code."""
    agency = Directory(result.agencies).find(OrganId.of(code))
    assert agency is not None
    return agency


def test_every_kind_of_dirt_is_named() -> None:
    """Each bad row of the corpus is reported on its line with its own reason, none in silence."""
    result = read(text_of(DIRTY))
    expected = [
        (3, RowSeverity.KEPT, "U+00A0, U+200B"),
        (4, RowSeverity.SKIPPED, "Same code as line 3"),
        (5, RowSeverity.SKIPPED, "000.1137.H90"),
        (6, RowSeverity.SKIPPED, "no agency name"),
        (7, RowSeverity.SKIPPED, "3 columns, the header has 7"),
        (10, RowSeverity.SKIPPED, "not closed"),
        (14, RowSeverity.SKIPPED, "2025-02-30"),
        (15, RowSeverity.SKIPPED, "before the first day"),
        (16, RowSeverity.SKIPPED, "no agency code"),
        (17, RowSeverity.SKIPPED, "code system"),
        (19, RowSeverity.KEPT, "H90.77"),
        (20, RowSeverity.KEPT, "H90.77"),
        (22, RowSeverity.SKIPPED, "Repeats line 2"),
    ]
    assert [(line, severity) for line, severity, _ in doubts(result)] == [
        (line, severity) for line, severity, _ in expected
    ]
    for (_, _, reason), (_, _, words) in zip(doubts(result), expected, strict=True):
        assert words in reason
    assert all(doubt.reason.vi for doubt in result.doubtful)
    assert (result.added, result.changed, result.unchanged, result.skipped) == (10, 0, 0, 10)
    assert result.header is None and result.ignored_columns == ("remark",)


def test_good_rows_come_out_clean() -> None:
    """Names are cleaned but never rewritten; dates, aliases and successors are read."""
    result = read(text_of(DIRTY))
    interior = found(result, "H90.13")
    assert interior.name == "Sở Nội vụ tỉnh Thử Nghiệm"
    assert interior.organ_id.text == "000.00.13.H90"
    assert interior.valid_from == date(2016, 7, 1)
    assert found(result, "000.00.16.H90").name == '=HYPERLINK("x")'
    assert found(result, "000.00.17.H90").name == 'Sở "Y tế", Thử'
    assert found(result, "000.00.23.H90").name == "Sở Xây dựng"
    old = found(result, "000.01.32.H90")
    assert old.valid_until == date(2025, 6, 30)
    assert [code.text for code in old.successors] == ["000.02.32.H90", "000.03.32.H90"]


def test_duplicate_is_reported_with_both_names() -> None:
    """The first row stays; the report names both rows and both names, in both languages."""
    result = read("code,name\nH90,Tỉnh Một\n000.00.00.H90,Tỉnh Hai\n")
    assert [agency.name for agency in result.agencies] == ["Tỉnh Một"]
    (doubt,) = result.doubtful
    assert (doubt.line, doubt.code, doubt.name) == (3, "000.00.00.H90", "Tỉnh Hai")
    for sentence in (doubt.reason.vi, doubt.reason.en):
        assert "Tỉnh Một" in sentence and "Tỉnh Hai" in sentence and " 2" in sentence


@pytest.mark.parametrize("path", lists_present(), ids=lambda path: path.name)
def test_second_import_changes_nothing(path: Path) -> None:
    """The same file again: every good row unchanged, the same rows skipped."""
    first = read(text_of(path))
    known = Directory(first.agencies)
    second = read_agencies(text_of(path), existing=known)
    assert (second.added, second.changed) == (0, 0)
    assert second.unchanged == len(first.agencies) == len(known)
    assert second.skipped == first.skipped
    assert known.updated(second.agencies) == known
    assert known.conflicts == ()


@pytest.mark.parametrize("path", lists_present(), ids=lambda path: path.name)
def test_every_row_is_accounted_for(path: Path) -> None:
    """Rows in = agencies out + rows skipped, each skipped row with a line of its own."""
    text = text_of(path)
    result = read(text)
    rows = [line for line in text.splitlines()[1:] if line.strip(", ")]
    assert len(rows) == len(result.agencies) + result.skipped
    assert (len(result.agencies), result.skipped) == GOOD_AND_SKIPPED[path.name]
    skipped = [d.line for d in result.doubtful if d.severity is RowSeverity.SKIPPED]
    assert len(skipped) == len(set(skipped)) == result.skipped
    assert all("\u200b" not in a.name and "\u00a0" not in a.name for a in result.agencies)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark_are_tolerated(end: str, mark: str) -> None:
    """The three line ends, with or without a mark, as text or as lines, read alike."""
    lines = ["CODE102, Name ", "000.00.01.H90,A", "", "000.00.02.H90,B"]
    result = read(mark + end.join(lines) + end)
    assert [agency.name for agency in result.agencies] == ["A", "B"]
    assert not result.doubtful
    by_line = read_agencies([mark + lines[0] + end, *lines[1:]], existing=Directory())
    assert by_line == result


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spreadsheet_delimiters(delimiter: str) -> None:
    """A Vietnamese spreadsheet writes semicolons; the header tells."""
    header = delimiter.join(["organ_id", "name", "successors", "valid_until"])
    row = delimiter.join(["H90.01", "A", '"H90.02;H90.03"', "30/06/2025"])
    (agency,) = read(f"{header}\n{row}\n").agencies
    assert agency.successors == (OrganId.of("H90.02"), OrganId.of("H90.03"))


@pytest.mark.parametrize(
    "text",
    ["", "\n", "name\nA\n", "code102\nH90\n", "mã,tên\nH90,A\n", "H90,A\n", '"code,name\nH90,A\n'],
)
def test_header_that_cannot_be_read_is_a_value(text: str) -> None:
    """Without the needed columns nothing is read, and the answer says which are needed."""
    result = read(text)
    assert result.header is not None and result.agencies == ()
    assert "code102" in result.header.allowed and "name" in result.header.reason.vi


def test_column_twice_is_refused() -> None:
    """Two columns of one name: which one counts is not guessed."""
    header = read("code,name,Name\nH90,A,B\n").header
    assert header is not None and "name" in header.reason.en and "twice" in header.reason.en


def test_two_code_columns_are_one_agency() -> None:
    """The new code is the primary one, the old one its alias; either may be empty."""
    result = read("code102,code_qd20,name\n000.00.05.H90,H90.13,A\n000.00.06.H90,,B\n,H90.15,C\n")
    assert [(a.organ_id.text, [c.text for c in a.aliases]) for a in result.agencies] == [
        ("H90.13", ["000.00.05.H90"]),
        ("H90.15", []),
        ("000.00.06.H90", []),
    ]


def test_unclosed_quote_costs_one_row() -> None:
    """The rows after a broken one are read; a quoted line break inside a cell is allowed."""
    result = read('code,name\nH90.01,"A\nH90.02,B\nH90.03,"C\nD"\nH90.04,E\n')
    assert [agency.name for agency in result.agencies] == ["B", "C D", "E"]
    assert [(line, severity) for line, severity, _ in doubts(result)] == [
        (2, RowSeverity.SKIPPED),
        (4, RowSeverity.KEPT),
    ]


def test_file_of_old_codes_updates_agencies_kept_under_new_ones() -> None:
    """An agency is recognised by its alias; what the file does not speak of stays."""
    known = Agency(
        OrganId.of("H90.13"),
        "Tên cũ",
        (OrganId.of("000.00.05.H90"),),
        date(2020, 1, 1),
        date(2030, 1, 1),
        (OrganId.of("H90.14"),),
    )
    result = read("code102,name\n000.00.05.H90,Tên mới\n", known)
    assert (result.added, result.changed, result.unchanged) == (0, 1, 0)
    (agency,) = result.agencies
    assert agency.name == "Tên mới"
    assert (agency.organ_id, agency.aliases) == (known.organ_id, known.aliases)
    assert (agency.valid_from, agency.valid_until) == (known.valid_from, known.valid_until)
    assert agency.successors == known.successors


def test_empty_cell_of_a_present_column_clears() -> None:
    """A column in the file is the truth about its field, empty cells included."""
    known = Agency(OrganId.of("H90.13"), "A", (), None, date(2030, 1, 1))
    result = read("code,name,valid_until\nH90.13,A,\n", known)
    assert result.changed == 1 and result.agencies[0].valid_until is None


def test_table_of_new_codes_joins_agencies_known_by_old_ones() -> None:
    """A published table old ↔ new ties the new code to the agency that is there, with a note."""
    known = Agency(OrganId.of("000.00.05.H90"), "Sở A")
    text = "organ_id,name,old_code\nH90.13,Sở A,000.00.05.H90\n"
    result = read(text, known)
    assert (result.added, result.changed) == (0, 1)
    assert result.agencies[0].organ_id == known.organ_id
    assert result.agencies[0].aliases == (OrganId.of("H90.13"),)
    assert result.doubtful[0].severity is RowSeverity.KEPT
    assert read(text, *result.agencies).unchanged == 1


def test_repeat_known_by_alias_keeps_the_alias() -> None:
    """A row skipped because its code is another row's alias stays skipped on the next import."""
    known = Agency(OrganId.of("H90.13"), "A", (OrganId.of("000.00.05.H90"),))
    text = "organ_id,name,alias\nH90.13,A,\n000.00.05.H90,B,\n"
    result = read(text, known)
    assert (result.unchanged, result.skipped) == (1, 1)
    assert result.agencies == (known,)


def test_alias_cannot_take_another_agencys_code() -> None:
    """Listing another agency's own code as an alias gains nothing, in either order of rows."""
    victim, thief = "G22,Văn phòng,", "H90.99,Kẻ khác,000.00.00.G22"
    for rows in ([victim, thief], [thief, victim]):
        text = "\n".join(["organ_id,name,alias", *rows])
        for existing in ((), (Agency(OrganId.of("G22"), "Văn phòng"),)):
            result = read(text, *existing)
            assert found(result, "G22").name == "Văn phòng"
            assert found(result, "H90.99").aliases == ()
            assert [d.code for d in result.doubtful] == ["H90.99"]


def test_row_for_two_agencies_is_skipped() -> None:
    """Codes of two agencies of the directory in one row: the row does not merge them."""
    a, b = Agency(OrganId.of("H90.01"), "Một"), Agency(OrganId.of("000.00.02.H90"), "Hai")
    result = read("code,code102,name\nH90.01,000.00.02.H90,Ba\n", a, b)
    assert result.skipped == 1 and result.agencies == ()
    assert "Một" in result.doubtful[0].reason.vi and "Hai" in result.doubtful[0].reason.vi


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("H90.01,A,H90.01", "own successor"),
        ("H90.01,A,H90..02", "successors"),
        ("H90.01,A,H90.02;?", "successors"),
    ],
)
def test_bad_successors_skip_the_row(cells: str, words: str) -> None:
    """Half a list of successors would send documents to the wrong heir."""
    result = read(f"code,name,successors\n{cells}\n")
    assert result.agencies == () and words in result.doubtful[0].reason.en


rows_of_codes = st.lists(
    st.tuples(
        st.one_of(old_texts, new_texts),
        st.sampled_from(["A", "B", "Sở\u200b C", "=1+1"]),
        st.one_of(st.just(""), old_texts, new_texts),
    ),
    max_size=8,
)


def as_text(rows: list[tuple[str, str, str]]) -> str:
    """Rows as a file."""
    return "\n".join(["organ_id,name,alias", *(",".join(row) for row in rows)])


@given(rows_of_codes, rows_of_codes)
def test_importing_twice_is_importing_once(
    before: list[tuple[str, str, str]], rows: list[tuple[str, str, str]]
) -> None:
    """Into any directory: the second import of a file adds and changes nothing."""
    known = Directory(read(as_text(before)).agencies)
    first = read_agencies(as_text(rows), existing=known)
    assert first.added + first.changed + first.unchanged == len(first.agencies)
    assert len(first.agencies) + first.skipped == len(rows)
    after = known.updated(first.agencies)
    assert after.conflicts == ()
    second = read_agencies(as_text(rows), existing=after)
    assert (second.added, second.changed) == (0, 0)


@given(rows_of_codes, st.randoms(use_true_random=False))
def test_order_of_rows_makes_no_difference(
    rows: list[tuple[str, str, str]], shuffler: random.Random
) -> None:
    """One row per agency: any order gives the same agencies and counts."""
    single = list({OrganId.of(row[0]): row for row in rows}.values())
    shuffled = list(single)
    shuffler.shuffle(shuffled)
    a, b = read(as_text(single)), read(as_text(shuffled))
    assert a.agencies == b.agencies
    assert (a.added, a.skipped, len(a.doubtful)) == (b.added, b.skipped, len(b.doubtful))


@given(
    st.one_of(
        st.text(), st.text(alphabet='codename,;"\n\rH90.\t\u200b').map("code,name\n{}".format)
    )
)
def test_any_text_is_answered(text: str) -> None:
    """No content raises."""
    result = read(text)
    assert (result.header is None) or result.agencies == ()
