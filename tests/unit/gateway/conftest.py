"""Fixtures of the command line's tests."""

from tests.unit.gateway.cli_runner import lienthong

__all__ = ["lienthong"]
