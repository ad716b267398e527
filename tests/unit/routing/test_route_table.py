"""Routes: the longest match wins, and every answer says how it came about."""

from __future__ import annotations

from datetime import date

import pytest

from identifiers.organ_id import OrganId
from routing.route_table import (
    ConnectionStatus,
    RegistryData,
    RouteKind,
    RouteTable,
    prefixes_taken,
)
from tests.support.builders import NOW, agency, connection, later, route_table, token

TODAY = date(2026, 3, 2)
PROVINCE, DEPARTMENT, OFFICE = "H41", "000.00.13.H41", "000.05.13.H41"

province = connection("province", PROVINCE)
department = connection("department", DEPARTMENT)
AGENCIES = [agency(PROVINCE), agency(DEPARTMENT), agency(OFFICE), agency("000.00.14.H41")]


@pytest.mark.parametrize(
    ("code", "served_by", "matched"),
    [
        (PROVINCE, province, "H41"),
        (DEPARTMENT, department, DEPARTMENT),
        (OFFICE, department, DEPARTMENT),
        ("000.00.14.H41", province, "H41"),
        ("14.H41", province, "H41"),
    ],
)
def test_longest_match(code: str, served_by: object, matched: str) -> None:
    """The nearest body above with a connection serves an agency, however its code is written."""
    route = route_table(AGENCIES, [province, department]).route(code, TODAY)
    assert route.kind is RouteKind.ROUTED
    assert route.connection == served_by
    assert matched in route.sentence.en and matched in route.sentence.vi
    assert route.connection is not None and route.connection.name in route.sentence.vi


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("chẳng phải mã", RouteKind.MALFORMED_CODE),
        ("", RouteKind.MALFORMED_CODE),
        ("000.00.77.H77", RouteKind.UNKNOWN_AGENCY),
        ("000.00.20.H41", RouteKind.NOT_ACTIVE),
        ("000.00.21.H41", RouteKind.NOT_ACTIVE),
        ("G22", RouteKind.NO_CONNECTION),
    ],
)
def test_no_way_says_why(code: str, kind: RouteKind) -> None:
    """A recipient that cannot be reached is answered with the reason in both languages."""
    agencies = [
        *AGENCIES,
        agency("000.00.20.H41", valid_until=date(2025, 6, 30)),
        agency("000.00.21.H41", valid_from=date(2027, 1, 1)),
        agency("G22"),
    ]
    route = route_table(agencies, [province]).route(code, TODAY)
    assert (route.kind, route.connection, route.connection_id) == (kind, None, None)
    assert route.sentence.vi and route.sentence.en


def test_aliases_are_one_agency() -> None:
    """Old and new code have one key, one name, one route and one owner."""
    old, new = DEPARTMENT, "H41.13"
    table = route_table([agency(old, "Sở", aliases=(OrganId.of(new),))], [department])
    assert table.key_of_text(old) == table.key_of_text(new)
    assert table.route(new, TODAY).organ_key == table.route(old, TODAY).organ_key
    assert table.name_of(table.key_of_text(new)) == "Sở"
    assert table.owns(department.id, new) and table.owns(department.id, old)


def test_successor_takes_over() -> None:
    """After a merger packages for the old agency go to the new one, and the answer says so."""
    merged = agency(
        DEPARTMENT, valid_until=date(2025, 6, 30), successors=(OrganId.of("000.00.14.H41"),)
    )
    table = route_table([agency(PROVINCE), merged, agency("000.00.14.H41")], [province])
    route = table.route(DEPARTMENT, TODAY)
    assert route.kind is RouteKind.ROUTED
    assert route.organ_key == table.key_of_text("000.00.14.H41")
    assert table.route(DEPARTMENT, date(2025, 6, 30)).organ_key == table.key_of_text(DEPARTMENT)


def test_suspended_connection_still_is_the_route() -> None:
    """What is addressed to a suspended connection waits there; the answer mentions it."""
    asleep = connection("asleep", PROVINCE, status=ConnectionStatus.SUSPENDED)
    route = route_table(AGENCIES, [asleep]).route(PROVINCE, TODAY)
    assert route.kind is RouteKind.ROUTED and route.connection == asleep
    assert "suspended" in route.sentence.en and "tạm dừng" in route.sentence.vi


@pytest.mark.parametrize("code", [PROVINCE, "000.00.14.H41", "không phải mã", ""])
def test_nobody_owns_what_is_not_theirs(code: str) -> None:
    """A connection sends only for agencies that lead to it: not its parent's, not nonsense."""
    table = route_table(AGENCIES, [province, department])
    assert not table.owns(department.id, code)
    assert not table.owns("no such connection", code)


def test_parent_does_not_own_a_child_with_a_connection_of_its_own() -> None:
    """The longest match decides who may send, too."""
    table = route_table(AGENCIES, [province, department])
    assert not table.owns(province.id, OFFICE)
    assert table.owns(province.id, "000.00.14.H41")


def test_tokens_open_in_their_time_only() -> None:
    """A token opens its own connection until it ends; anything else opens nothing."""
    good, ending = token(province), token(department, expires_at=later(10))
    orphan = token(connection("gone"))
    data = RegistryData(1, (), (province, department), (good, ending, orphan))
    table = RouteTable(data)
    assert table.authenticate(good.sha256, NOW) == province
    assert table.authenticate(ending.sha256, later(9)) == department
    assert table.authenticate(ending.sha256, later(10)) is None
    assert table.authenticate(orphan.sha256, NOW) is None
    assert table.authenticate("0" * 64, NOW) is None


def test_names_and_codes_of_strangers() -> None:
    """Where nothing is known the key itself is shown, and nobody has codes."""
    table = route_table([], [province])
    assert table.name_of("000.00.77.H77") == "000.00.77.H77"
    assert table.name_of("không phải mã") == "không phải mã"
    assert table.key_of_text("không phải mã") == "không phải mã"
    assert table.agencies_of(province.id) == (OrganId.of(PROVINCE),)
    assert table.agencies_of("nobody") == ()


def test_prefixes_taken_by_any_spelling() -> None:
    """A code is taken however it is written."""
    wanted = [OrganId.of("000.00.00.H41"), OrganId.of("G22")]
    assert prefixes_taken([province], wanted) == {OrganId.of("H41"): province}
