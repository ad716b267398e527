"""The payload store of these settings: a folder, or a bucket."""

from __future__ import annotations

from pathlib import Path

from adapters.payloads import DiskPayloads, Payloads, S3Options, S3Payloads
from gateway.observability import Metrics
from gateway.settings import Settings


def payload_folder(settings: Settings) -> Path:
    """Where payloads lie, or arrive on their way into a bucket."""
    return settings.data_dir / "payloads"


def s3_options(settings: Settings) -> S3Options:
    """The bucket of these settings; `payload_url` must name one."""
    bucket, _, prefix = settings.payload_url.removeprefix("s3://").partition("/")
    return S3Options(
        bucket=bucket,
        prefix=prefix.strip("/"),
        endpoint=settings.payload_s3_endpoint,
        region=settings.payload_s3_region,
        access_key_id=settings.payload_s3_access_key_id,
        secret_access_key=settings.payload_s3_secret_access_key.get_secret_value(),
    )


def open_payloads(settings: Settings, metrics: Metrics | None = None) -> Payloads:
    """The store, with its folder on this machine made. Raises `S3Problem` and OSError."""

    def observe(call: str, outcome: str, seconds: float) -> None:
        if metrics is not None:
            metrics.payload_calls.labels(call, outcome).observe(seconds)

    folder = payload_folder(settings)
    if settings.payloads_on_disk:
        return DiskPayloads(folder)
    return S3Payloads(s3_options(settings), folder, observe=observe)
