"""How a document travels: states, routes, and the use cases that move it. Start reading here.

The life of a package
=====================
1. *Intake* (in the adapters' world) streams the bytes to disk, hashes them and reads them into a
   model with findings. `accept.Accept.submit` judges: may this connection send for this agency, do
   findings refuse it. Then the bytes are kept durably and ONE transaction records the package, its
   document, a `records.Delivery` for each recipient, the events, and that doorbells are to be rung.
   After its commit, and not before, the sender is told "accepted".
2. *Relay* (`relay.relay_once`) publishes a doorbell for every delivery that is due: claim, publish,
   wait for the broker's confirm, settle. A doorbell is the delivery's id, nothing more.
3. *Deliver* (`deliver`) answers doorbells. For pull connections the delivery is put into the
   recipient's inbox; for every other kind an attempt is made through a `deliver.Partner`, written
   down before it starts, with an owner and a lease.
4. *Pull* (`pull`): the recipient lists, fetches, confirms. Confirmed means delivered.
5. *Reports* (`accept_report`): the recipient's status packages take the same road back, and move
   the business state of the delivery they are about.
6. *Recover* (`recover`) and operators (`dead_letters`) look after what did not go its way.

Transport states of a delivery (`states.TransportState`, `states.advance`)
==========================================================================
::

                  relayed           offered            fetched             confirmed
    accepted ──────────────▶ queued ───────▶ offered ──────────▶ delivering ────────▶ delivered
       ▲  │                   ▲  │  attempted (push kinds)           │  ▲                 ▲
       │  └─ offered early ─┐ │  └─────────────────────────────────▶│  │ asked, again     │
       │                    ▼ │ try later                           ▼  │                  │
       │ released, replayed   └──────────────────────────────── unknown ─┘  a late receipt │
       │                                                             │ ────────────────────┘
      held / dead / expired / returned (resubmitted)                 └▶ dead (attempts used up)

    Final: delivered, returned (the sender was told why), withdrawn, expired.

The business state beside it is what the agency reports (01, 03, 04, 05, 06, or 02), moved by
`states.acknowledge`. Nothing about one recipient holds up another.

What must always be true
========================
- Accepted means recorded: every recipient gets exactly one delivery, and every delivery an outcome.
- No delivery changes without its event in the same transaction (`records.change`).
- The database is the truth, the broker a doorbell: a lost doorbell is rung again, a doubled one
  finds the delivery no longer waiting.
- A recipient is offered the versions of one document in order.
- Every attempt carries the same id; after a time-out the outcome is unknown until asked.
- Whoever died in the middle left a lease that runs out; nobody else's work is touched.

Fairness and urgency
====================
Each connection has a queue per lane (`lanes.Lane`): urgent documents overtake ordinary ones
everywhere. Within a lane senders take turns by fair keys (`lanes.FairClock`), and no connection has
more than a window of doorbells in the broker, so one circular to thousands delays no single letter.

What a repeated or second submission gets (`accept.Accept`)
===========================================================
The same bytes: the first answer again, and a new chance for copies that had no way. Other bytes
under a DocumentId that reached somebody: refused with both digests and the differing fields. Other
bytes when the first copy reached nobody: taken, because what a second copy gets depends on how the
first one fared.

The use cases are coroutines over the ports in `routing.ports`; time, ids and randomness are
arguments. Work handed to `Database.write` may run twice after a conflict, and in another thread: it
touches its transaction and nothing else.
"""
