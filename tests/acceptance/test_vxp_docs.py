"""docs/connect-vxp.md: what it tells people to type works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from gateway.vxp.application import operations
from tests.acceptance.test_docs import DOCS, _blocks, _run

PAGE = DOCS / "connect-vxp.md"


def test_every_line_about_the_axis_protocol_works(tmp_path: Path) -> None:
    """A package goes in, comes out byte for byte, and its sender sees that it is done."""
    text = PAGE.read_text("utf-8")
    assert set(re.findall(r"^```(\w*)$", text, re.MULTILINE)) == {"bash", ""}
    shutil.copy(DOCS / "example.edxml", tmp_path)
    code, output = _run("\n".join(["set -v", *_blocks(text, "bash")]), tmp_path)
    log = tmp_path / "gateway.log"
    told = log.read_text("utf-8", "replace")[-3000:] if log.exists() else "(none)"
    assert code == 0, f"{output[-4000:]}\n--- gateway.log\n{told}"
    assert "byte for byte" in output
    assert re.search(r"^\S+ \S+ DONE $", output, re.MULTILINE), output[-2000:]


def test_every_operation_is_told_of() -> None:
    """The table has each operation of the code, and no other."""
    table = PAGE.read_text("utf-8").partition("## All operations")[2].partition("\n## ")[0]
    named = {name for row in table.splitlines()[3:] for name in _names(row)}
    assert named == set(operations())


def _names(row: str) -> list[str]:
    return re.findall(r"`(\w+)`", row.split("|")[1]) if row.startswith("|") else []
