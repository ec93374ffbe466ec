"""How the kernel finds this dialect's signatures in bytes that it relays: the `signature` of thinking, the `data` of
redacted thinking, in requests, streams and whole answers.

The block's type may stand before or behind the value, so the pattern has two ways to it. Both stay within the block: what lies
between is a few members with plain values. That, and quantifiers which give nothing back, keeps the search linear whatever the
bytes are; images are passed over at memory speed.
"""

__all__ = ["OPAQUE_KEYS", "OPAQUE_MARKS", "OPAQUE_PATTERN"]

OPAQUE_KEYS = frozenset({"signature", "redacted_data"})
OPAQUE_MARKS = (b'"signature"', b'"redacted_thinking"')

_COLON = rb"\s*+:\s*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_MEMBERS = rb"(?:\s*+" + _STRING + _COLON + rb"(?:" + _STRING + rb"|[\w.+-]++)\s*+,){0,4}?\s*+"
_TYPE = _COLON + rb'"(?:thinking|signature_delta|redacted_thinking)"'
_VALUE = rb'"([^"]++)"'

_TYPE_FIRST = rb'type"' + _TYPE + rb"\s*+," + _MEMBERS + rb'"(?:signature|data)"'
_VALUE_FIRST = rb'(?:signature|data)"(?=' + _COLON + rb'"[^"]*+"\s*+,' + _MEMBERS + rb'"type"' + _TYPE + rb")"
OPAQUE_PATTERN = rb'"(?:' + _TYPE_FIRST + rb"|" + _VALUE_FIRST + rb")" + _COLON + _VALUE
