"""Kind `push`: packages are POSTed to the agency's own address.

The same safety and signature as callbacks have: the address really dialled is checked, redirects
are not followed, and the request is signed per Standard Webhooks with `webhook-id` = the delivery's
id, the same on every attempt. A 2xx answer means: the receiving system has the package.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from adapters.webhook import Exchange, WebhookSender
from adapters.webhook_addresses import Blocked, check_url, networks_of
from envelopes.findings import Sentence
from gateway import clock
from gateway.kinds.base import Kind, Secret, Way
from routing.callbacks import GONE, PostOutcome
from routing.connection_options import HandOverOptions, Network, options_of
from routing.deliver import AttemptOutcome, AttemptResult
from routing.ports import PayloadMissing
from routing.records import Delivery, PackageRecord
from routing.route_table import Connection
from routing.webhook_signature import SECRET_BYTES, Signing, secret_of, sign

if TYPE_CHECKING:
    from gateway.services import Services

PURPOSE = "webhook"
#: Bytes of a refusal's body that are read for its reason.
REASON_BYTES = 4096

_OUTCOMES = {
    PostOutcome.DELIVERED: AttemptOutcome.DELIVERED,
    PostOutcome.TRY_LATER: AttemptOutcome.TRY_LATER,
    PostOutcome.UNKNOWN: AttemptOutcome.UNKNOWN,
    PostOutcome.REFUSED: AttemptOutcome.REFUSED,
    # The operator mends the address or allows its network; nothing is lost meanwhile.
    PostOutcome.BLOCKED: AttemptOutcome.TRY_LATER,
}
#: Refusals that speak of the address or the credentials, not of the package: mend and go on.
_NOT_THE_PACKAGE = frozenset({401, 403, 404, 405, 407, GONE})


class PushOptions(HandOverOptions):
    """Options of kind `push`."""

    url: str = Field(description="Address that packages are POSTed to.")
    ask_url: str = Field(
        "",
        description="Address that is asked after a time-out: GET ask_url/DELIVERY-ID answers 200 "
        "when it has the package, 404 when not. Empty: the package is sent again.",
    )
    dial_networks: tuple[Network, ...] = Field(
        (), description="Networks outside the public internet that may be dialled for it."
    )

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        """Addresses that could never be dialled are refused when they are set."""
        for url in filter(None, (self.url, self.ask_url)):
            answer = check_url(url, networks_of(self.dial_networks))
            if isinstance(answer, Blocked):
                raise ValueError(f"{answer.sentence.en} (see dial_networks)")
        return self


class PushPartner:
    """Hands packages over by POST."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sender = WebhookSender()

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `routing.deliver.Partner`."""
        options = options_of(connection, PushOptions)
        secrets = await self._services.secrets.valid(connection, PURPOSE)
        signing = Signing(secrets, delivery.id, clock.now())
        try:
            async for block in self._services.payloads.open(package.digest):
                signing.update(block)
        except PayloadMissing:
            return AttemptResult(AttemptOutcome.TRY_LATER, "the payload is missing in the store")
        headers = {
            "Content-Type": "application/xml",
            "Content-Length": str(package.size),
            **signing.headers(),
            **described(delivery, package),
        }
        body: AsyncIterator[bytes] = self._services.payloads.open(package.digest)
        done = await self._sender.exchange(
            "POST",
            options.url,
            options.dial_networks,
            headers,
            body,
            seconds=options.timeout_seconds,
            keep=REASON_BYTES,
        )
        return _judged(done)

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `routing.deliver.Partner`; without an address to ask, sending again is the question:
        the receiver knows the delivery's id."""
        options = options_of(connection, PushOptions)
        if not options.ask_url:
            return AttemptResult(AttemptOutcome.UNKNOWN, "no ask_url: sent again under the same id")
        secrets = await self._services.secrets.valid(connection, PURPOSE)
        headers = sign(secrets, delivery.id, clock.now(), b"")
        done = await self._sender.exchange(
            "GET",
            f"{options.ask_url.rstrip('/')}/{delivery.id}",
            options.dial_networks,
            headers,
            seconds=options.timeout_seconds,
        )
        match done.result.status:
            case 200:
                return AttemptResult(AttemptOutcome.DELIVERED, "asked: it has the package")
            case 404:
                return AttemptResult(AttemptOutcome.TRY_LATER, "asked: it has not the package")
        return AttemptResult(AttemptOutcome.UNKNOWN, f"asked: {done.result.detail}")


def described(delivery: Delivery, package: PackageRecord) -> dict[str, str]:
    """What the package is, in headers; texts percent-encoded where they are not ASCII."""
    return {
        "Lienthong-Delivery": delivery.id,
        "Lienthong-Package": package.id,
        "Lienthong-Kind": package.kind,
        "Lienthong-Meaning": package.meaning,
        "Lienthong-Document": quote(package.document_id, safe=":/,;.-_"),
        "Lienthong-Version": str(package.version),
        "Lienthong-Sender": quote(package.sender_organ_id, safe="."),
        "Lienthong-Recipient": quote(delivery.recipient_organ_id, safe="."),
        "Lienthong-Lane": delivery.lane.value,
        "Lienthong-Sha256": package.digest,
        "X-Correlation-Id": package.correlation_id,
    }


def _judged(done: Exchange) -> AttemptResult:
    result = done.result
    outcome = _OUTCOMES[result.outcome]
    if result.status in _NOT_THE_PACKAGE or (result.status or 0) // 100 == 3:
        outcome = AttemptOutcome.TRY_LATER
    sentence = result.sentence
    reason = reason_of(done.said) if outcome is AttemptOutcome.REFUSED else ""
    if reason:
        sentence = Sentence(
            vi=f"Hệ thống bên nhận từ chối gói tin: {reason}",
            en=f"The receiving system refused the package: {reason}",
        )
    return AttemptResult(outcome, result.detail, sentence, result.retry_after)


def reason_of(said: bytes) -> str:
    """The reason in a refusal's body: RFC 9457's detail, or plain text; one short line."""
    text = said.decode("utf-8", "replace")
    try:
        data = json.loads(text)
        if isinstance(data, dict):
            text = str(data.get("detailVi") or data.get("detail") or data.get("title") or "")
    except ValueError:
        if "<" in text:
            return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


KIND = Kind(
    name="push",
    summary="Packages are POSTed to its address, signed per Standard Webhooks.",
    way=Way.ATTEMPTS,
    options=PushOptions,
    secret=Secret(PURPOSE, make=lambda: secret_of(os.urandom(SECRET_BYTES))),
    partner=PushPartner,
)
