"""How commands end when they do not end well: one kind of error, four exit codes."""

from __future__ import annotations

from typing import IO, Any, NoReturn

import click

#: Done.
GOOD = 0
#: Understood and refused: findings, a state that does not allow it, trouble found.
REFUSED = 1
#: Wrong use: options, settings, files that are not there. (click's own code for it)
WRONG_USE = 2
#: The service, the database or the network did not answer: the same command may work later.
UNAVAILABLE = 3
#: A fault in the program.
FAULT = 4
#: Stopped by Ctrl-C, as shells say it.
INTERRUPTED = 130

#: What an exit code is called where programs read it (`--json`), and in words for clerks.
_MEANING = {
    REFUSED: ("refused", "Lệnh bị từ chối; lý do ở detail."),
    WRONG_USE: ("wrong-use", "Lệnh dùng chưa đúng; lý do ở detail."),
    UNAVAILABLE: ("unavailable", "Hiện chưa thực hiện được, hãy thử lại sau; lý do ở detail."),
    FAULT: ("fault", "Lỗi của chương trình lienthong; hãy báo người vận hành."),
}

EXIT_CODES = """\b
Exit codes:
  0  done
  1  refused: findings, or a state that does not allow it
  2  wrong use: options, settings, a file that is not there
  3  unavailable: the same command may work later
  4  a fault in lienthong; -v shows where
  130  stopped by Ctrl-C
With --json a failure is a JSON document on stdout, too: code, detail, detailVi."""


class Failure(click.ClickException):
    """Ends a command with a message on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        # click declares it per class and reads it from the instance.
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message to stderr, without click's prefix."""
        click.echo(self.format_message(), file=file, err=file is None)


def failure_dict(error: click.ClickException) -> dict[str, Any]:
    """A failure as JSON-ready data, in the shape of the API's problems."""
    code, vi = _MEANING.get(error.exit_code, _MEANING[REFUSED])
    return {"code": code, "detail": error.format_message(), "detailVi": vi}


def wrong_use(message: str) -> NoReturn:
    """End the command: it cannot be run like this."""
    raise Failure(message, WRONG_USE)


def refuse(message: str) -> NoReturn:
    """End the command: it was understood, and the answer is no."""
    raise Failure(message, REFUSED)


def causes(error: BaseException) -> str:
    """The error and what caused it, one line each."""
    lines: list[str] = []
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        text = _words(step)
        if text not in lines:
            lines.append(text)
        hidden = step.__suppress_context__
        step = step.__cause__ or (None if hidden else step.__context__)
    return "\n  because: ".join(lines)


def _words(step: BaseException) -> str:
    """What one error says, for people: never the SQL of a statement, never nothing."""
    # A database's error carries the driver's own, which says what happened.
    said = str(getattr(step, "orig", None) or step).partition("[SQL:")[0]
    if said.strip():
        return " ".join(said.split())
    return "no answer in time" if isinstance(step, TimeoutError) else type(step).__name__


def failure_of(error: Exception) -> Failure:
    """The end that an exception from below stands for.

    The libraries that raise are not imported for this: a command that did not load them cannot
    have met their errors.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if "SettingsProblem" in names:
        return Failure(f"The settings cannot be used:\n{error}", WRONG_USE)
    if names & {"DatabaseProblem", "CalendarProblem", "S3Problem"}:
        return Failure(causes(error), WRONG_USE)
    if names & {"DatabaseUnavailable", "OperationalError", "InterfaceError"}:
        return Failure(f"The database cannot be reached: {causes(error)}", UNAVAILABLE)
    if "PayloadsUnavailable" in names:
        return Failure(f"The payload store cannot be reached: {causes(error)}", UNAVAILABLE)
    if names & {"ConnectionError", "TimeoutError", "BrokerUnavailable", "PostgresConnectionError"}:
        return Failure(f"No answer: {causes(error)}", UNAVAILABLE)
    if isinstance(error, OSError):
        return Failure(causes(error), WRONG_USE)
    kind = type(error).__name__
    return Failure(f"A fault in lienthong ({kind}): {causes(error)}\nMore with -v.", FAULT)
