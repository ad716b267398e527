"""The agencies of an axis beside ours: what is new, renamed, recoded, gone. Pure.

Nothing is dropped silently: what cannot be read, what two lines say differently, and what our own
connections serve is told and left as it is. An agency that the axis marks as deleted ends its
validity; one that it merely no longer lists is told, and ends only when the operator says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from adapters.vxp_client import text_of
from gateway.axis.items import time_of
from identifiers.agency import Agency
from identifiers.organ_id import MalformedOrganId, OrganId
from identifiers.texts import Bilingual, clean
from routing.route_table import Connection, RouteTable


@dataclass(frozen=True, slots=True)
class Unit:
    """One agency as the axis tells it."""

    code: OrganId
    name: str
    aliases: tuple[OrganId, ...] = ()
    deleted: bool = False
    version: int = 0
    changed_on: date | None = None


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A line that was not acted on, and why."""

    code: str
    name: str
    reason: Bilingual


@dataclass(frozen=True, slots=True)
class Changed:
    """An agency before and after."""

    before: Agency
    after: Agency


@dataclass(slots=True)
class DirectoryDiff:
    """What a sync would do, or did."""

    listed: int = 0
    unchanged: int = 0
    new: list[Agency] = field(default_factory=list)
    renamed: list[Changed] = field(default_factory=list)
    recoded: list[Changed] = field(default_factory=list)
    gone: list[Changed] = field(default_factory=list)
    #: Served by connections of ours: left alone.
    ours: list[Doubtful] = field(default_factory=list)
    #: Reached through the axis and not in its list; ended only on demand.
    missing: list[Agency] = field(default_factory=list)
    doubtful: list[Doubtful] = field(default_factory=list)

    @property
    def agencies(self) -> list[Agency]:
        """What is to be written, each agency once, the last word on it."""
        last = {agency.organ_id: agency for agency in self.new}
        for one in (*self.renamed, *self.recoded, *self.gone):
            last[one.after.organ_id] = one.after
        return list(last.values())


#: Further codes of agencies: for each such code, the codes of the agencies that claim it.
OtherCodes = Mapping[OrganId, tuple[OrganId, ...]]


def read_units(
    rows: Iterable[Mapping[str, Any]], other_codes: OtherCodes
) -> tuple[list[Unit], list[Doubtful]]:
    """The lines of a list as units, each code once at its highest version; and doubtful lines.

    `other_codes`: what other lists say (`other_codes_of`). A further code that several agencies
    claim is nobody's: it is told, and ties them neither to it nor to each other.
    """
    rows = list(rows)
    claims = _merged(other_codes, other_codes_of(rows))
    contested = {code: by for code, by in claims.items() if len(by) > 1}
    ties = _ties({code: by for code, by in other_codes.items() if code not in contested})
    units: dict[OrganId, Unit] = {}
    doubts = [_contested(code, by) for code, by in contested.items()]
    for row in rows:
        unit = _unit(row, ties, contested)
        if isinstance(unit, Doubtful):
            doubts.append(unit)
            continue
        known = units.get(unit.code)
        if known is None or unit.version > known.version:
            units[unit.code] = unit
        elif unit.version == known.version and (unit.name, unit.deleted) != (
            known.name,
            known.deleted,
        ):
            reason = Bilingual(
                f"Mã này có hai dòng khác nhau cùng phiên bản; giữ «{known.name}».",
                f"Two different lines of one version have this code; {known.name!r} is kept.",
            )
            doubts.append(Doubtful(unit.code.text, unit.name, reason))
    return list(units.values()), doubts


def other_codes_of(rows: Iterable[Mapping[str, Any]]) -> OtherCodes:
    """Who claims which further code, by lists that know both (`oldCode`, `code102`)."""
    claims: dict[OrganId, tuple[OrganId, ...]] = {}
    for row in rows:
        code = OrganId.parse(text_of(row.get("code")))
        if isinstance(code, MalformedOrganId) or _is_deleted(row):
            continue
        for other in _own_others(row):
            if other != code:
                claims[other] = tuple(dict.fromkeys((*claims.get(other, ()), code)))
    return claims


