"""What every JSON body must hold before anybody acts on it: UTF-8 without lone surrogates, bounded depth, one `model`.

Exact, and cheap for good bodies: each test is one C-speed pass, and a second look is taken only where the first one found
something to look at. A search that finds nothing is twice as fast from the end, one for a single byte twenty times as fast as
any other. Syntax is left to the decoder that the body is for.
"""

import re

import msgspec
from msgspec import Raw

from omniroute.errors import InvalidRequest

__all__ = ["check_json", "check_model"]

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_PAIR_OR_LONE = re.compile(
    rb"(?:\\\\)+"  # escaped backslashes: what follows is no escape
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_ESCAPED_LETTER = re.compile(rb"\\\\|\\u00(?P<code>6[45cCdDfF])")
"""One of those in `model`; or an escaped backslash, for what follows that is none."""
_MODEL, _OTHER = b'"model"', b'"Model"'
_OPENING, _CLOSING = b"[]"
_BACKSLASH = 0x5C
_ALL = frozenset(range(256))
_TEXT = bytes(_ALL - set(rb'[]{}"\\/bfnrtu'))
"""What is neither a bracket, a quote, a backslash, nor a character that may follow one."""
_NO_MARKS = bytes(_ALL - set(b'[]{}"'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_COUNTED_BYTES = 16_384
"""In longer ones it is cheaper to go from bracket to bracket, as far as it matters."""


class _ModelOnly(msgspec.Struct):
    model: Raw | msgspec.UnsetType = msgspec.UNSET


_MODEL_ONLY = msgspec.json.Decoder(_ModelOnly)


def check_json(body: bytes, *, max_depth: int) -> None:
    """Raise `InvalidRequest` when the body breaks one of the rules above. The last is for `check_model`, with the head read."""
    if not body:
        raise InvalidRequest("the request body is empty", fix="send a JSON object")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"the request body is not UTF-8: bad byte at offset {error.start}") from None
        if body.startswith(b"\xef\xbb\xbf"):
            raise InvalidRequest("the request body starts with a byte order mark", fix="send plain UTF-8")
    if _BACKSLASH in body and body.rfind(b"\\u") >= 0 and _ESCAPED_SURROGATE.search(body):
        for found in _PAIR_OR_LONE.finditer(body):
            if found["lone"]:
                raise InvalidRequest(f"the request body has half a surrogate pair at offset {found.start('lone')}")
    if _may_be_deeper(body, max_depth) and _is_deeper(body, max_depth):
        raise InvalidRequest(
            f"the request body is nested more than {max_depth} levels deep",
            fix="flatten it, or raise limits.max_json_depth",
        )


def check_model(body: bytes, turns: Raw | None) -> None:
    """Raise `InvalidRequest` when the top level has two keys `model`. `turns` as in `RequestHead`, most of a large body, need
    not be searched."""
    if turns is not None:
        body = _without(turns, body)
    if _BACKSLASH in body and body.rfind(b"\\u006") >= 0:  # the beginning of all of its letters
        body = _ESCAPED_LETTER.sub(_letter, body)
    if body.find(_MODEL) != body.rfind(_MODEL) and _has_two_models(body):
        raise InvalidRequest('the request body has the key "model" twice', param="model")


# --- depth ------------------------------------------------------------------------------------------------------------


def _may_be_deeper(body: bytes, levels: int) -> bool:
    """More brackets open than that, though perhaps in strings, or side by side."""
    if len(body) < _COUNTED_BYTES:
        return body.count(b"{") + body.count(b"[") > levels
    left = levels
    for bracket in (b"{", b"["):
        at = body.find(bracket)
        while at >= 0:
            if not left:
                return True
            left -= 1
            at = body.find(bracket, at + 1)
    return False


def _is_deeper(body: bytes, max_depth: int) -> bool:
    """In a few passes over less and less: most of a body is gone after the first."""
    kept = body.translate(None, _TEXT)
    marks = kept.replace(rb"\\", b"").replace(rb"\"", b"").translate(_ONE_KIND, _NO_MARKS)
    marks = marks.replace(
        b'""', b""
    )  # strings without brackets; where two strings become one, what is inside stays inside
    brackets = b"".join(marks.split(b'"')[::2])
    for depth in range(max_depth):
        shorter = brackets.replace(b"[]", b"")  # peels the innermost level everywhere at once
        if len(shorter) == len(brackets):  # all gone, or not balanced: no JSON; the decoder will say where
            return depth + brackets.count(b"[") > max_depth
        brackets = shorter
    return bool(brackets)


# --- model ------------------------------------------------------------------------------------------------------------


def _without(turns: Raw, body: bytes) -> bytes:
    """The body with 0 for its turns, where they hold its first bracket and its last; else the body.

    A part of the body that begins and ends with a bracket, and is as long as it is from the first to the last, is just that.
    """
    start, end = body.find(b"["), body.rfind(b"]") + 1
    view = memoryview(turns)
    if end <= start or len(view) != end - start or view[0] != _OPENING or view[-1] != _CLOSING:
        return body
    return body[:start] + b"0" + body[end:]


def _letter(found: re.Match[bytes]) -> bytes:
    return found[0] if found["code"] is None else bytes([int(found["code"], 16)])


def _has_two_models(body: bytes) -> bool:
    """At the top level. What else is called so gets another name, in a copy; then the decoder says whether one is left."""
    pieces = body.split(_MODEL)
    count = len(pieces) - 1

    def is_among(first: int, end: int) -> bool:
        kept = [_OTHER.join(pieces[: first + 1]), *pieces[first + 1 : end], _OTHER.join(pieces[end:])]
        return _MODEL_ONLY.decode(_MODEL.join(kept)).model is not msgspec.UNSET

    try:
        if not is_among(1, count):  # nearly always
            return False
        low, high = 0, count
        while high - low > 1:  # the first one is not among the first `low`, but among the first `high`
            middle = (low + high) // 2
            low, high = (low, middle) if is_among(0, middle) else (middle, high)
        return high < count and is_among(high, count)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False  # no JSON object, as whoever reads it will say
