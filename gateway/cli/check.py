"""`lienthong check FILE…`: what the gateway would say to a package, without sending it."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from envelopes.check import CheckReport, check_file, render
from envelopes.limits import MIB, ReadLimits
from envelopes.rule_catalogue import RULES
from gateway.cli.context import State, json_option, pass_state
from gateway.cli.failures import REFUSED
from gateway.cli.output import show

BLOCK = 256 * 1024
#: From this many bytes in all on, progress is shown.
LONG = 32 * MIB
SEVERITIES = ("refuse", "warn", "off")


@click.command(short_help="Check packages without sending them.")
@click.argument(
    "paths",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option(
    "--profile",
    metavar="NAME",
    help="Rule profile that changes severities: its name, or a TOML file with [rules].",
)
@json_option
@pass_state
def check(state: State, paths: tuple[Path, ...], profile: str | None, as_json: bool) -> None:
    """Check edXML packages. Exit code 1 when one of them would be refused.

    Who may send for whom and where copies go is known to the service alone: POST /v1/check.
    """
    settings = state.settings
    severities = _profile(profile) if profile else {}
    limits = ReadLimits(
        max_attachment_bytes=settings.max_attachment_mib * MIB,
        max_total_bytes=settings.max_package_mib * MIB,
    )
    refused = 0
    total = sum(path.stat().st_size for path in paths)
    with _progress(total) as progress:
        task = progress.add_task("", total=total) if progress else None
        for position, path in enumerate(paths):
            chunks = _blocks(path)
            if progress is not None and task is not None:
                progress.update(task, description=path.name)
                chunks = _counted(chunks, progress, task)
            report = check_file(chunks, severities, limits)
            refused += report.refused
            if as_json:
                _print_json_item(path, report, first=position == 0)
            else:
                _print_report(path, report, state.language, several=len(paths) > 1)
    if as_json:
        click.echo(f'\n  ],\n  "checked": {len(paths)},\n  "refused": {refused}\n}}')
    if refused:
        raise click.exceptions.Exit(REFUSED)


def _profile(name: str) -> Mapping[str, str]:
    """The severities of a profile; every rule and severity in it must exist."""
    folder = files("schemas").joinpath("profiles")
    place = folder.joinpath(f"{name}.toml")
    given = Path(name)
    if name.isidentifier() and place.is_file():
        text = place.read_text("utf-8")
    elif given.is_file():
        text = given.read_text("utf-8")
    else:
        known = folder.iterdir() if folder.is_dir() else ()
        names = ", ".join(sorted(item.name.removesuffix(".toml") for item in known))
        raise click.BadParameter(
            f"there is no profile {name!r}; there are: {names or 'none'}; or give a TOML file",
            param_hint="--profile",
        )
    try:
        rules = tomllib.loads(text).get("rules", {})
    except tomllib.TOMLDecodeError as error:
        raise click.BadParameter(f"{name}: {error}", param_hint="--profile") from error
    for rule, severity in rules.items():
        if rule not in RULES:
            raise click.BadParameter(f"{name}: there is no rule {rule!r}", param_hint="--profile")
        if severity not in SEVERITIES:
            allowed = ", ".join(SEVERITIES)
            raise click.BadParameter(
                f"{name}: {rule} = {severity!r}; allowed: {allowed}", param_hint="--profile"
            )
    return dict(rules)


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


def _print_json_item(path: Path, report: CheckReport, *, first: bool) -> None:
    """One element of the document, at once: memory does not grow with the number of files."""
    item = json.dumps({"file": str(path), **report.as_dict()}, ensure_ascii=False, indent=2)
    start = '{\n  "items": [\n' if first else ",\n"
    click.echo(start + "\n".join(f"    {line}" for line in item.splitlines()), nl=False)


def _print_report(path: Path, report: CheckReport, language: str | None, *, several: bool) -> None:
    if several:
        show(f"== {path}")
    languages = (language,) if language else ("vi", "en")
    if len(languages) == 1:
        for line in render(report, languages[0]):
            show(line)
        return
    vi, en = (render(report, one) for one in languages)
    findings = len(report.findings)
    start = len(vi) - 1 - findings
    # Particulars once, sentences in both languages.
    for line in vi[:start]:
        show(line)
    for line, finding in zip(vi[start:-1], report.findings, strict=True):
        show(line)
        show(f"    {finding.sentence.en}")
    show(f"{vi[-1]} / {en[-1]}")