def _merged(*parts: OtherCodes) -> dict[OrganId, tuple[OrganId, ...]]:
    claims: dict[OrganId, tuple[OrganId, ...]] = {}
    for part in parts:
        for other, by in part.items():
            claims[other] = tuple(dict.fromkeys((*claims.get(other, ()), *by)))
    return claims


def _ties(claims: OtherCodes) -> dict[OrganId, tuple[OrganId, ...]]:
    """All other codes of an agency by each of its codes, where nobody else claims them."""
    groups: dict[OrganId, list[OrganId]] = {}
    for other, (code,) in claims.items():
        groups.setdefault(code, [code]).append(other)
    ties: dict[OrganId, tuple[OrganId, ...]] = {}
    for group in groups.values():
        for one in group:
            tied = (other for other in group if other != one)
            ties[one] = tuple(dict.fromkeys((*ties.get(one, ()), *tied)))
    return ties


def _contested(code: OrganId, by: tuple[OrganId, ...]) -> Doubtful:
    named = ", ".join(one.text for one in by)
    reason = Bilingual(
        f"Nhiều cơ quan cùng nhận mã này: {named}; không gắn cho cơ quan nào.",
        f"Several agencies claim this code: {named}; it is tied to none of them.",
    )
    return Doubtful(code.text, "", reason)


def _own_others(row: Mapping[str, Any]) -> list[OrganId]:
    """Further codes that a line itself names."""
    written = [text_of(row.get(key)) for key in ("oldCode", "code102")]
    parsed = (OrganId.parse(text) for text in written if text)
    return [one for one in parsed if isinstance(one, OrganId)]


def _is_deleted(row: Mapping[str, Any]) -> bool:
    return text_of(row.get("deleted")).lower() in ("true", "1")


def _unit(row: Mapping[str, Any], ties: OtherCodes, contested: OtherCodes) -> Unit | Doubtful:
    written, name = text_of(row.get("code")), clean(text_of(row.get("name")))
    if not written:
        reason = Bilingual("Dòng không có mã.", "The line has no code.")
        shown = json.dumps(row, ensure_ascii=False, default=str)[:120]
        return Doubtful("", name or shown, reason)
    code = OrganId.parse(written)
    if isinstance(code, MalformedOrganId):
        return Doubtful(written, name, code.reason)
    if not name:
        reason = Bilingual("Dòng không có tên.", "The line has no name.")
        return Doubtful(written, name, reason)
    others = (*ties.get(code, ()), *_own_others(row))
    aliases = (one for one in others if one != code and one not in contested)
    changed = time_of(row.get("modifyDate"))
    return Unit(
        code,
        name,
        tuple(dict.fromkeys(aliases)),
        _is_deleted(row),
        _number(row.get("version")),
        changed.date() if changed else None,
    )


def _number(value: object) -> int:
    text = text_of(value)
    return int(text[:18]) if text.isascii() and text.isdigit() else 0


def compare(
    units: Iterable[Unit],
    doubts: Iterable[Doubtful],
    routes: RouteTable,
    connection: Connection,
    today: date,
    *,
    end_missing: bool = False,
) -> DirectoryDiff:
    """What differs between an axis' units and our directory."""
    diff = DirectoryDiff(doubtful=list(doubts))
    listed: set[OrganId] = set()
    for unit in units:
        diff.listed += 1
        listed.update((unit.code, *unit.aliases))
        _compare_unit(unit, diff, routes, connection, today)
    if diff.listed:
        _look_for_missing(listed, diff, routes, connection, today, end_missing=end_missing)
    return diff


