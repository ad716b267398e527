"""The REST face, version 1: decode, call a use case, encode. No rule of the business lives here.

`openapi.yaml` beside this file is the contract; `gateway.rest.routes` lists the handlers; every
error is a problem document (RFC 9457) made in `gateway.rest.problems`.
"""
