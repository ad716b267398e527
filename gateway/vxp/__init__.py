"""The national axis protocol (VXP), server side: agency software points at us and keeps working.

`headers` reads and trusts what a client signed, `gate` says which connection it is, `operations`
does what is asked, `answers` encodes, `application` puts it under its base path. What is found out
about a request is a value or a `gateway.rest.problems.Problem`; all of it leaves as HTTP 200 with
``status`` FAIL, because a client of this protocol shows its user nothing useful of anything else.

What a replay can do
====================
The signature covers the headers (the body through ``hash-file``) and clients sign one timestamp for
the life of a client object, so a request that is repeated within the tolerance cannot be told from
an honest one and is answered. That is harmless by construction: the same bytes are the same package
however often they come (`sendEdoc` answers the first DocId), reading changes nothing that matters,
`done` twice is once, `fail` after `done` is refused, registering or removing twice is once. Outside
the tolerance it is refused, with both times named. Bodies of `registerAgency` are not bound by the
signature; who does not trust the wire in between sets `approve_agencies`, and uses TLS.
"""
