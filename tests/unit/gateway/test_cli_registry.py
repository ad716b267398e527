"""`lienthong agencies` and `lienthong connections` on a real SQLite database."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.database import RegistryStore, SqlDatabase
from gateway.cli.failures import REFUSED, WRONG_USE
from routing.route_table import RegistryData
from tests.unit.gateway.cli_runner import Lienthong

CSV = """code_qd20;name;old_code
H41;UBND tỉnh Nghệ An;
H41.13;Sở Nội vụ tỉnh Nghệ An;000.00.13.H41
H41.14;Sở Y tế tỉnh Nghệ An;
không phải mã;Sai mã;
"""


def registry(lienthong: Lienthong) -> RegistryData:
    """What the database holds."""

    async def load(database: SqlDatabase) -> RegistryData:
        return await RegistryStore(database).load()

    return lienthong.database(load)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A small directory with one wrong row."""
    file = tmp_path / "agencies.csv"
    file.write_text(CSV, "utf-8")
    return file


def test_import_reports_doubtful_rows_and_twice_changes_nothing(
    lienthong: Lienthong, csv: Path
) -> None:
    """Good rows are kept, a wrong one is reported with its line; the second run is idle."""
    first = lienthong.json("agencies", "import", csv)
    assert (first["added"], first["skipped"]) == (3, 1)
    assert first["doubtful"][0]["line"] == 5 and first["doubtful"][0]["reason"]["vi"]
    version = registry(lienthong).version
    second = lienthong("agencies", "import", csv)
    assert "0 added, 0 changed, 3 unchanged" in second.stdout and "line 5" in second.stderr
    assert registry(lienthong).version == version


def test_a_dry_run_changes_nothing(lienthong: Lienthong, csv: Path) -> None:
    """It says the same and leaves the directory empty."""
    assert lienthong.json("agencies", "import", csv, "--dry-run")["added"] == 3
    assert lienthong.json("agencies", "list") == {"items": []}


def test_a_file_that_is_no_directory_is_refused(lienthong: Lienthong, tmp_path: Path) -> None:
    """A wrong header and wrong encoding are wrong use; nothing is imported."""
    file = tmp_path / "x.csv"
    file.write_text("a,b\n1,2\n", "utf-8")
    assert "a,b" in lienthong("agencies", "import", file, code=WRONG_USE).stderr
    file.write_bytes("code,name\nH41,Nghệ".encode("utf-16"))
    assert "UTF-8" in lienthong("agencies", "import", file, code=WRONG_USE).stderr


def test_agencies_are_found_without_accents_and_shown_by_any_code(
    lienthong: Lienthong, csv: Path
) -> None:
    """Search forgives; an old code leads to the agency and to its route."""
    lienthong("agencies", "import", csv)
    found = lienthong.json("agencies", "find", "so", "noi", "vu")["items"]
    assert [item["organId"] for item in found] == ["H41.13"]
    lienthong("connections", "add", "QLVB tỉnh", "--agency", "H41")
    shown = lienthong.json("agencies", "show", "000.00.13.H41")
    assert shown["organId"] == "H41.13" and shown["route"]["connection"] == "QLVB tỉnh"
    assert "UBND tỉnh Nghệ An" in lienthong("agencies", "list").stdout
    assert "No agency" in lienthong("agencies", "show", "G22", code=REFUSED).stderr
    lienthong("agencies", "show", "???", code=WRONG_USE)


def test_a_token_is_shown_once_and_stored_as_its_digest(lienthong: Lienthong) -> None:
    """stdout is the token alone; the database and its file do not hold it."""
    token = lienthong("connections", "add", "QLVB A", "--agency", "H41").stdout.strip()
    assert token.startswith("lt_") and len(token) >= 3 + 43
    data = registry(lienthong)
    assert data.tokens[0].sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert token.encode() not in (lienthong.data / "lienthong.db").read_bytes()
    assert token not in lienthong("connections", "list").output


def test_unknown_agencies_are_added_with_a_notice(lienthong: Lienthong) -> None:
    """Named by --agency-name or their code; those known keep their name."""
    notice = lienthong(
        "connections", "add", "A", "--agency", "H41", "--agency-name", "UBND tỉnh"
    ).stderr
    assert "Added to the directory: H41 UBND tỉnh" in notice
    several = lienthong.json(
        "connections", "add", "B", "--agency", "G22", "--agency", "H17", "--agency-name", "G22=VPCP"
    )
    assert [(one["organId"], one["name"]) for one in several["agenciesAdded"]] == [
        ("G22", "VPCP"),
        ("H17", "H17"),
    ]
    nameless = lienthong("connections", "add", "C", "--agency", "H42").stderr
    assert "Added to the directory: H42 (its name" in nameless
    names = {agency.organ_id.text: agency.name for agency in registry(lienthong).agencies}
    assert names.pop("H42") == "H42"
    assert names == {"H41": "UBND tỉnh", "G22": "VPCP", "H17": "H17"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["A", "--agency", "H50"], REFUSED, "already"),
        (["B", "--agency", "000.00.00.H41"], REFUSED, "H41 by 'A'"),
        (["B", "--agency", "000.00.13.H41"], REFUSED, "by 'A'"),
        (["B", "--agency", "no_code"], WRONG_USE, "no agency code"),
        (["B", "--agency", ""], WRONG_USE, "there is no code in it"),
        (["B", "--agency", "H50,"], WRONG_USE, "there is no code in it"),
        (["B", "--agency", "H50", "H51"], WRONG_USE, "--agency G22,G01"),
        (["B", "--agency", "H50", "--kind", "axis"], WRONG_USE, "allowed: pull"),
        (["B"], WRONG_USE, "--agency"),
        (["", "--agency", "H50"], WRONG_USE, "printable"),
        (["x" * 101, "--agency", "H50"], WRONG_USE, "printable"),
        (["a\nb", "--agency", "H50"], WRONG_USE, "printable"),
        (["B", "--agency", "H50", "--agency", "H51", "--agency-name", "X"], WRONG_USE, "CODE=NAME"),
    ],
)
def test_what_cannot_be_added_is_refused_and_changes_nothing(
    lienthong: Lienthong, csv: Path, arguments: list[str], code: int, told: str
) -> None:
    """Names and codes have one owner, whichever of an agency's codes is used."""
    lienthong("agencies", "import", csv)
    lienthong("connections", "add", "A", "--agency", "H41", "--agency", "H41.13")
    before = registry(lienthong)
    assert told in lienthong("connections", "add", *arguments, code=code).stderr
    assert registry(lienthong) == before


