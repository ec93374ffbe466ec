"""Answers given before the application is asked: small, in no dialect, and the last on their connection."""

import http
from collections.abc import Iterable

import msgspec

from omniroute.errors import GatewayError, InvalidRequest, PayloadTooLarge, RequestTooSlow

__all__ = [
    "BODY_TOO_LARGE",
    "BODY_TOO_SLOW",
    "HEAD_TOO_LARGE",
    "HEAD_TOO_SLOW",
    "HOST_DOUBTFUL",
    "INTERNAL",
    "MALFORMED",
    "TARGET_NOT_A_PATH",
    "TARGET_TOO_LONG",
    "TOO_MANY_CONNECTIONS",
    "TOO_MANY_PIPELINED",
    "TOO_MANY_STRANGERS",
    "TRANSFER_CODING",
    "Refusal",
]


class Refusal:
    """One such answer, written out once."""

    __slots__ = ("_body", "_head", "code", "message", "status")

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        kind = "invalid_request_error" if status < 500 else "server_error"
        self._body = msgspec.json.encode({"error": {"message": message, "type": kind, "code": code}})
        self._head = (
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self._body)}\r\nconnection: close\r\n"
        ).encode()

    def encode(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, with `headers` (the date) added."""
        added = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return self._head + added + b"\r\n" + self._body

    def __repr__(self) -> str:
        return f"Refusal({self.status} {self.code})"


def _refusal(kind: type[GatewayError], message: str) -> Refusal:
    return Refusal(kind.http_status, kind.code, message)


MALFORMED = _refusal(InvalidRequest, "This is not a well-formed HTTP/1.1 request.")
HOST_DOUBTFUL = _refusal(InvalidRequest, "A request needs exactly one Host header, and it must be a name and a port.")
TARGET_NOT_A_PATH = _refusal(
    InvalidRequest, "The request target must be a path. This is no forward proxy: unset HTTP_PROXY for this address."
)
TRANSFER_CODING = _refusal(InvalidRequest, "The only transfer coding known here is a single 'chunked', in HTTP/1.1.")
TOO_MANY_PIPELINED = _refusal(InvalidRequest, "Too many requests were sent before the first was answered.")
HEAD_TOO_SLOW = _refusal(RequestTooSlow, "The request's headers did not arrive in time.")
BODY_TOO_SLOW = _refusal(RequestTooSlow, "The request's body arrived too slowly.")
BODY_TOO_LARGE = _refusal(PayloadTooLarge, "The request body is larger than [limits] max_body_bytes allows.")
TARGET_TOO_LONG = Refusal(414, "uri_too_long", "The request target is too long.")
HEAD_TOO_LARGE = Refusal(431, "headers_too_large", "The request's headers are too many or too long.")
INTERNAL = _refusal(GatewayError, "The request could not be read through a fault of the gateway; its log says more.")
TOO_MANY_CONNECTIONS = Refusal(
    503, "too_many_connections", "All connections of this gateway are taken ([server] max_connections). Try again soon."
)
TOO_MANY_STRANGERS = Refusal(
    429,
    "too_many_connections",
    "Too many connections of this address have not shown a valid key. Close some, or use them.",
)
