"""The directory over the national axis protocol: lists, registration, removal, approval."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import packages
from tests.support.packages import new_id
from tests.support.vxp_client import Failed
from tests.support.vxp_town import MINISTRY, OLD, PROVINCE, Town


def coded(items: list[dict[str, Any]], code: str) -> dict[str, Any] | None:
    """The line of a code, once."""
    found = [item for item in items if item["code"] == code]
    assert len(found) <= 1, found
    return found[0] if found else None


def test_lists_have_old_and_new_codes(town: Town, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An agency with both codes: each list names it as its readers know it."""
    folder = tmp_path_factory.mktemp("csv")
    file = folder / "agencies.csv"
    file.write_text("code_qd20;name;old_code\nH41.13;Sở Nội vụ Nghệ An;000.01.13.H41\n", "utf-8")
    town.command("agencies", "import", str(file))
    client = town.province
    assert coded(client.agencies("getAgenciesList"), "H41.13") is None
    plain = coded(client.agencies("getAgenciesList"), "000.01.13.H41")
    assert plain is not None
    assert (plain["oldCode"], plain["name"]) == ("000.01.13.H41", "Sở Nội vụ Nghệ An")
    assert set(plain) == {"id", "pid", "code", "name", "mail", "oldCode"}
    new = coded(client.agencies("getAgenciesListQD20"), "H41.13")
    assert new is not None and new["code102"] == "000.01.13.H41"
    assert set(new) == {"id", "code", "name", "mail", "code102"}
    unit = coded(client.agencies("getSynchronizeUnit"), "H41.13")
    assert unit is not None
    assert (unit["deleted"], unit["isAgency"]) == (False, True)
    assert type(unit["version"]) is int and unit["version"] > 1_700_000_000
    assert unit["modifyDate"] and unit["centerCode"]
    top = coded(client.agencies("getAgenciesList"), PROVINCE)
    assert top is not None and (top["oldCode"], top["pid"]) == (PROVINCE, "")
    assert plain["pid"] == unit["pid"] == top["id"]
    level_one = coded(client.agencies("getAgenciesListQD20"), "H41")
    assert level_one is not None and level_one["code102"] == PROVINCE


