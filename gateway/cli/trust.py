"""`lienthong trust …`: whom signatures are believed from, in the folder `trust_dir`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from adapters.trust.certificates import NotACertificate
from adapters.trust.fetch import FetchPolicy, RevocationFetcher
from adapters.trust.folder import AGENCIES, ANCHORS, TrustEntry, TrustFolder, TrustProblem
from envelopes.signature_facts import CertificateFacts
from gateway import clock
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import refuse, wrong_use
from gateway.cli.output import print_json, print_table, say, show

_ROLES = {ANCHORS: "anchor", "intermediates": "intermediate", AGENCIES: "agency"}


@click.group(short_help="Whom signatures are believed from.")
def trust() -> None:
    """Whom signatures are believed from: authorities, agencies' certificates, suspensions.

    Everything lies as files in the folder trust_dir (in the data folder: trust) and holds at once.
    """


def _folder(state: State) -> TrustFolder:
    return TrustFolder(state.settings.effective_trust_dir)


@trust.command("list")
@json_option
@pass_state
def list_(state: State, as_json: bool) -> None:
    """List every certificate, and files that cannot be read (exit code 1 then)."""
    folder = _folder(state)
    entries = folder.entries()
    problems = folder.material("national").problems
    if as_json:
        print_json({"certificates": [_dict(one) for one in entries], "problems": problems})
    else:
        _table(entries)
    if problems:
        refuse("\n".join(problems))


@trust.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--profile", help="Anchors of this profile alone. Without it: of all profiles.")
@click.option("--agency", help="Register for the agency with this code, trust no authority.")
@click.option("--intermediate", is_flag=True, help="For building chains only, trusted by nobody.")
@json_option
@pass_state
def import_(
    state: State,
    file: Path,
    profile: str | None,
    agency: str | None,
    intermediate: bool,
    as_json: bool,
) -> None:
    """Take in certificates from FILE (PEM, DER or PKCS#7), as trust anchors by default."""
    if sum((profile is not None, agency is not None, intermediate)) > 1:
        wrong_use("Give one of --profile, --agency and --intermediate.")
    folder, data = _folder(state), file.read_bytes()
    try:
        if agency is not None:
            added = folder.register(agency, data)
        elif intermediate:
            added = folder.add_intermediates(data)
        else:
            added = folder.add_anchors(data, profile or "")
    except NotACertificate as error:
        wrong_use(f"{file}: {error}")
    if isinstance(added, TrustProblem):
        wrong_use(f"found {added.found!r}; allowed: {added.allowed}")
    if as_json:
        print_json([one.as_dict() for one in added])
        return
    for one in added:
        show(f"{one.sha256[:16]}  {_name(one)}")


@trust.command()
@click.argument("certificate")
@click.option("--reason", required=True, help="What was reported, by whom.")
@operator_option
@pass_state
def suspend(state: State, certificate: str, reason: str, operator: str) -> None:
    """Let a certificate count for nothing from now on.

    CERTIFICATE is the beginning of its SHA-256, its serial number (hexadecimal), or the code of an
    agency: then all its certificates. A whole SHA-256 (64 digits) need not be known.
    """
    folder = _folder(state)
    for sha256, label in _meant(folder, certificate):
        folder.suspend(sha256, reason=reason, by=f"operator:{operator}", now=clock.now())
        show(f"suspended  {sha256[:16]}  {label}")


@trust.command()
@click.argument("certificate")
@pass_state
def resume(state: State, certificate: str) -> None:
    """Take a suspension back. CERTIFICATE as for suspend."""
    folder = _folder(state)
    for sha256, label in _meant(folder, certificate):
        if folder.resume(sha256):
            show(f"resumed  {sha256[:16]}  {label}")
        else:
            say(f"not suspended  {sha256[:16]}  {label}")


@trust.command()
@click.option(
    "--days", type=click.IntRange(0, 3650), default=60, show_default=True, help="How far to look."
)
@json_option
@pass_state
def expiring(state: State, days: int, as_json: bool) -> None:
    """List certificates that run out soon or have; exit code 1 when there are any."""
    found = _folder(state).expiring(clock.now(), timedelta(days=days))
    if as_json:
        print_json([_dict(one) for one in found])
    else:
        _table(found)
    if found:
        refuse(f"{len(found)} certificates run out within {days} days.")


@trust.command()
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="A host that may be asked (host[:port]), beside revocation_hosts.",
)
@click.option("--url", "urls", multiple=True, help="A list to fetch beside those named.")
@json_option
@pass_state
async def refresh(
    state: State, hosts: tuple[str, ...], urls: tuple[str, ...], as_json: bool
) -> None:
    """Fetch lists and answers about revocation now; exit code 1 when one does not come."""
    settings = state.settings
    allowed = frozenset((*settings.revocation_hosts.split(), *hosts))
    if not allowed:
        wrong_use("Give --host, or set revocation_hosts: nobody may be asked.")
    policy = FetchPolicy(hosts=allowed, urls=(*settings.revocation_urls.split(), *urls))
    found = await RevocationFetcher(_folder(state), policy).refresh(clock.now())
    if as_json:
        print_json(
            [
                {
                    "url": one.url,
                    "kind": one.kind,
                    "problem": one.problem,
                    "nextUpdate": one.next_update,
                }
                for one in found
            ]
        )
    else:
        print_table(
            ("KIND", "NEXT UPDATE", "URL", "PROBLEM"),
            [(one.kind, one.next_update, one.url, one.problem) for one in found],
        )
    if not all(one.ok for one in found):
        refuse("Not everything came.")


def _meant(folder: TrustFolder, text: str) -> list[tuple[str, str]]:
    """Digests and names of the certificates that `text` means; ends the command without any."""
    found = {one.facts.sha256: _name(one.facts) for one in folder.find(text)}
    digest = text.lower().replace(":", "")
    if not found and len(digest) == 64 and all(digit in "0123456789abcdef" for digit in digest):
        found = {digest: "(not in the folder)"}
    if not found:
        refuse(f"No certificate is meant by {text!r}; `lienthong trust list` shows them.")
    return list(found.items())


def _table(entries: tuple[TrustEntry, ...]) -> None:
    print_table(
        ("ROLE", "OF", "SHA-256", "NAME", "VALID UNTIL", "SUSPENDED"),
        [
            (
                _ROLES[one.role],
                one.owner or ("all profiles" if one.role == ANCHORS else ""),
                one.facts.sha256[:16],
                _name(one.facts),
                one.facts.not_after,
                one.suspended_why or one.suspended_since,
            )
            for one in entries
        ],
    )


def _dict(entry: TrustEntry) -> dict[str, Any]:
    return {
        "role": _ROLES[entry.role],
        "owner": entry.owner,
        "file": str(entry.path),
        "suspendedSince": entry.suspended_since,
        "suspendedWhy": entry.suspended_why,
        **entry.facts.as_dict(),
    }


def _name(facts: CertificateFacts) -> str:
    return facts.common_name or facts.subject
