"""docs/connect-amqp.md: what it tells people to type works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.acceptance.test_docs import DOCS, _blocks, _run
from tests.support.servers import RabbitMq

PAGE = DOCS / "connect-amqp.md"


def test_no_shell_lines_outside_the_tested_blocks() -> None:
    """No block with another language name slips past the test below."""
    fences = re.findall(r"^```(\w*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert set(fences) == {"bash", ""}


def test_every_line_about_rabbitmq_works(
    tmp_path: Path, rabbitmq_server: RabbitMq, prefix: str
) -> None:
    """A package goes in and is answered, its report comes out; a large one is handed in by PUT."""
    vhost = rabbitmq_server.create_vhost()
    shutil.copy(DOCS / "example.edxml", tmp_path)
    given = [
        f"export LIENTHONG_BROKER_URL={rabbitmq_server.url(vhost)}",
        f"export LIENTHONG_BROKER_ADMIN_URL={rabbitmq_server.admin_url}",
        f"export LIENTHONG_BROKER_PREFIX={prefix}",
        f"export RABBITMQ=127.0.0.1:{rabbitmq_server.port}/{vhost}",
    ]
    blocks = _blocks(PAGE.read_text("utf-8"), "bash")
    try:
        code, output = _run("\n".join([*given, "set -v", *blocks]), tmp_path)
    finally:
        rabbitmq_server.delete_vhost(vhost)
    log = tmp_path / "gateway.log"
    told = log.read_text("utf-8", "replace")[-3000:] if log.exists() else "(none)"
    assert code == 0, f"{output[-4000:]}\n--- gateway.log\n{told}"
    assert re.search(r"^accepted [0-9a-f-]{36}$", output, re.MULTILINE)
    assert "byte for byte" in output
    assert re.search(r"^status 03 ", output, re.MULTILINE)
    assert re.search(r"^200$", output, re.MULTILINE)
    [received] = (tmp_path / "received").glob("*.edxml")
    assert b"<edXML:StatusCode>03" in received.read_bytes()
