"""What the commands over REST share: address, token, and problems shown to people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

import click

from gateway.cli.context import State
from gateway.cli.failures import REFUSED, UNAVAILABLE, wrong_use
from gateway.cli.output import print_json, say
from gateway.client import GatewayClient, Problem, is_address, open_client

F = TypeVar("F", bound=Callable[..., Any])

#: How an address is written.
LIKE = "http://127.0.0.1:8080"
#: Members of a problem that people are not shown.
_QUIET = ("type", "correlationId", "differences")


def remote_options(function: F) -> F:
    """`--url` and `--token`."""
    url = click.option(
        "--url",
        envvar="LIENTHONG_URL",
        show_envvar=True,
        help="Address of the service. Default: that of `listen` in the settings, on this machine "
        f"for 0.0.0.0 and ::, https with tls_certificate; {LIKE} where nothing is set.",
    )
    token = click.option(
        "--token",
        envvar="LIENTHONG_TOKEN",
        show_envvar=True,
        help="Token of your connection. Better given in the environment: others see options.",
    )
    return url(token(function))


@asynccontextmanager
async def connect(state: State, url: str | None, token: str | None) -> AsyncIterator[GatewayClient]:
    """A client, or the end of the command when the options do not make one.

    Without `url` the settings say where the service listens. Raises `SettingsProblem`.
    """
    if not token or not (token.isascii() and token.isprintable()):
        wrong_use("Give your connection's token in LIENTHONG_TOKEN or with --token.")
    if url is None:
        url = state.settings.local_url
        if not state.settings.port:
            wrong_use("`listen` leaves the port to the system: give --url or LIENTHONG_URL.")
    elif not is_address(url):
        wrong_use(f"--url: {url!r} is no address like {LIKE}")
    async with open_client(url, token) as client:
        yield client


def unless_problem(answer: dict[str, Any] | Problem, state: State, as_json: bool) -> dict[str, Any]:
    """The answer; a problem is shown and ends the command."""
    if isinstance(answer, Problem):
        end(answer, state, as_json)
    return answer


def end(problem: Problem, state: State, as_json: bool) -> NoReturn:
    """Show a problem and end the command with the exit code it stands for."""
    if as_json:
        print_json(problem.as_dict())
    else:
        for line in problem_lines(problem, state.language):
            say(line)
    raise click.exceptions.Exit(UNAVAILABLE if problem.try_again else REFUSED)


def problem_lines(problem: Problem, language: str | None) -> list[str]:
    """A problem as text: what, why, each finding, what else is known."""
    if problem.status == 0:
        return [problem.detail_vi if language == "vi" and problem.detail_vi else problem.detail]
    lines = [f"{problem.title} ({problem.status})"]
    told = {text for one in problem.findings for text in (one.get("sentence") or {}).values()}
    if language != "en" and problem.detail_vi not in told:
        lines.append(problem.detail_vi)
    if (language != "vi" or not problem.detail_vi) and problem.detail not in told:
        lines.append(problem.detail)
    for finding in problem.findings:
        lines += finding_lines(finding, language)
    for difference in problem.extras.get("differences") or ():
        lines.append(f"  {difference['field']}: {difference['first']!r} → {difference['second']!r}")
    lines += [
        f"  {name}: {value}"
        for name, value in problem.extras.items()
        if name not in _QUIET and value not in (None, "")
    ]
    if problem.try_again:
        lines.append("Try again later; handing the same package in again never doubles it.")
    return [line for line in lines if line]


def finding_lines(
    finding: dict[str, Any], language: str | None, *, accepted: bool = False
) -> list[str]:
    """One finding: rule, place and source, then the sentence.

    Of an accepted package nothing was refused: what weighs so much is a copy that was returned.
    """
    severity = "returned" if accepted and finding.get("severity") == "refuse" else None
    where = " ".join(
        part
        for part in (
            f"line {finding['line']}" if finding.get("line") else "",
            finding.get("element", ""),
            f"({finding['source']})" if finding.get("source") else "",
        )
        if part
    )
    words = finding.get("sentence") or {}
    chosen = ("vi", "en") if language is None else (language,)
    return [
        f"  [{severity or finding.get('severity')}] {finding.get('rule')}  {where}".rstrip(),
        *(f"      {words[one]}" for one in chosen if words.get(one)),
    ]
