"""A partner that is an axis itself, spoken to by its own protocol (VXP) as a client.

- `options`: what an operator sets, and the client made of it;
- `items`: the rows of the axis' lists, whatever state they are in;
- `poller`: list → getEdoc → durable → done;
- `refusals`: telling a sender on the axis that its package goes no further;
- `partner`: handing packages over, and asking after a time-out;
- `verdict`: what the axis' answers mean for a delivery;
- `directory`, `synchronise`: the agencies of the axis in our directory.
"""
