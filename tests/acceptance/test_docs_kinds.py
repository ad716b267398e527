"""The pages about push and folders: what they tell people to type works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.acceptance.test_docs import DOCS, _blocks, _run


def run_page(page: str, folder: Path) -> str:
    """All shell blocks of a page, in order, in one shell; what was printed."""
    shutil.copy(DOCS / "example.edxml", folder)
    blocks = _blocks((DOCS / page).read_text("utf-8"), "bash")
    assert len(blocks) > 3
    code, output = _run("\n".join(["set -v", *blocks]), folder)
    log = folder / "gateway.log"
    told = log.read_text("utf-8", "replace")[-3000:] if log.exists() else "(none)"
    assert code == 0, f"{output[-4000:]}\n--- gateway.log\n{told}"
    return output


@pytest.mark.parametrize("page", ["connect-push.md", "connect-folder.md"])
def test_no_shell_lines_outside_the_tested_blocks(page: str) -> None:
    """No block with another language name slips past the tests below."""
    fences = re.findall(r"^```(\w*)$", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    assert set(fences) == {"bash", ""} and fences.count("") * 2 == len(fences)


def test_every_line_about_push_works(tmp_path: Path) -> None:
    """A package arrives at the receiver of the page, and its report is taken."""
    output = run_page("connect-push.md", tmp_path)
    assert "byte for byte" in output
    assert len(list((tmp_path / "received").glob("*.edxml"))) == 1
    assert '"kind":"status"' in output.replace(" ", "")


def test_every_line_about_folders_works(tmp_path: Path) -> None:
    """A package arrives, a report goes out, and what is no package is moved aside with a report."""
    output = run_page("connect-folder.md", tmp_path)
    assert "byte for byte" in output and "VĂN BẢN KHÔNG ĐƯỢC GỬI" in output
    (receipt,) = (tmp_path / "exchange" / "accepted").glob("report.*.json")
    assert '"state": "accepted"' in receipt.read_text("utf-8")
