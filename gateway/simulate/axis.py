"""A simulated axis: answers the national axis protocol, and misbehaves as its script says.

It is no gateway: it keeps everything in memory, knows one client, and promises nothing. Its check
of signatures is written from the specification, apart from the client's code.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from gateway.simulate.script import AxisScript, Counted, Rule
from gateway.simulate.store import Call, Held, Store, received_row, sent_rows

_PREFIX = "XroadVnpt-"
#: The longest time of `never`, seconds.
_EVER = 3600.0
_MOST = 512 * 1024 * 1024


class AxisSimulator:
    """One simulated axis; `running` serves it."""

    def __init__(self, script: AxisScript) -> None:
        self.script = script
        self.store = Store(script)
        self._rules = Counted(script.rules)
        self._leaving = asyncio.Event()

    @asynccontextmanager
    async def running(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve until the block ends; the base address. Port 0: a free one."""
        app = web.Application(client_max_size=_MOST)
        app.router.add_route("*", f"{self.script.base}/{{operation}}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            bound = runner.addresses[0][1]
            yield f"http://{host}:{bound}{self.script.base}"
        finally:
            self._leaving.set()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        operation = request.match_info["operation"]
        parameters = {
            name[len(_PREFIX) :].lower(): value
            for name, value in request.headers.items()
            if name.lower().startswith(_PREFIX.lower())
        }
        body = await request.read()
        rule = self._rule(operation, parameters)
        self.store.note(Call(operation, parameters, len(body), rule.do if rule else ""))
        before = await self._before(request, rule)
        if before is not None:
            return before
        answer = self._check(parameters) or self._do(operation, parameters, body)
        if rule is not None and rule.do == "twice" and operation == "sendEdoc":
            answer = self._do(operation, parameters, body)
        if rule is not None and rule.do == "lost":
            _hang_up(request)
        if isinstance(answer, bytes):
            return web.Response(body=answer, content_type="application/octet-stream")
        return web.Response(
            body=_spoiled(answer, rule), content_type="application/json", charset="utf-8"
        )

    def _rule(self, operation: str, parameters: dict[str, str]) -> Rule | None:
        """The first rule that fits this call and is not used up."""
        return self._rules.first(
            lambda rule: (
                rule.operation in ("*", operation)
                and (not rule.doc_id or rule.doc_id == parameters.get("docid"))
            )
        )

    async def _before(self, request: web.Request, rule: Rule | None) -> web.Response | None:
        """What a rule does instead of an answer, or before one."""
        match rule.do if rule else "":
            case "slow":
                await self._rest(rule.seconds if rule else 0)
            case "never":
                await self._rest(_EVER)
                _hang_up(request)
            case "drop":
                _hang_up(request)
            case "http":
                return web.Response(status=rule.status if rule else 503, text="simulated")
            case "html":
                return web.Response(
                    text="<html><body>502 Bad Gateway</body></html>", content_type="text/html"
                )
            case "fail" if rule is not None:
                content = _fail(rule.text, rule.code)
                return web.Response(body=_json(content), content_type="application/json")
        return None

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._leaving.wait()

    def _check(self, parameters: dict[str, str]) -> dict[str, Any] | None:
        """FAIL unless the signature is right; None when it is."""
        script = self.script
        if not script.secret:
            return None
        if parameters.get("systemid") != script.system_id:
            return _fail("systemid is not known")
        signed = parameters.get("sign-header", "")
        mac = hmac.new(script.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(mac, parameters.get("hash-header", "")):
            return _fail("hash-header is wrong")
        members = {name.lower(): value for name, value in json.loads(signed).items()}
        for name in parameters.get("sign-header-key", "").split(";"):
            told = members.get(f"{_PREFIX}{name}".lower())
            if told is None or told != parameters.get(name.lower()):
                return _fail(f"sign-header does not tell {name}")
        return None

    def _do(
        self, operation: str, parameters: dict[str, str], body: bytes
    ) -> dict[str, Any] | bytes:
        """The operation itself, done well."""
        match operation:
            case "sendEdoc":
                return self._send(parameters, body)
            case "getReceivedEdocList":
                waiting = self.store.waiting(parameters.get("messagetype", ""))
                return _ok(data=[received_row(one) for one in waiting])
            case "getSentEdocList":
                sent = self.store.sent(parameters.get("messagetype", ""))
                return _ok(data=[row for one in sent for row in sent_rows(one)])
            case "getEdoc" | "downloadEdoc" | "updateStatus":
                return self._about(operation, parameters)
            case "getAgenciesList" | "getAgenciesListQD20" | "getSynchronizeUnit":
                return _ok(data=self._agencies(operation))
            case "countReceiveEdoc":
                return _ok(count=len(self.store.waiting("edoc")))
            case "countReceiveStatus":
                return _ok(count=len(self.store.waiting("status")))
        return _fail(f"there is no operation {operation}")

    def _send(self, parameters: dict[str, str], body: bytes) -> dict[str, Any]:
        for content in (body, body.removesuffix(b"\r\n")):
            digest = hashlib.sha256(content).digest()
            if parameters.get("hash-file") in (digest.hex(), "".join(f"{b:x}" for b in digest)):
                break
        else:
            return _fail("hash-file is not that of the body")
        to = json.loads(parameters.get("to") or "[]")
        held = self.store.take(
            content, parameters.get("messagetype", ""), parameters.get("from", ""), to
        )
        if held is None:
            return _fail("Edoc already exists", "13")
        return _ok(DocId=held.doc_id)

    def _about(self, operation: str, parameters: dict[str, str]) -> dict[str, Any] | bytes:
        held: Held | None = self.store.held.get(parameters.get("docid", ""))
        if held is None:
            return _fail("Edoc does not exist")
        if operation == "downloadEdoc":
            return held.content
        if operation == "getEdoc":
            return _ok(data=base64.b64encode(held.content).decode())
        status = parameters.get("status", "")
        held.status = {"done": "DONE", "fail": "FAIL", "processing": "PROCESSING"}.get(
            status, held.status
        )
        return _ok()

    def _agencies(self, operation: str) -> list[dict[str, Any]]:
        rows = []
        for number, one in enumerate(self.script.agencies, start=1):
            row: dict[str, Any] = {"id": str(number), "code": one.code, "name": one.name}
            if operation == "getSynchronizeUnit":
                row |= {
                    "version": one.version,
                    "deleted": one.deleted,
                    "modifyDate": one.modified or None,
                    "isAgency": True,
                }
            elif one.deleted:
                continue
            elif operation == "getAgenciesList" and one.old_code:
                row["oldCode"] = one.old_code
            elif operation == "getAgenciesListQD20" and one.code102:
                row["code102"] = one.code102
            rows.append(row)
        return rows


def _ok(**members: Any) -> dict[str, Any]:
    return {"status": "OK", "ErrorCode": "0", "ErrorDesc": "", **members}


def _fail(text: str, code: str = "1") -> dict[str, Any]:
    return {"status": "FAIL", "ErrorCode": code, "ErrorDesc": text}


def _json(members: dict[str, Any]) -> bytes:
    # As Gson writes it: `=` is escaped.
    return json.dumps(members, ensure_ascii=False).replace("=", "\\u003d").encode()


def _spoiled(answer: dict[str, Any], rule: Rule | None) -> bytes:
    """The answer, as a rule has it."""
    do = rule.do if rule else ""
    data = answer.get("data")
    if isinstance(data, list):
        if do == "twice":
            answer = {**answer, "data": [*data, *data]}
        elif do == "reverse":
            answer = {**answer, "data": data[::-1]}
        elif do == "nulls":
            rows: list[Any] = [{**row, "from": None, "created_time": None} for row in data]
            rows = [dict.fromkeys(data[0]) if data else {}, None, *rows]
            answer = {**answer, "data": rows, "ErrorDesc": None}
    elif do == "nulls":
        answer = {name: None if name in ("data", "ErrorDesc") else answer[name] for name in answer}
    if do == "other-bytes" and isinstance(data, str):
        answer = {**answer, "data": base64.b64encode(b"<not-a-package/>").decode()}
    content = _json(answer)
    return content[: len(content) // 2] if do == "cut" else content


def _hang_up(request: web.Request) -> None:
    """The connection is gone, without a word."""
    if request.transport is not None:
        request.transport.abort()
    raise web.HTTPServiceUnavailable
