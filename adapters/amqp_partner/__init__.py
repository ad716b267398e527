"""Partners over RabbitMQ: what travels, through which queues, published and consumed safely.

- :mod:`.names`: exchanges, queues and permissions of one partner;
- :mod:`.wire`: the messages, their properties and headers, as ``docs/asyncapi.yaml`` tells them;
- :mod:`.publisher`: persistent, mandatory, confirmed, never longer than the time allowed;
- :mod:`.consumer`: one message after another, held while the gateway cannot do its part;
- :mod:`.links`: the publishing connections of one process.
"""

from adapters.amqp_partner.consumer import Consumer, Hold, Poison
from adapters.amqp_partner.links import PartnerLinks
from adapters.amqp_partner.names import Names, Queue
from adapters.amqp_partner.publisher import Publication, Published, Publisher

__all__ = [
    "Consumer",
    "Hold",
    "Names",
    "PartnerLinks",
    "Poison",
    "Publication",
    "Published",
    "Publisher",
    "Queue",
]
