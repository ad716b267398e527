"""The edXML package: reading it in constant memory, checking it, composing it.

A package comes in as bytes of any dialect listed in the specification and leaves as one frozen
model (`envelopes.model`) with findings (`envelopes.findings`) that say, in Vietnamese and English,
what is wrong, where, and what would be right. Nothing here does input or output of its own beyond
the byte streams handed in, and nothing reads the clock.
"""