def test_suspend_and_resume(lienthong: Lienthong) -> None:
    """Each is told once more harmlessly; an unknown name is refused naming those there are."""
    lienthong("connections", "add", "A", "--agency", "H41")
    assert "is now suspended" in lienthong("connections", "suspend", "A").stdout
    assert "was already suspended" in lienthong("connections", "suspend", "A").stdout
    assert lienthong.json("connections", "list")["items"][0]["status"] == "suspended"
    assert lienthong.json("connections", "resume", "A")["status"] == "active"
    assert "'A'" in lienthong("connections", "resume", "B", code=REFUSED).stderr


def test_rotation_leaves_the_old_token_its_overlap(lienthong: Lienthong) -> None:
    """24 hours by default, as asked for, or none at all with --now."""
    lienthong("connections", "add", "A", "--agency", "H41")
    start = datetime.now(UTC)
    answer = lienthong.json("connections", "rotate", "A")
    ends = datetime.fromisoformat(answer["oldTokensEnd"])
    assert timedelta(hours=24) <= ends - start < timedelta(hours=24, minutes=5)
    assert lienthong.json("connections", "list")["items"][0]["validTokens"] == 2
    newest = lienthong("connections", "rotate", "A", "--now").stdout.strip()
    valid = [one for one in registry(lienthong).tokens if one.valid_at(datetime.now(UTC))]
    assert [one.sha256 for one in valid] == [hashlib.sha256(newest.encode()).hexdigest()]
    lienthong("connections", "rotate", "A", "--overlap", "-1", code=WRONG_USE)


def test_every_change_is_logged_with_the_operators_name(lienthong: Lienthong) -> None:
    """Who added, suspended and rotated stands in the event log."""
    lienthong("connections", "add", "A", "--agency", "H41")
    lienthong("connections", "suspend", "A", "--operator", "minh")
    lienthong("connections", "rotate", "A", LIENTHONG_OPERATOR="hoa")
    import sqlite3

    with sqlite3.connect(lienthong.data / "lienthong.db") as database:
        rows = database.execute("SELECT type, actor FROM events ORDER BY seq").fetchall()
    assert rows == [
        ("connection.added", "operator:lan"),
        ("connection.suspended", "operator:minh"),
        ("connection.token-rotated", "operator:hoa"),
    ]
    lienthong("connections", "resume", "A", "--operator", "x" * 101, code=WRONG_USE)


@pytest.mark.parametrize(
    "given",
    [
        ["--agency", "G22,G01", "--agency", "H41"],
        ["--agency", "G22 G01", "--agency=H41"],
        ["--agency", " G22, G01;\tH41 "],
        ["--agency", "G22,000.00.00.G22", "--agency", "G01,H41"],
    ],
)
def test_several_agencies_however_they_are_written(lienthong: Lienthong, given: list[str]) -> None:
    """Repeated, with commas or blanks; one code in two forms is one; people are given them so."""
    lienthong("connections", "add", "A", *given)
    shown = lienthong.json("connections", "show", "A")["agencies"]
    assert sorted(code.removeprefix("000.00.00.") for code in shown) == ["G01", "G22", "H41"]
    told = lienthong.json("people", "add", "Lan", "--role", "clerk", *given)
    assert len(told["agencies"]) == 3


def test_a_malformed_code_is_wrong_use_everywhere(lienthong: Lienthong) -> None:
    """Showing, adding, employing: one exit code and how a code is written."""
    lienthong("connections", "add", "A", "--agency", "H41")
    for words in (
        ("agencies", "show", "no_code"),
        ("connections", "add", "B", "--agency", "no_code"),
        ("people", "add", "Lan", "--role", "clerk", "--agency", "no_code"),
    ):
        assert "no agency code" in lienthong(*words, code=WRONG_USE).stderr
    vi = lienthong("--lang", "vi", "agencies", "show", "no_code", code=WRONG_USE).stderr
    assert vi != lienthong("agencies", "show", "no_code", code=WRONG_USE).stderr


def test_agencies_come_from_standard_input_too(lienthong: Lienthong) -> None:
    """`… | lienthong agencies import -`; nothing at all is refused in one line."""
    text = "code,name\nH41,UBND tỉnh\n"
    assert "1 added" in lienthong("agencies", "import", "-", stdin=text.encode()).stdout
    told = lienthong("agencies", "import", "-", stdin=b"", code=WRONG_USE).stderr
    assert "standard input" in told and "found:" not in told
    wrong = lienthong("agencies", "import", "-", stdin=b"\xff\xfe", code=WRONG_USE).stderr
    assert "standard input is not UTF-8" in wrong