def test_each_list_has_one_system_of_codes(
    town: Town, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without a Decision 20 code: not in that list; without a QCVN 102 code: by the one it has."""
    file = tmp_path_factory.mktemp("csv") / "agencies.csv"
    file.write_text("code_qd20;name;old_code\nH41.77.1;Chỉ mã mới;\n", "utf-8")
    town.command("agencies", "import", str(file))
    client = town.province
    client.register("000.78.00.H41", "Chỉ mã cũ")
    plain = coded(client.agencies("getAgenciesList"), "H41.77.1")
    assert plain is not None and "oldCode" not in plain
    old = coded(client.agencies("getAgenciesList"), "000.78.00.H41")
    assert old is not None and old["oldCode"] == "000.78.00.H41"
    new = client.agencies("getAgenciesListQD20")
    assert coded(new, "H41.77.1") is not None
    assert coded(new, "000.78.00.H41") is None
    assert not [one for one in new if one["code"].count(".") == 3]
    assert not [one for one in new if one.get("code102") == "000.78.00.H41"]


def test_the_code_says_where_an_agency_belongs(town: Town) -> None:
    """The client's own pid is harmless, a pcode above the code too; any other pcode is refused."""
    province, code = town.province, "000.41.21.H41"
    province.register(code, "Phòng A", pid="998877", id="x")
    province.register(code, "Phòng B", pcode=PROVINCE, pid="998877")
    province.register(code, "Phòng C", pcode="H41")
    for pcode in (MINISTRY, "000.00.22.H41", "H41.1", code, "sai mã"):
        with pytest.raises(Failed, match="pcode") as failed:
            province.register(code, "Phòng D", pcode=pcode)
        assert failed.value.code == "400"
    line = coded(province.agencies(), code)
    assert line is not None and line["name"] == "Phòng C"
    province.remove(code)


def test_who_removes_what_nobody_has(town: Town) -> None:
    """404 for a code that no agency has, wherever it would be; 403 for somebody else's agency."""
    for code, told in (("000.99.77.H41", "404"), ("000.99.77.G22", "404"), (MINISTRY, "403")):
        with pytest.raises(Failed) as failed:
            town.province.remove(code)
        assert failed.value.code == told


def test_a_system_registers_and_removes_what_is_below_it(town: Town) -> None:
    """At once in the lists, reachable by documents; after removal closed, and back again."""
    code, province = "000.00.21.H41", town.province
    told = province.register(code, "Phòng Văn thư", mail="vt@nghean.example")
    assert told["ErrorDesc"] == ""
    line = coded(province.agencies(), code)
    assert line is not None
    assert (line["name"], line["mail"]) == ("Phòng Văn thư", "vt@nghean.example")
    content = packages.document(MINISTRY, (code,), new_id())
    document = town.ministry.send(content)
    (sent,) = town.ministry.sent(doc_id=document)
    assert province.get(town.listed(province, sent["receiverDocId"])["docId"]) == content
    for _ in range(2):
        province.register(code, "Phòng Văn thư")
        province.remove(code)
    assert coded(province.agencies(), code) is None
    unit = coded(province.agencies("getSynchronizeUnit"), code)
    assert unit is not None and unit["deleted"] is True
    returned = town.ministry.send(packages.document(MINISTRY, (code,), new_id()))
    (line_of,) = town.ministry.sent(doc_id=returned)
    assert line_of["sendStatus"] == "FAIL" and line_of["sendStatusDesc"]
    province.register(code, "Phòng Văn thư mới")
    again = coded(province.agencies(), code)
    assert again is not None and again["name"] == "Phòng Văn thư mới"
    province.remove(code)


def test_nobody_changes_what_is_not_below_it(town: Town) -> None:
    """Another's agencies, the own code, unknown ones, nonsense: refused, and the lists stay."""
    before = town.province.agencies()
    for code, name in (
        (MINISTRY, "Giả"),
        ("000.00.01.G22", "Giả"),
        ("G22.7", "Giả"),
        ("000.00.00.Z99", "Giả"),
        (PROVINCE, "Tên khác"),
        ("khong-phai-ma", "Giả"),
        ("000.00.09.H41", ""),
        ("", "Không mã"),
    ):
        with pytest.raises(Failed):
            town.province.register(code, name)
    for code in (MINISTRY, PROVINCE, "000.00.77.H41"):
        with pytest.raises(Failed):
            town.province.remove(code)
    assert town.province.agencies() == before


def test_requests_wait_for_the_operator_where_they_must(town: Town) -> None:
    """Recorded, listed, approved or refused; only then the directory changes."""
    system, code = town.client(OLD), "000.00.31.H17"
    told = system.register(code, "Chi cục A", mail="a@h17.example")
    assert "chờ" in told["ErrorDesc"]
    system.register(code, "Chi cục A")
    assert coded(system.agencies(), code) is None
    (waiting,) = _requests(town)
    assert (waiting["action"], waiting["organId"], waiting["name"]) == (
        "register",
        code,
        "Chi cục A",
    )
    assert waiting["particulars"]["mail"] == "a@h17.example"
    town.command("agencies", "requests", "approve", waiting["id"])
    line = coded(system.agencies(), code)
    assert line is not None and line["mail"] == "a@h17.example"
    system.remove(code)
    assert coded(system.agencies(), code) is not None
    (waiting,) = _requests(town)
    town.command("agencies", "requests", "refuse", waiting["id"], "--note", "còn dùng")
    assert coded(system.agencies(), code) is not None
    assert _requests(town) == []
    decided = _requests(town, "--all")
    assert {"approved", "refused"} <= {one["state"] for one in decided}


def _requests(town: Town, *more: str) -> list[dict[str, Any]]:
    told = json.loads(town.command("agencies", "requests", "list", "--json", *more))
    return list(told["items"])
