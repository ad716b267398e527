"""Checks that the rules of a profile ask for and that the settings leave out.

Without `signature_checks` no signature is verified, without `malware_scanner` no file scanned: the
rules that need them are *not judged* and documents go on. That may be meant, on a bench for one; it
is said at every start, by `lienthong config check` and by a metric.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from envelopes.findings import Severity
from envelopes.rule_catalogue import RULES
from envelopes.rules.profile import NATIONAL, Profile, load_profile
from gateway.observability import Metrics
from gateway.settings import Settings
from schemas.catalogue import profile_names

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A setting that is off although these profiles refuse what it would find."""

    #: ``signatures`` or ``malware``.
    check: str
    setting: str
    profiles: tuple[str, ...]

    def __str__(self) -> str:
        what = "no signature is verified" if self.check == "signatures" else "no file is scanned"
        return f"{self.setting} is off: {what}, though asked for by {', '.join(self.profiles)}"


def skipped_checks(settings: Settings, chosen: Iterable[str] = ()) -> tuple[Skipped, ...]:
    """What these settings leave out.

    `chosen` are the profiles of connections; those of `agency_profiles` and the national one, which
    all others come under, are known.
    """
    names = {NATIONAL, *settings.profile_assignments.values(), *chosen} & set(profile_names())
    profiles = [load_profile(name) for name in sorted(names)]
    found = []
    if not settings.signature_checks:
        asking = tuple(one.name for one in profiles if _asks_for_signatures(one))
        found.append(Skipped("signatures", "signature_checks", asking))
    if not settings.malware_scanner:
        asking = tuple(one.name for one in profiles if one.grade("FILE-MALWARE") is Severity.REFUSE)
        found.append(Skipped("malware", "malware_scanner", asking))
    return tuple(one for one in found if one.profiles)


def _asks_for_signatures(profile: Profile) -> bool:
    return profile.parameters.signature_required or any(
        profile.grade(rule_id) is Severity.REFUSE for rule_id in RULES if rule_id.startswith("SIG-")
    )


def tell_skipped(settings: Settings, chosen: Iterable[str], metrics: Metrics) -> None:
    """Say it in the log and by the metric `lienthong_checks_skipped`."""
    skipped = {one.check: one for one in skipped_checks(settings, chosen)}
    for check in ("signatures", "malware"):
        one = skipped.get(check)
        metrics.checks_skipped.labels(check).set(len(one.profiles) if one else 0)
        if one is not None:
            log.warning(
                "checks.skipped",
                check=check,
                setting=one.setting,
                profiles=list(one.profiles),
                consequence="documents go on unchecked",
            )
