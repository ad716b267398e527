"""The service and the command line: the only place that knows every part and puts them together.

`gateway.app` is the composition root, `gateway.runtime` runs the roles (api, relay, worker, timer),
`gateway.rest` is the HTTP face, `gateway.cli` the command line.
"""
