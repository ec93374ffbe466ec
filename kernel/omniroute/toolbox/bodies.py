"""Reading a client's JSON by Structs: what does not fit becomes an `InvalidRequest` that says where and what."""

import binascii
import re
from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec
from msgspec import Raw

from omniroute.errors import InvalidRequest
from omniroute.toolbox.json_reading import Malformed, located
from omniroute.toolbox.schemas import check_schema

__all__ = ["BodyReader"]

T_co = TypeVar("T_co", covariant=True)
_HALF_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class _Decoder(Protocol[T_co]):
    """msgspec's Decoder, as far as it is used here."""

    def decode(self, buf: bytes | Raw, /) -> T_co: ...


class BodyReader:
    """`fixes`: name of a field → what a client may do about a value that does not fit there."""

    def __init__(self, fixes: Mapping[str, str]) -> None:
        self._fixes = fixes

    def decode(self, decoder: _Decoder[T_co], body: bytes | Raw, at: str = "") -> T_co:
        """Decode `body`, which stands at the JSON pointer `at` of the request. Raises `InvalidRequest`."""
        try:
            return decoder.decode(body)
        except UnicodeDecodeError as error:
            raise InvalidRequest("the body is not valid UTF-8", why=str(error), param=_name_of(at)) from error
        except RecursionError as error:
            raise InvalidRequest("the body is nested too deeply", param=_name_of(at)) from error
        except msgspec.ValidationError as error:
            raise self._misfit(str(error), at) from error
        except msgspec.DecodeError as error:
            raise InvalidRequest(
                "the body is not valid JSON",
                why=_malformation(body, str(error)),
                fix="send one JSON object",
                param=_name_of(at),
            ) from error

    def refusal(self, pointer: str, what: str, fix: str | None = None) -> InvalidRequest:
        """`what` is wrong with the value at `pointer`."""
        name, fix = _name_of(pointer), fix or self._fixes.get(pointer.rpartition("/")[2])
        return InvalidRequest(f"{name} is not valid: {what}", fix=fix, param=name)

    def data_url(self, url: str, at: str) -> tuple[str | None, str]:
        """(media type, base64) of a data URL; the media type is what stands before the first `;`. Raises `InvalidRequest`."""
        head, comma, data = url.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise self.refusal(at, "expected a data URL of the form data:<media type>;base64,<data>")
        self.check_base64(data, at)
        return head[5:].partition(";")[0].lower() or None, data

    def check_base64(self, data: str, at: str) -> None:
        """Raises `InvalidRequest` for what is none, and for nothing."""
        try:
            binascii.a2b_base64(data, strict_mode=True)
        except ValueError as error:
            raise self.refusal(at, f"not base64 ({error})") from error
        if not data:
            raise self.refusal(at, "no data")

    def check_schema(self, schema: Raw, at: str) -> None:
        """Raises `InvalidRequest` for what `check_schema` refuses."""
        try:
            check_schema(schema, at)
        except Malformed as error:
            raise self.refusal(error.pointer, error.reason, error.fix) from None

    def _misfit(self, complaint: str, at: str) -> InvalidRequest:
        below, missing, what = located(complaint)
        pointer = at + below
        if missing:
            name = _name_of(pointer + missing)
            return InvalidRequest(f"{name} is missing", param=name)
        if not pointer:
            return InvalidRequest("the body is not a JSON object", why=_lower(what))
        return self.refusal(pointer, _lower(what))


def _name_of(pointer: str) -> str | None:
    """How `param` names a place: a field of the top level by its name, anything deeper by its pointer."""
    if not pointer:
        return None
    return pointer if pointer.count("/") > 1 else pointer[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _malformation(body: bytes | Raw, complaint: str) -> str:
    if _HALF_SURROGATE.search(memoryview(body)) and ("surrogate" in complaint or "truncated" in complaint):
        return f"{_lower(complaint)}; a \\uD800-\\uDFFF escape may lack its other half"
    return _lower(complaint)
