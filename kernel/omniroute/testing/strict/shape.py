"""JSON held against a vendor SDK's own types: unknown fields, missing ones, wrong types, with the place.

The types may be TypedDicts (whose fields are the wire's) or pydantic models (whose fields' aliases are).
"""

import binascii
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Literal, Union

__all__ = ["Violation", "check_shape"]

WRAPPERS = (typing.Required, typing.NotRequired, typing.Annotated)
TAGS = ("type", "role")
"""The fields that tell the members of a union apart."""
SCALARS: Mapping[type, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}
TEXTS: Mapping[Any, str] = {bytes: "base64", datetime: "date and time"}
"""Types that JSON writes as a text of a certain form."""


class Violation(Exception):
    """What the real service would refuse. `place` is dotted, as in `messages.0.content`."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place


def check_shape(value: Any, kind: Any, place: str = "") -> None:
    """Raise `Violation` where decoded JSON does not fit a type made of TypedDicts or models, unions, literals and lists."""
    kind = _bare(kind)
    origin = typing.get_origin(kind)
    if kind is Any or kind is object:
        return
    if _has_fields(kind):
        _check_fields(value, kind, place)
    elif origin is Literal:
        if value not in typing.get_args(kind):
            raise Violation(place, f"{value!r} is none of {', '.join(map(repr, typing.get_args(kind)))}")
    elif origin in {Union, types.UnionType}:
        _check_union(value, typing.get_args(kind), place)
    elif origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        _expect(value, dict, place)
        for key, inner in value.items():
            check_shape(inner, typing.get_args(kind)[1], f"{place}.{key}")
    elif origin is not None:  # list, Iterable, Sequence and the SDKs' own kinds of sequence
        _expect(value, list, place)
        for position, inner in enumerate(value):
            check_shape(inner, typing.get_args(kind)[0], f"{place}.{position}")
    elif kind is type(None) or kind is None:
        if value is not None:
            raise Violation(place, "must be null")
    else:
        _check_scalar(value, kind, place)


def _check_fields(value: Any, kind: Any, place: str) -> None:
    _expect(value, dict, place)
    fields, required = _fields(kind)
    for name in value:
        if name not in fields:
            raise Violation(_join(place, name), "Extra inputs are not permitted")
    for name in required:
        if name not in value:
            raise Violation(_join(place, name), "Field required")
    for name, inner in value.items():
        check_shape(inner, fields[name], _join(place, name))


def _check_union(value: Any, members: Sequence[Any], place: str) -> None:
    if value is None and type(None) in members:
        return
    fitting = [member for member in members if _may_be(value, _bare(member))]
    if not fitting:
        shown = {tag: value[tag] for tag in TAGS if tag in value} if isinstance(value, dict) else value
        raise Violation(place, f"{shown!r} is none of the kinds that may stand here")
    violations = []
    for member in fitting:
        try:
            check_shape(value, member, place)
        except Violation as violation:
            violations.append(violation)
        else:
            return
    raise max(violations, key=lambda violation: violation.place.count("."))


def _may_be(value: Any, kind: Any) -> bool:
    """Whether the value is of this kind at first sight: by its tags for objects, by its JSON type otherwise."""
    if _has_fields(kind):
        return isinstance(value, dict) and all(_tag_fits(value, kind, tag) for tag in TAGS)
    if kind is type(None):
        return value is None
    origin = typing.get_origin(kind)
    if origin is Literal or kind in SCALARS or _is_enum(kind) or kind in TEXTS:
        return not isinstance(value, dict | list)
    if origin is dict:
        return isinstance(value, dict)
    return origin is None or origin in {Union, types.UnionType} or isinstance(value, list)


def _tag_fits(value: Mapping[str, Any], kind: Any, tag: str) -> bool:
    fields, required = _fields(kind)
    if tag not in fields:
        return True
    if value.get(tag) is None:
        return tag not in required
    literals = set(_literals(fields[tag]))
    return value[tag] in literals or not literals


def _literals(kind: Any) -> Iterator[Any]:
    kind = _bare(kind)
    if typing.get_origin(kind) is Literal:
        yield from typing.get_args(kind)
    else:
        for member in typing.get_args(kind):
            yield from _literals(member)


def _check_scalar(value: Any, kind: Any, place: str) -> None:
    if _is_enum(kind):
        _check_enum(value, kind, place)
        return
    if kind in TEXTS:
        _expect(value, str, place)
        _check_text(value, kind, place)
        return
    accepted = SCALARS.get(kind)
    if accepted is None:  # a class of the SDK's own (files, paths): nothing that JSON could hold
        raise Violation(place, f"{value!r} cannot stand here")
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise Violation(place, f"Input should be a valid {kind.__name__}, not {value!r}")


def _check_enum(value: Any, kind: type[Enum], place: str) -> None:
    """By the members' values in any case, as protobuf's JSON form is read; the numbers it allows too are not used here."""
    known = [str(member.value) for member in kind]
    if not isinstance(value, str) or value.upper() not in {name.upper() for name in known}:
        raise Violation(place, f"{value!r} is none of {', '.join(map(repr, known))}")


def _check_text(value: str, kind: type, place: str) -> None:
    try:
        if kind is bytes:
            data = value.replace("-", "+").replace("_", "/").rstrip("=")  # either alphabet, padded or not
            binascii.a2b_base64(data + "=" * (-len(data) % 4), strict_mode=True)
        else:
            datetime.fromisoformat(value)
    except ValueError as error:
        raise Violation(place, f"{value[:40]!r} is no {TEXTS[kind]}") from error


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _expect(value: Any, kind: type, place: str) -> None:
    if not isinstance(value, kind):
        raise Violation(place, f"Input should be a valid {kind.__name__}, not {value!r}")


@cache
def _fields(kind: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
    """(name → type, required names). Where annotations are strings, `__required_keys__` alone is not to be relied on."""
    if hasattr(kind, "model_fields"):
        fields = {field.alias or name: field for name, field in kind.model_fields.items()}
        return (
            {name: field.annotation for name, field in fields.items()},
            frozenset(name for name, field in fields.items() if field.is_required()),
        )
    hints = typing.get_type_hints(kind, include_extras=True)
    marked = {name for name, hint in hints.items() if typing.get_origin(hint) is typing.Required}
    optional = {name for name, hint in hints.items() if typing.get_origin(hint) is typing.NotRequired}
    return hints, frozenset((marked | kind.__required_keys__) - optional)


def _has_fields(kind: Any) -> bool:
    """Whether it is a TypedDict, of `typing` or of `typing_extensions`, or a pydantic model."""
    return hasattr(kind, "__required_keys__") or hasattr(kind, "model_fields")


def _bare(kind: Any) -> Any:
    while typing.get_origin(kind) in WRAPPERS or hasattr(kind, "__value__"):
        kind = kind.__value__ if hasattr(kind, "__value__") else typing.get_args(kind)[0]
    return kind


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
