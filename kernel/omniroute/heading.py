"""The heading of a request: its headers and its query, each name with one value, and what contradicts itself in them.

Two parts of a gateway must never believe different keys or types, so a name that can have one value only is refused when it
came with two. Other headers that came twice are lists and are joined (RFC 9110 §5.3): a second beta flag is not lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import parse_qsl

import msgspec

from omniroute.contracts import Headers, Translator
from omniroute.errors import InvalidRequest
from omniroute.server.asgi import Scope
from omniroute.server.attendant import fields_of

__all__ = ["Heading", "read_heading", "singular_names"]

RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]


class Heading(msgspec.Struct, frozen=True):
    headers: Headers
    query: Mapping[str, str]
    fault: InvalidRequest | None = None
    """Why the request cannot be taken; told in the client's dialect, once that is known."""


def singular_names(translators: Iterable[Translator]) -> frozenset[bytes]:
    """Lower-case names of the headers that have one value or none: credentials, and the body's type and length."""
    places = {translator.credential.header.lower().encode("latin-1") for translator in translators}
    return frozenset(places | {b"authorization", b"content-type", b"content-length"})


def read_heading(scope: Scope, singular: frozenset[bytes]) -> Heading:
    headers, query, values = scope["headers"], scope["query_string"], fields_of(scope)
    fault = None
    if len(values) != len(headers):
        values, fault = _joined(headers, singular)
    if not query:
        return Heading(Headers(values), {}, fault)
    parameters, ambiguous = _parameters(query)
    return Heading(Headers(values), parameters, fault or ambiguous)


def _joined(headers: RawHeaders, singular: frozenset[bytes]) -> tuple[dict[bytes, bytes], InvalidRequest | None]:
    came: dict[bytes, dict[bytes, None]] = {}
    for name, value in headers:
        came.setdefault(name, {})[value] = None
    for name in singular & came.keys():
        if len(came[name]) > 1:
            return dict(headers), _contradiction(f"the header {name.decode('latin-1')} came with different values")
    return {name: b", ".join(values) for name, values in came.items()}, None


def _parameters(query: bytes) -> tuple[dict[str, str], InvalidRequest | None]:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    values = dict(pairs)
    for name, value in pairs:
        if values[name] != value:
            return values, _contradiction(f"the query has {name[:100]!a} twice, with different values")
    return values, None


def _contradiction(what: str) -> InvalidRequest:
    return InvalidRequest(what, why="it cannot be told which one is meant", fix="send it once")
