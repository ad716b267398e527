"""Who stands behind an agency code on a given day: validity and successors, with the reason.

Reached through `identifiers.directory.Directory.resolve`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from identifiers.texts import Bilingual, clean

#: How many agencies a sentence names before it says how many more there are.
_NAMED_AT_MOST = 10


class ResolutionKind(StrEnum):
    """What the directory says of a code on a day."""

    #: The agency exists on that day.
    ACTIVE = "active"
    #: The agency has ended; exactly one existing agency took over.
    SUCCEEDED = "succeeded"
    #: The agency has ended and its successors lead to several: a person must choose.
    SPLIT = "split"
    #: The agency has ended and nobody known to exist took over.
    EXPIRED = "expired"
    #: The agency, or the only successor of one that has ended, begins later.
    NOT_YET_VALID = "not-yet-valid"
    #: No agency has this code, or several claim it.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer of `Directory.resolve`."""

    kind: ResolutionKind
    asked: OrganId
    reason: Bilingual
    #: Who is meant: the active agency or successor; otherwise the agency that has the code, if any.
    agency: Agency | None = None
    #: The agencies from the one asked for to the one chosen, both included; one alone when ACTIVE.
    path: tuple[Agency, ...] = ()
    #: Where the successors end (SPLIT), or who claims the code (UNKNOWN), by code.
    candidates: tuple[OrganId, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether `agency` can be written to on that day."""
        return self.kind in (ResolutionKind.ACTIVE, ResolutionKind.SUCCEEDED)


@dataclass(frozen=True, slots=True)
class _End:
    """Where one line of successors ends; `agency` is None for a code not in the directory."""

    code: OrganId
    agency: Agency | None
    path: tuple[Agency, ...]


def resolve_agency(
    organ_id: OrganId,
    on: date,
    *,
    find: Callable[[OrganId], Agency | None],
    claimants: Callable[[OrganId], tuple[Agency, ...]],
) -> Resolution:
    """Resolve a code with the look-ups of a directory; see `Directory.resolve`."""
    agency = find(organ_id)
    if agency is None:
        return _unknown(organ_id, claimants(organ_id))
    if agency.is_active(on):
        reason = Bilingual(
            f"{_named(agency)} đang hoạt động vào ngày {_vi(on)}.",
            f"{_named(agency)} is active on {on.isoformat()}.",
        )
        return Resolution(ResolutionKind.ACTIVE, organ_id, reason, agency, (agency,))
    if not _has_ended(agency, on):
        return _not_yet(organ_id, _End(agency.organ_id, agency, (agency,)))
    ends = _ends_of(agency, on, find)
    if len(ends) > 1:
        return _split(organ_id, agency, ends)
    if ends and ends[0].agency is not None and ends[0].agency is not agency:
        return _one_end(organ_id, agency, ends[0], on)
    return _expired(organ_id, agency, ends)


def _ends_of(start: Agency, on: date, find: Callable[[OrganId], Agency | None]) -> tuple[_End, ...]:
    """Every place where the lines of successors of `start` end on that day, each once.

    Breadth first, each agency visited once: loops end and shared successors cost nothing. A line
    that runs into a loop has no end.
    """
    ends: dict[OrganId, _End] = {}
    seen = {start.organ_id}
    queue: deque[tuple[Agency, tuple[Agency, ...]]] = deque([(start, (start,))])
    while queue:
        agency, path = queue.popleft()
        if not _has_ended(agency, on) or not agency.successors:
            ends[agency.organ_id] = _End(agency.organ_id, agency, path)
            continue
        for code in agency.successors:
            successor = find(code)
            if successor is None:
                ends[code] = _End(code, None, path)
            elif successor.organ_id not in seen:
                seen.add(successor.organ_id)
                queue.append((successor, (*path, successor)))
    return tuple(ends.values())


def _has_ended(agency: Agency, on: date) -> bool:
    return agency.valid_until is not None and agency.valid_until < on


def _one_end(organ_id: OrganId, agency: Agency, end: _End, on: date) -> Resolution:
    """All lines of successors end at one agency other than the one asked for."""
    last = end.agency
    if last is None or _has_ended(last, on):
        return _expired(organ_id, agency, (end,))
    if not last.is_active(on):
        return _not_yet(organ_id, end)
    steps = " → ".join(_named(step) for step in end.path[1:-1])
    via = Bilingual(f", qua {steps}", f", by way of {steps}") if steps else Bilingual("", "")
    reason = Bilingual(
        f"{_ended_vi(agency)} Đơn vị kế thừa: {_named(last)}{via.vi}.",
        f"{_ended_en(agency)} Its successor is {_named(last)}{via.en}.",
    )
    return Resolution(ResolutionKind.SUCCEEDED, organ_id, reason, last, end.path)


def _not_yet(organ_id: OrganId, end: _End) -> Resolution:
    first, last = end.path[0], end.path[-1]
    begins = last.valid_from or date.min
    before = Bilingual("", "")
    if last is not first:
        before = Bilingual(f"{_ended_vi(first)} ", f"{_ended_en(first)} ")
    reason = Bilingual(
        f"{before.vi}{_named(last)} chỉ hoạt động từ ngày {_vi(begins)}.",
        f"{before.en}{_named(last)} begins on {begins.isoformat()}.",
    )
    return Resolution(ResolutionKind.NOT_YET_VALID, organ_id, reason, last, end.path)


def _split(organ_id: OrganId, agency: Agency, ends: tuple[_End, ...]) -> Resolution:
    ordered = sorted(ends, key=lambda end: end.code)
    names = [end.code.text if end.agency is None else _named(end.agency) for end in ordered]
    listed = "; ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    reason = Bilingual(
        f"{_ended_vi(agency)} Có nhiều đơn vị kế thừa, cần chọn nơi nhận: {listed}"
        f"{f' và {more} đơn vị khác' if more > 0 else ''}.",
        f"{_ended_en(agency)} It has several successors, choose one: {listed}"
        f"{f' and {more} more' if more > 0 else ''}.",
    )
    codes = tuple(end.code for end in ordered)
    return Resolution(ResolutionKind.SPLIT, organ_id, reason, agency, (agency,), codes)


def _expired(organ_id: OrganId, agency: Agency, ends: tuple[_End, ...]) -> Resolution:
    path: tuple[Agency, ...] = (agency,)
    why = Bilingual("Không có đơn vị kế thừa.", "It has no successor.")
    if not ends:
        why = Bilingual(
            "Danh sách đơn vị kế thừa quay vòng, không tới đơn vị nào đang hoạt động.",
            "Its successors lead in a circle and reach no active agency.",
        )
    elif ends[0].agency is None:
        path = ends[0].path
        why = Bilingual(
            f"Đơn vị kế thừa {ends[0].code} không xác định được trong danh bạ.",
            f"Its successor {ends[0].code} cannot be told from the directory.",
        )
    elif ends[0].agency is not agency:
        path = ends[0].path
        why = Bilingual(
            f"{_ended_vi(path[-1])} Không có đơn vị kế thừa tiếp theo.",
            f"{_ended_en(path[-1])} Nobody took over from there.",
        )
    reason = Bilingual(f"{_ended_vi(agency)} {why.vi}", f"{_ended_en(agency)} {why.en}")
    return Resolution(ResolutionKind.EXPIRED, organ_id, reason, agency, path)


def _unknown(organ_id: OrganId, claimants: tuple[Agency, ...]) -> Resolution:
    if not claimants:
        reason = Bilingual(
            f"Mã {organ_id} không có trong danh bạ cơ quan.",
            f"The code {organ_id} is not in the directory of agencies.",
        )
        return Resolution(ResolutionKind.UNKNOWN, organ_id, reason)
    listed = "; ".join(_named(agency) for agency in claimants[:_NAMED_AT_MOST])
    reason = Bilingual(
        f"Mã {organ_id} được khai cho nhiều cơ quan trong danh bạ, không rõ là cơ quan nào: "
        f"{listed}.",
        f"The directory lists the code {organ_id} for several agencies, so it is unclear which one "
        f"is meant: {listed}.",
    )
    codes = tuple(agency.organ_id for agency in claimants)
    return Resolution(ResolutionKind.UNKNOWN, organ_id, reason, candidates=codes)


def _named(agency: Agency) -> str:
    return f"{clean(agency.name)} ({agency.organ_id})"


def _ended_vi(agency: Agency) -> str:
    ended = agency.valid_until
    return f"{_named(agency)} đã hết hiệu lực sau ngày {_vi(ended)}." if ended else ""


def _ended_en(agency: Agency) -> str:
    ended = agency.valid_until
    return f"{_named(agency)} was valid until {ended.isoformat()}." if ended else ""


def _vi(day: date) -> str:
    return f"{day.day:02d}/{day.month:02d}/{day.year:04d}"