def _compare_unit(
    unit: Unit, diff: DirectoryDiff, routes: RouteTable, connection: Connection, today: date
) -> None:
    directory = routes.directory
    found = [directory.find(code) for code in (unit.code, *unit.aliases)]
    known = list(dict.fromkeys(agency for agency in found if agency is not None))
    served = routes.connection_of(unit.code)
    if served is not None and served[0].id != connection.id:
        _ours(unit, known, served[0], diff)
        return
    claimed = [code for code in (unit.code, *unit.aliases) if _disputed(routes, code)]
    if len(known) > 1 or claimed:
        reason = Bilingual(
            "Mã cũ và mã mới thuộc các cơ quan khác nhau trong danh bạ; cần người xử lý.",
            "Its codes belong to different agencies of our directory; somebody has to settle it.",
        )
        diff.doubtful.append(Doubtful(unit.code.text, unit.name, reason))
    elif not known:
        _unknown(unit, diff)
    else:
        _known(unit, known[0], diff, today)


def _disputed(routes: RouteTable, code: OrganId) -> bool:
    return routes.directory.find(code) is None and len(routes.directory.claimants(code)) > 1


def _ours(unit: Unit, known: list[Agency], owner: Connection, diff: DirectoryDiff) -> None:
    """Our own connections' agencies are ours to describe; a difference is told."""
    if known and known[0].name == unit.name and not unit.deleted:
        diff.unchanged += 1
        return
    said = "đã xóa" if unit.deleted else f"tên «{unit.name}»"
    said_en = "deleted" if unit.deleted else f"named {unit.name!r}"
    reason = Bilingual(
        f"Do kết nối «{owner.name}» phục vụ, giữ nguyên; trục ghi: {said}.",
        f"Served by connection {owner.name!r}, left as it is; the axis has it {said_en}.",
    )
    diff.ours.append(Doubtful(unit.code.text, unit.name, reason))


def _unknown(unit: Unit, diff: DirectoryDiff) -> None:
    if unit.deleted:
        diff.unchanged += 1
    else:
        diff.new.append(Agency(unit.code, unit.name, unit.aliases))


def _known(unit: Unit, known: Agency, diff: DirectoryDiff, today: date) -> None:
    ended = known.valid_until is not None and known.valid_until < today
    if unit.deleted:
        if ended:
            diff.unchanged += 1
            return
        diff.gone.append(Changed(known, _ended(known, unit.changed_on or today, today)))
        return
    if ended:
        reason = Bilingual(
            f"Danh bạ ghi đã hết hiệu lực ngày {known.valid_until}; trục vẫn liệt kê.",
            f"Ended on {known.valid_until} in our directory; the axis still lists it.",
        )
        diff.doubtful.append(Doubtful(unit.code.text, unit.name, reason))
        return
    after = known
    if unit.name != known.name:
        after = replace(after, name=unit.name)
        diff.renamed.append(Changed(known, after))
    new_codes = [code for code in (unit.code, *unit.aliases) if code not in known.codes]
    if new_codes:
        after = replace(after, aliases=(*known.aliases, *new_codes))
        diff.recoded.append(Changed(known, after))
    if after is known:
        diff.unchanged += 1


def _ended(agency: Agency, on: date, today: date) -> Agency:
    """The agency with its last day before `on`, and before today in any case."""
    last = min(on, today) - timedelta(days=1)
    first = agency.valid_from
    return replace(agency, valid_until=last if first is None or first <= last else first)


def _look_for_missing(
    listed: set[OrganId],
    diff: DirectoryDiff,
    routes: RouteTable,
    connection: Connection,
    today: date,
    *,
    end_missing: bool,
) -> None:
    """Agencies that are reached through the axis, and that it does not list."""
    for agency in routes.directory:
        served = routes.connection_of(agency.organ_id)
        if served is None or served[0].id != connection.id or not agency.is_active(today):
            continue
        if any(code in listed for code in agency.codes):
            continue
        if end_missing:
            diff.gone.append(Changed(agency, _ended(agency, today, today)))
        else:
            diff.missing.append(agency)
