"""What tests have to tell besides passing: shown together at the end of the run.

A test says it with ``record_property(REPORT, text)``, which also comes through from the processes
that run tests side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

#: The property under which a report is recorded.
REPORT = "report to show"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the reports of all tests, in the order in which they ended."""
    reports = list(_reports(terminalreporter))
    if reports:
        terminalreporter.section("what the faults did")
    for text in reports:
        terminalreporter.write_line(text)


def _reports(terminal: pytest.TerminalReporter) -> Iterator[str]:
    for outcome in ("passed", "failed"):
        for test in terminal.stats.get(outcome, ()):
            if getattr(test, "when", "") == "call":
                yield from (str(text) for name, text in test.user_properties if name == REPORT)
