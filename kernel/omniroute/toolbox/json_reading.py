"""JSON read piece by piece, with the pointer to whatever is wrong in it. Who reads it decides whose fault that is."""

import re
from typing import TypeVar

import msgspec
from msgspec import Raw

__all__ = ["Malformed", "located", "read_json", "read_json_list", "read_json_object"]

T = TypeVar("T")

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_LIST = msgspec.json.Decoder(list[Raw])
_WHERE = re.compile(r"(?P<what>.*) - at `\$(?P<path>.*)`", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]")
_MISSING = re.compile(r"missing required field `(?P<name>\w+)`")


class Malformed(Exception):
    """A piece of JSON that breaks a dialect's rules. Becomes the client's fault or the upstream's, as it came from.

    `fix` is what its sender may do about it.
    """

    def __init__(self, pointer: str, reason: str, *, fix: str | None = None) -> None:
        super().__init__(f"{pointer}: {reason}" if pointer else reason)
        self.pointer = pointer
        self.reason = reason
        self.fix = fix


def read_json(decoder: "msgspec.json.Decoder[T]", data: bytes | str | Raw, pointer: str = "") -> T:
    """Decode, or raise `Malformed` with the pointer to the offending value. `pointer` is where `data` stands."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        below, missing, reason = located(str(error))
        raise Malformed(pointer + below + missing, reason) from None
    except RecursionError:
        raise Malformed(pointer, "the JSON is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(pointer, f"not valid JSON: {error}") from None


def read_json_object(data: bytes | str | Raw, pointer: str = "") -> dict[str, Raw]:
    """The fields of a JSON object, unread, or `Malformed`."""
    return read_json(_OBJECT, data, pointer)


def read_json_list(data: bytes | str | Raw, pointer: str = "") -> list[Raw]:
    """The items of a JSON list, unread, or `Malformed`."""
    return read_json(_LIST, data, pointer)


def located(complaint: str) -> tuple[str, str, str]:
    """msgspec's message as (JSON pointer, `/name` of the field that is missing there or nothing, what is wrong)."""
    found = _WHERE.fullmatch(complaint)
    what, path = (found["what"], found["path"]) if found else (complaint, "")
    pointer = "".join(f"/{step['name'] or step['index']}" for step in _STEP.finditer(path))
    missing = _MISSING.search(what)
    return pointer, f"/{missing['name']}" if missing else "", what
