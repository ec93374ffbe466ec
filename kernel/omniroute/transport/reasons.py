"""What transports say when they fail, and why in a few words: one voice, whichever is in use."""

import os
import socket
import ssl
from collections.abc import Mapping

from omniroute.errors import TlsExpired, TlsFailed, TlsUntrusted, TlsWrongHost, UpstreamUnreachable

__all__ = ["BROKEN", "NOT_HTTP", "NOT_SENT", "NO_ANSWER", "UNREACHABLE", "reason", "unreachable"]

UNREACHABLE = "the upstream cannot be reached"
NOT_SENT = "the request cannot be sent"
NO_ANSWER = "the upstream closed the connection without an answer"
NOT_HTTP = "the upstream's answer is not HTTP as it should be"
BROKEN = "the upstream's connection broke in mid-answer"
CERTIFICATE: Mapping[int, tuple[type[TlsFailed], str]] = {
    9: (TlsExpired, "the upstream's TLS certificate is not valid yet"),
    10: (TlsExpired, "the upstream's TLS certificate has expired"),
    18: (TlsUntrusted, "the upstream's TLS certificate is signed by itself"),
    19: (TlsUntrusted, "the upstream's TLS certificate is signed by an authority this machine does not trust"),
    20: (TlsUntrusted, "the upstream's TLS certificate is signed by an authority this machine does not know"),
    21: (TlsUntrusted, "the upstream's TLS certificate cannot be traced to an authority"),
    62: (TlsWrongHost, "the upstream's TLS certificate is for another host"),
    64: (TlsWrongHost, "the upstream's TLS certificate is for another address"),
}
"""By OpenSSL's X509_V_ERR_ numbers."""


def unreachable(error: BaseException) -> UpstreamUnreachable:
    """Nothing was sent: no name, no connection, or none that is secure."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in CERTIFICATE:
        kind, message = CERTIFICATE[cause.verify_code]
        return kind(message, why=reason(cause))
    if isinstance(cause, ssl.SSLError):
        return TlsFailed("no secure connection to the upstream could be made", why=reason(cause))
    return UpstreamUnreachable(UNREACHABLE, why=reason(cause))


def reason(error: BaseException) -> str:
    """The cause, without the URL (its query may hold what nobody should read)."""
    cause = _cause(error)
    match cause:
        case ssl.SSLError():
            return f"TLS: {getattr(cause, 'verify_message', None) or cause.reason or 'handshake failed'}"
        case TimeoutError():
            return "the connection was not accepted in time"
        case socket.gaierror():
            return f"its name was not found: {cause.strerror}"
        case OSError(errno=int(number)):
            return os.strerror(number)
        case OSError():  # of which every client has its own kind for "closed"
            return "the connection was closed"
    return type(cause).__name__


def _cause(error: BaseException) -> BaseException:
    """aiohttp wraps the system's error in its own."""
    return getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
