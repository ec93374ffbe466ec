"""Reading a client's JSON: what does not fit becomes an `InvalidRequest` that says where and what."""

import re
from typing import Protocol, TypeVar

import msgspec
from msgspec import Raw

from omniroute.api import InvalidRequest

T_co = TypeVar("T_co", covariant=True)

WHERE = re.compile(r"(?P<what>.*) - at `\$(?P<path>.*)`", re.DOTALL)
STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
MISSING = re.compile(r"Object missing required field `(\w+)`")
HALF_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
FIXES = {
    "role": "roles are system, developer, user and assistant",
    "type": "parts are input_text, input_image and input_file, output_text and refusal for the assistant",
    "effort": "use none, minimal, low, medium, high, xhigh or max",
}


class Reader(Protocol[T_co]):
    """msgspec's Decoder, as far as it is used here."""

    def decode(self, buf: bytes | Raw, /) -> T_co: ...


def decode(decoder: Reader[T_co], body: bytes | Raw, at: str = "") -> T_co:
    """Decode `body`, which stands at the JSON pointer `at` of the request. Raises `InvalidRequest`."""
    try:
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidRequest("the body is not valid UTF-8", why=str(error), param=name_of(at)) from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply", param=name_of(at)) from error
    except msgspec.ValidationError as error:
        raise misfit(str(error), at) from error
    except msgspec.DecodeError as error:
        raise InvalidRequest(
            "the body is not valid JSON",
            why=malformation(body, str(error)),
            fix="send one JSON object",
            param=name_of(at),
        ) from error


def misfit(complaint: str, at: str) -> InvalidRequest:
    found = WHERE.fullmatch(complaint)
    what, path = (found["what"], found["path"]) if found else (complaint, "")
    pointer = at + "".join(f"/{field or position}" for field, position in STEP.findall(path))
    if missing := MISSING.match(what):
        return InvalidRequest(
            f"{name_of(f'{pointer}/{missing[1]}')} is missing", param=name_of(f"{pointer}/{missing[1]}")
        )
    if not pointer:
        return InvalidRequest("the body is not a JSON object", why=lower(what))
    return refusal(pointer, lower(what))


def refusal(pointer: str, what: str) -> InvalidRequest:
    """`what` is wrong with the value at `pointer`."""
    return InvalidRequest(
        f"{name_of(pointer)} is not valid: {what}", fix=FIXES.get(pointer.rpartition("/")[2]), param=name_of(pointer)
    )


def name_of(pointer: str) -> str | None:
    """How `param` names a place: a field of the top level by its name, anything deeper by its pointer."""
    if not pointer:
        return None
    return pointer if pointer.count("/") > 1 else pointer[1:]


def lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def malformation(body: bytes | Raw, complaint: str) -> str:
    if HALF_SURROGATE.search(memoryview(body)) and ("surrogate" in complaint or "truncated" in complaint):
        return f"{lower(complaint)}; a \\uD800-\\uDFFF escape may lack its other half"
    return lower(complaint)
