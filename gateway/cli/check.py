"""`lienthong check FILE…`: what the gateway would say to a package, without sending it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from adapters.calendars import CalendarProblem, Calendars
from envelopes.check import (
    CheckReport,
    Examination,
    examine,
    judged,
    render,
    render_finding,
    render_not_judged,
    render_particulars,
    render_verdict,
    report_on,
)
from envelopes.limits import MIB, ReadLimits
from envelopes.rules.profile import Profile, national
from envelopes.rules.profile import all_profiles as every_profile
from envelopes.rules.runner import Judgement
from envelopes.rules.table import WORDS, verdict_rows
from gateway.cli.context import State, json_option, pass_state
from gateway.cli.failures import REFUSED, wrong_use
from gateway.cli.given_file import GIVEN_FILE, readable
from gateway.cli.offline import offline
from gateway.cli.output import print_table, sentence, show
from gateway.cli.rules import chosen_profile

BLOCK = 256 * 1024
#: From this many bytes in all on, progress is shown.
LONG = 32 * MIB


@click.command(short_help="Check packages without sending them.")
@click.argument(
    "paths",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=GIVEN_FILE,
)
@click.option(
    "--profile",
    metavar="NAME",
    help="Rule profile: its name (see `rules profile`), or a TOML file. Default: national.",
)
@click.option("--all-profiles", is_flag=True, help="One table: every rule under every profile.")
@click.option(
    "--trust",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of trust anchors and revocation lists. Default: trust/ in the data folder.",
)
@click.option("--no-signatures", is_flag=True, help="Do not verify signatures (faster).")
@json_option
@pass_state
def check(
    state: State,
    paths: tuple[Path, ...],
    profile: str | None,
    all_profiles: bool,
    trust: Path | None,
    no_signatures: bool,
    as_json: bool,
) -> None:
    """Check edXML packages (- for stdin). Exit code 1 when one of them would be refused.

    Every rule is judged that the file, the trust folder and the calendar can tell, as if the
    package were handed in now. Who may send for whom, where copies go and what a scanner says is
    known to the service alone (POST /v1/check): those rules are listed as not judged. With
    --all-profiles the exit code is 1 when a package would be refused under every profile.
    """
    if profile and all_profiles:
        raise click.UsageError("give --profile or --all-profiles, not both")
    if paths.count(Path("-")) > 1:
        raise click.UsageError("standard input is read once: give - once")
    chosen = chosen_profile(profile, "--profile") if profile else national()
    settings = state.settings
    limits = ReadLimits(
        max_attachment_bytes=settings.max_attachment_mib * MIB,
        max_total_bytes=settings.max_package_mib * MIB,
    )
    folder = None if no_signatures else trust or settings.data_dir / "trust"
    refused = 0
    with ExitStack() as stack:
        files = [stack.enter_context(readable(path)) for path in paths]
        total = sum(file.stat().st_size for file in files)
        more = stack.enter_context(offline(folder, calendars(state), limits))
        progress = stack.enter_context(_progress(total))
        task = progress.add_task("", total=total) if progress else None
        for position, (path, file) in enumerate(zip(paths, files, strict=True)):
            chunks = _blocks(file)
            if progress is not None and task is not None:
                progress.update(task, description=path.name)
                chunks = _counted(chunks, progress, task)
            examined = examine(chunks, limits)
            several = len(paths) > 1
            if all_profiles:
                told = [
                    (one, judged(more.complete(file, examined, one), one))
                    for one in every_profile()
                ]
                item, stopped = _under_all(examined, told)
                if not as_json:
                    _print_all(path, examined, told, state.language, several=several)
            else:
                report = report_on(more.complete(file, examined, chosen), chosen)
                item, stopped = report.as_dict(), report.refused
                if not as_json:
                    _print_report(path, report, state.language, several=several)
            refused += stopped
            if as_json:
                _print_json_item(path, item, first=position == 0)
    if as_json:
        click.echo(f'\n  ],\n  "checked": {len(paths)},\n  "refused": {refused}\n}}')
    if refused:
        raise click.exceptions.Exit(REFUSED)


_Told = Sequence[tuple[Profile, Judgement]]


def _under_all(examined: Examination, told: _Told) -> tuple[dict[str, Any], bool]:
    """Verdicts by rule and profile as data; whether every profile refuses."""
    rows = {} if examined.facts is None else verdict_rows(told)
    item: dict[str, Any] = {
        "documentId": examined.read.document_id,
        "profiles": {
            profile.name: {
                "accepted": not judgement.refused,
                "refused": judgement.refused,
                "findings": [finding.as_dict() for finding in judgement.findings],
                "notJudged": [one.as_dict() for one in judgement.not_judged],
            }
            for profile, judgement in told
        },
        "verdicts": {
            rule: {
                profile.name: verdict.value
                for (profile, _), verdict in zip(told, verdicts, strict=True)
            }
            for rule, verdicts in rows.items()
        },
    }
    return item, all(judgement.refused for _, judgement in told)


def _print_all(
    path: Path, examined: Examination, told: _Told, language: str | None, *, several: bool
) -> None:
    """The table, and below it each finding once."""
    if examined.facts is None:
        _print_report(path, report_on(examined, national()), language, several=several)
        return
    if several:
        show(f"== {path}")
    lang = language or "vi"
    words = {"vi": ("quy tắc", "KẾT LUẬN", "từ chối", "nhận")}.get(
        lang, ("rule", "VERDICT", "refused", "accepted")
    )
    lines = [
        [rule, *(WORDS[verdict].in_language(lang) for verdict in verdicts)]
        for rule, verdicts in verdict_rows(told).items()
    ]
    lines.append([words[1], *(words[2 if one.refused else 3] for _, one in told)])
    print_table([words[0], *(profile.name for profile, _ in told)], lines)
    seen: set[str] = set()
    for _, judgement in told:
        for finding in judgement.findings:
            line = f"{finding.rule}: {sentence(finding.sentence, language)} ({finding.source})"
            if line not in seen:
                seen.add(line)
                show(line)


def calendars(state: State) -> Calendars:
    """The working calendars of the settings."""
    file = state.settings.calendar_file
    try:
        return Calendars.load(file)
    except CalendarProblem as error:
        wrong_use(f"The calendar file {file} cannot be used:\n{error}")


def _progress(total: int) -> Progress | nullcontext[None]:
    """A bar on stderr for work that takes a while, where somebody looks."""
    if total < LONG or not sys.stderr.isatty():
        return nullcontext()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _counted(chunks: Iterator[bytes], progress: Progress, task: object) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        progress.update(task, advance=len(chunk))  # type: ignore[arg-type]  # rich's TaskID is an int


def _print_json_item(path: Path, item: dict[str, Any], *, first: bool) -> None:
    """One element of the document, at once: memory does not grow with the number of files."""
    text = json.dumps({"file": str(path), **item}, ensure_ascii=False, indent=2)
    start = '{\n  "items": [\n' if first else ",\n"
    click.echo(start + "\n".join(f"    {line}" for line in text.splitlines()), nl=False)


def _in_both(vi: str, en: str) -> str:
    """One line of a heading and a value in both languages; what is the same is said once."""
    pairs = zip(vi.partition(": "), en.partition(": "), strict=True)
    return "".join(one if one == other else f"{one} / {other}" for one, other in pairs)


def _print_report(path: Path, report: CheckReport, language: str | None, *, several: bool) -> None:
    if several:
        show(f"== {path}")
    if language:
        for line in render(report, language):
            show(line)
        return
    particulars = (render_particulars(report, lang) for lang in ("vi", "en"))
    for vi, en in zip(*particulars, strict=True):
        show(_in_both(vi, en))
    for finding in report.findings:
        show(render_finding(finding, "vi"))
        show(f"    {finding.sentence.en}")
    told = zip(render_not_judged(report, "vi"), render_not_judged(report, "en"), strict=True)
    for vi, en in told:
        show(vi)
        show(f"    {en}")
    show(f"{render_verdict(report, 'vi')} / {render_verdict(report, 'en')}")
