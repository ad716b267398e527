"""The broker as a doorbell: ids of deliveries to look at, never content (architecture decision 1).

Two implementations of :class:`routing.ports.Broker`, held to one contract by
``tests/contract/test_broker.py``:

- :class:`EmbeddedBroker`: in this process, empty after a restart (refilled from the outbox);
- :class:`RabbitMqBroker`: durable quorum queues, shared by any number of processes.

Inside: :mod:`.dispatch` hands batches to handlers for both; :mod:`.topology` knows names and
declares them; :mod:`.wire` turns doorbells into messages and back; :mod:`.publisher` and
:mod:`.consumer` do the two halves of the work, over connections of :mod:`adapters.amqp_link`.
"""

from adapters.broker.embedded import EmbeddedBroker
from adapters.broker.rabbitmq import RabbitMqBroker, RabbitMqOptions

__all__ = ["EmbeddedBroker", "RabbitMqBroker", "RabbitMqOptions"]
