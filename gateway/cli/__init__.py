"""The command line: `lienthong`, one file per noun.

Results go to stdout, everything else to stderr; `--json` prints one JSON document. A command's
module is loaded when the command is asked for, so that `lienthong fetch` does not wait for the
database's libraries. The exit codes are in `gateway.cli.failures`.
"""

from __future__ import annotations

from gateway.cli.root import cli, main

__all__ = ["cli", "main"]
