"""A package of four attachments of 50 MB, made while it is sent."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

from tests.bench.packages import Packages

_BLOCK = 3 * 256 * 1024
_MB = 1024 * 1024


def large_package(count: int = 4, size: int = 50 * _MB) -> Iterator[bytes]:
    """The package's bytes in blocks."""
    text = Packages("large").make(1).decode()
    head, rest = text.split("<AttachmentEncoded>")
    tail = rest.split("</AttachmentEncoded>")[1]
    reference = head[head.index("<edXML:Reference>") : head.index("</edXML:edXMLManifest>")]
    numbered = "".join(
        reference.replace(">1<", f">{n}<").replace("van-ban", f"van-ban-{n}") for n in range(count)
    )
    yield head.replace(reference, numbered).encode() + b"<AttachmentEncoded>"
    for number in range(count):
        yield (
            f"<Attachment><ContentId>{number}</ContentId><AttachmentName>van-ban-{number}.pdf"
            "</AttachmentName><ContentType>application/pdf</ContentType><ContentTransferEncoded>"
        ).encode()
        block = os.urandom(_BLOCK)
        left = size
        while left:
            part = block[: min(left, _BLOCK)]
            left -= len(part)
            yield base64.b64encode(part)
        yield b"</ContentTransferEncoded></Attachment>"
    yield b"</AttachmentEncoded>" + tail.encode()
