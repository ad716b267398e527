"""The publishing connections of one process, opened when they are first needed."""

from __future__ import annotations

from adapters.amqp_link import Link
from adapters.amqp_partner.publisher import Publisher


class PartnerLinks:
    """One publisher per key; a new address for a key replaces the old one."""

    def __init__(self) -> None:
        self._publishers: dict[str, tuple[str, Publisher]] = {}

    async def publisher(self, key: str, url: str) -> Publisher:
        """The publisher for a key; `url` holds user and password. It connects when first used."""
        known = self._publishers.get(key)
        if known is not None and known[0] == url:
            return known[1]
        publisher = Publisher(Link(url, f"lienthong {key} publisher"))
        self._publishers[key] = (url, publisher)
        if known is not None:
            await known[1].close()
        return publisher

    async def close(self) -> None:
        """Disconnect everywhere."""
        publishers, self._publishers = list(self._publishers.values()), {}
        for _, publisher in publishers:
            await publisher.close()
