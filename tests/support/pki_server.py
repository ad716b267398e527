"""Lists, answers and time stamps over HTTP on loopback: what authorities run for others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.support.pdf_signing import time_stamper
from tests.support.pki import NOW, Authority, Credential

Answer = tuple[int, str, bytes]


class PkiServer:
    """Serves `/x.crl` (GET), `/ocsp` (POST) and `/tsa` (POST) of one authority.

    `now` is what its clock says; `answers` may be given something else to answer with, by path.
    """

    def __init__(self, authority: Authority, tsa: Credential, now: datetime = NOW) -> None:
        """Bind a free port; `with` starts serving."""
        self.authority, self.tsa, self.now = authority, tsa, now
        self.asked: list[str] = []
        #: Certificates that the responder answers for.
        self.known: list[x509.Certificate] = []
        self.answers: dict[str, Callable[[bytes], Answer]] = {
            "/x.crl": self._crl,
            "/ocsp": self._ocsp,
            "/tsa": self._stamp,
        }
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(b"")

            def do_POST(self) -> None:
                self._reply(self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def _reply(self, body: bytes) -> None:
                server.asked.append(self.path)
                answer = server.answers.get(self.path)
                status, kind, data = answer(body) if answer else (404, "text/plain", b"")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                if 300 <= status < 400:
                    self.send_header("Location", "/x.crl")
                self.end_headers()
                # The client may have had enough of a large answer.
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def host(self) -> str:
        """Address and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str) -> str:
        """Where `path` is asked for."""
        return f"http://{self.host}{path}"

    def __enter__(self) -> PkiServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _crl(self, _body: bytes) -> Answer:
        return 200, "application/pkix-crl", self.authority.crl(self.now - timedelta(hours=1))

    def _ocsp(self, body: bytes) -> Answer:
        request = ocsp.load_der_ocsp_request(body)
        certificate = next(
            (one for one in self.known if one.serial_number == request.serial_number), None
        )
        if certificate is None:
            unknown = ocsp.OCSPResponseBuilder.build_unsuccessful(
                ocsp.OCSPResponseStatus.UNAUTHORIZED
            )
            return 200, "application/ocsp-response", unknown.public_bytes(Encoding.DER)
        data = self.authority.ocsp(certificate, self.now - timedelta(minutes=5))
        return 200, "application/ocsp-response", data

    def _stamp(self, body: bytes) -> Answer:
        stamper = time_stamper(self.tsa, self.now)
        answer = stamper.request_tsa_response(tsp.TimeStampReq.load(body))
        return 200, "application/timestamp-reply", answer.dump()
