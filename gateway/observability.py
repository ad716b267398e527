"""Logs and metrics. One correlation id follows a package from intake to its last delivery."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from routing.callbacks import PostOutcome

#: Longest value of one log field; longer ones are cut.
LONGEST_FIELD = 512
#: Control characters (C0, C1) and bidi controls, which could forge or hide log lines.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CREDENTIALS = re.compile(r"(://[^/:@\s]*:)[^@\s]+@")
_TOKEN = re.compile(
    r"\bltp?_[A-Za-z0-9_-]{8,}|\bwhsec_[A-Za-z0-9+/=]{8,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
)


def clean_value(value: Any) -> Any:
    """A value fit for a log line: no control characters, no secrets, not endless."""
    if isinstance(value, str):
        value = _CREDENTIALS.sub(r"\1***@", _TOKEN.sub("***", value))
        return _UNSAFE.sub("\ufffd", value)[:LONGEST_FIELD]
    return value


def _clean(_logger: Any, _method: str, event: Any) -> Any:
    return {
        key: value if key in ("exception", "exc_info") else clean_value(value)
        for key, value in event.items()
    }


def configure_logging(log_format: str, level: str) -> None:
    """Set structlog up for this process; logs go to stderr."""
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _clean,
    ]
    if log_format == "json":
        processors += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # Plain: the pretty one prints local variables, which hold documents and secrets.
                exception_formatter=structlog.dev.plain_traceback,
            )
        )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard logging; only what matters, and never DEBUG (signxml
    # would print whole documents).
    # The broker adapter says itself when the broker is away; the libraries would say it again.
    for name in ("aiormq", "aio_pika"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")


class Metrics:
    """What `/metrics` shows; one instance per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.submissions = Counter(
            "lienthong_submissions",
            "Packages handed in, by outcome.",
            ["connection", "kind", "outcome"],
            registry=self.registry,
        )
        self.distrusted = Counter(
            "lienthong_authentication_failures",
            "Requests that were not believed, by way in and reason.",
            ["face", "why"],
            registry=self.registry,
        )
        self.outcomes = Counter(
            "lienthong_delivery_steps",
            "Steps of deliveries, by what happened.",
            ["connection", "lane", "happening"],
            registry=self.registry,
        )
        self.relayed = Counter(
            "lienthong_doorbells",
            "Doorbells published to the broker, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.recovered = Counter(
            "lienthong_recovered",
            "What the timer put right, by kind.",
            ["kind"],
            registry=self.registry,
        )
        self.deadlines = Counter(
            "lienthong_deadline_notices",
            "Time limits that are nearing or over.",
            ["notice"],
            registry=self.registry,
        )
        self.callbacks = Counter(
            "lienthong_callback_posts",
            "Callbacks posted to partners, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.amqp_messages = Counter(
            "lienthong_amqp_messages",
            "Messages from and to partners over RabbitMQ, by what came of them.",
            ["connection", "message", "outcome"],
            registry=self.registry,
        )
        self.requests = Histogram(
            "lienthong_http_request_seconds",
            "HTTP requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self.sealed_events = Counter(
            "lienthong_sealed_events",
            "Events of the log that were sealed with a signature.",
            registry=self.registry,
        )
        self.sealed_at = Gauge(
            "lienthong_sealed_timestamp_seconds",
            "When this process last sealed the event log.",
            registry=self.registry,
        )
        self.seal_stamps = Counter(
            "lienthong_seal_stamps",
            "Questions for time stamps of seals, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.alarms = Counter(
            "lienthong_alarms",
            "What an operator has to look at: state secrets, malware, packages not scanned.",
            ["what"],
            registry=self.registry,
        )
        self.expiring = Gauge(
            "lienthong_certificates_expiring",
            "Certificates of the trust folder that run out within 60 days, or have.",
            ["role"],
            registry=self.registry,
        )
        self.first_expiry = Gauge(
            "lienthong_certificate_first_expiry_timestamp_seconds",
            "When the first certificate of the trust folder runs out; 0 without any.",
            registry=self.registry,
        )
        self.revocation_oldest = Gauge(
            "lienthong_revocation_oldest_timestamp_seconds",
            "When the oldest of the kept lists and answers about revocation was made; 0 without "
            "any.",
            registry=self.registry,
        )
        self.revocation_overdue = Gauge(
            "lienthong_revocation_overdue",
            "Kept lists and answers about revocation whose successor should be there.",
            registry=self.registry,
        )
        self.checks_skipped = Gauge(
            "lienthong_checks_skipped",
            "Profiles whose rules ask for a check that the settings leave out, by check.",
            ["check"],
            registry=self.registry,
        )
        self.revocation_asked = Counter(
            "lienthong_revocation_asked",
            "Questions for lists and answers about revocation, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.attempt_seconds = Histogram(
            "lienthong_attempt_seconds",
            "Attempts to hand a package over to a partner.",
            ["connection"],
            registry=self.registry,
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
        )
        self.breaker_open = Gauge(
            "lienthong_connection_unreachable",
            "1 while a partner is left alone after repeated failures.",
            ["connection"],
            registry=self.registry,
        )
        self.axis_items = Counter(
            "lienthong_axis_items",
            "Packages that axes offered, by what became of them.",
            ["connection", "outcome"],
            registry=self.registry,
        )
        self.axis_stuck = Gauge(
            "lienthong_axis_items_stuck",
            "Packages that wait on an axis because taking them failed again and again.",
            ["connection"],
            registry=self.registry,
        )
        self.axis_polled = Gauge(
            "lienthong_axis_last_poll_timestamp_seconds",
            "When an axis' lists were last read through.",
            ["connection"],
            registry=self.registry,
        )
        self.delivery_seconds = Histogram(
            "lienthong_time_to_inbox_seconds",
            "From acceptance to the recipient's inbox.",
            ["lane"],
            registry=self.registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
        )
        self.depth = Gauge(
            "lienthong_deliveries_open",
            "Deliveries without an outcome, by state.",
            ["connection", "lane", "state"],
            registry=self.registry,
        )
        self.oldest = Gauge(
            "lienthong_deliveries_oldest_seconds",
            "Age of the oldest delivery without an outcome.",
            ["connection", "lane", "state"],
            registry=self.registry,
        )
        self.free_bytes = Gauge(
            "lienthong_payload_free_bytes",
            "Free space where payloads are stored, or arrive on their way into a bucket.",
            registry=self.registry,
        )
        self.payloads_removed = Counter(
            "lienthong_payloads_removed",
            "Temporary files that were abandoned, and stored bytes without a record.",
            ["kind"],
            registry=self.registry,
        )
        self.payloads_checked = Counter(
            "lienthong_payloads_checked",
            "Stored packages that were read again, by what was found.",
            ["found"],
            registry=self.registry,
        )
        self.payload_calls = Histogram(
            "lienthong_payload_store_seconds",
            "Calls of the S3 store, by kind and outcome.",
            ["call", "outcome"],
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self.role_beats = Gauge(
            "lienthong_role_last_round_timestamp_seconds",
            "When a background role last finished a round.",
            ["role"],
            registry=self.registry,
        )
        self.figures_known = Gauge(
            "lienthong_queue_figures_known",
            "1 when the figures of lienthong_deliveries_… were read for this answer, 0 when the "
            "database did not give them in time.",
            registry=self.registry,
        )
        #: When each background role last finished a round, seconds since the epoch; 0: never.
        self.beats: dict[str, float] = {}
        self._from_the_start()

    def beat(self, role: str, at: float) -> None:
        """A background role finished a round; 0 at its start, so that a role that never does is
        seen, too."""
        self.beats[role] = at
        self.role_beats.labels(role).set(at)

    def _from_the_start(self) -> None:
        """Counters that an alert watches exist before there is something to count."""
        for outcome in ("confirmed", "unconfirmed"):
            self.relayed.labels(outcome)
        for kind in ("rung-again", "interrupted"):
            self.recovered.labels(kind)
        for notice in ("nearing", "overdue"):
            self.deadlines.labels(notice)
        for outcome in ("kept", "failed"):
            self.revocation_asked.labels(outcome)
        for outcome in ("stamped", "away", "refused"):
            self.seal_stamps.labels(outcome)
        for result in PostOutcome:
            self.callbacks.labels(result.value)
