"""What an import of agencies says to the clerk who started it, in Vietnamese and English."""

from __future__ import annotations

from datetime import date

from identifiers.agency import Agency
from identifiers.organ_id import MalformedOrganId, OrganId
from identifiers.texts import Bilingual, quote

HEADER_MISSING = Bilingual(
    "Dòng tiêu đề phải có cột name và ít nhất một cột mã: code102, code, code_qd20 hoặc organ_id.",
    "The header needs the column name and at least one code column: code102, code, code_qd20 or "
    "organ_id.",
)
BROKEN_QUOTES = Bilingual(
    "Dấu ngoặc kép của dòng không khép kín; cả dòng được bỏ qua.",
    "A quotation mark in the row is not closed; the row was skipped.",
)
NO_CODE = Bilingual("Dòng không có mã cơ quan.", "The row has no agency code.")
NO_NAME = Bilingual("Dòng không có tên cơ quan.", "The row has no agency name.")
SUCCEEDS_ITSELF = Bilingual(
    "Cơ quan được ghi là đơn vị kế thừa của chính mình.",
    "The agency is listed as its own successor.",
)


def header_twice(names: list[str]) -> Bilingual:
    """A column that is there twice: which one counts would be a guess."""
    listed = ", ".join(names)
    return Bilingual(f"Cột xuất hiện hai lần: {listed}.", f"Columns that appear twice: {listed}.")


def columns(found: int, allowed: int) -> Bilingual:
    """A row with too many or too few cells."""
    return Bilingual(
        f"Dòng có {found} cột, tiêu đề có {allowed} cột.",
        f"The row has {found} columns, the header has {allowed}.",
    )


def bad_code(column: str, code: MalformedOrganId) -> Bilingual:
    """A code that is none."""
    return Bilingual(
        f"Cột {column}: “{code.found}” không phải là mã cơ quan. {code.reason.vi}",
        f"Column {column}: “{code.found}” is no agency code. {code.reason.en}",
    )


def wrong_system(column: str, code: OrganId) -> Bilingual:
    """A code of one system in the column of the other."""
    return Bilingual(
        f"Cột {column}: mã {code} không thuộc hệ thống mã của cột này.",
        f"Column {column}: the code {code} is not of this column's code system.",
    )


def bad_date(column: str, text: str) -> Bilingual:
    """A date that cannot be read or does not exist."""
    return Bilingual(
        f"Cột {column}: “{quote(text)}” không phải là ngày (yyyy-MM-dd hoặc dd/MM/yyyy).",
        f"Column {column}: “{quote(text)}” is no date (yyyy-MM-dd or dd/MM/yyyy).",
    )


def ends_before_start(valid_from: date, valid_until: date) -> Bilingual:
    """A validity that ends before it begins."""
    return Bilingual(
        f"Ngày hết hiệu lực {valid_until} trước ngày bắt đầu {valid_from}.",
        f"The last day {valid_until} is before the first day {valid_from}.",
    )


def repeats(line: int, first: str, later: str, same_name: bool) -> Bilingual:
    """A second row for one agency; the first stays."""
    if same_name:
        return Bilingual(
            f"Trùng với dòng {line}; giữ dòng {line}.",
            f"Repeats line {line}; line {line} is kept.",
        )
    return Bilingual(
        f"Trùng mã với dòng {line} nhưng khác tên: giữ “{quote(first)}” (dòng {line}), "
        f"bỏ “{quote(later)}”.",
        f"Same code as line {line} under another name: “{quote(first)}” (line {line}) is kept, "
        f"“{quote(later)}” is not.",
    )


def two_agencies(agencies: list[Agency]) -> Bilingual:
    """A row whose codes belong to more than one agency of the directory."""
    listed = "; ".join(f"{quote(agency.name)} ({agency.organ_id})" for agency in agencies)
    return Bilingual(
        f"Các mã của dòng thuộc nhiều cơ quan khác nhau trong danh bạ: {listed}.",
        f"The codes of the row belong to different agencies of the directory: {listed}.",
    )


def hidden(characters: tuple[str, ...]) -> Bilingual:
    """Characters that cleaning took out or made plain spaces."""
    listed = ", ".join(characters)
    return Bilingual(
        f"Đã bỏ hoặc thay ký tự không nhìn thấy: {listed}.",
        f"Characters that cannot be seen were removed or replaced: {listed}.",
    )


def alias_disputed(code: OrganId) -> Bilingual:
    """An alias that cannot be given to this row."""
    return Bilingual(
        f"Mã {code} còn được khai cho cơ quan khác nên không gán cho cơ quan này.",
        f"The code {code} is claimed for another agency too, so this one was kept without it.",
    )


def tied(agency: Agency) -> Bilingual:
    """A row that updates an agency of the directory because of an alias alone."""
    named = f"{quote(agency.name)} ({agency.organ_id})"
    return Bilingual(
        f"Được ghép với cơ quan đã có trong danh bạ theo mã cũ: {named}.",
        f"Joined, through its other code, with an agency of the directory: {named}.",
    )
