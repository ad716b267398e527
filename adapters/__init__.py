"""The edges: database, broker, payload store. Each implements a port that `routing` declares.

Adapters do not import each other; the composition root in `gateway.app` brings them together.
"""
