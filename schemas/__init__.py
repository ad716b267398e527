"""XML schemas of our own for edXML, the code lists of the regulations, and their catalogue.

Data and its loading only: what is checked with them is decided in `envelopes`.
"""
