"""JSON held against a vendor SDK's own parameter types: unknown fields, missing ones, wrong types, with the place."""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union

__all__ = ["Violation", "check_shape"]

WRAPPERS = (typing.Required, typing.NotRequired, typing.Annotated)
TAGS = ("type", "role")
"""The fields that tell the members of a union apart."""
SCALARS: Mapping[type, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


class Violation(Exception):
    """What the real service would refuse. `place` is dotted, as in `messages.0.content`."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place


def check_shape(value: Any, kind: Any, place: str = "") -> None:
    """Raise `Violation` where decoded JSON does not fit a type made of TypedDicts, unions, literals and lists."""
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
    origin = typing.get_origin(kind)
    if origin is Literal or kind in SCALARS:
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
    return value[tag] in set(_literals(fields[tag]))


def _literals(kind: Any) -> Iterator[Any]:
    kind = _bare(kind)
    if typing.get_origin(kind) is Literal:
        yield from typing.get_args(kind)
    else:
        for member in typing.get_args(kind):
            yield from _literals(member)


def _check_scalar(value: Any, kind: Any, place: str) -> None:
    accepted = SCALARS.get(kind)
    if accepted is None:  # a class of the SDK's own (files, paths): nothing that JSON could hold
        raise Violation(place, f"{value!r} cannot stand here")
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise Violation(place, f"Input should be a valid {kind.__name__}, not {value!r}")


def _expect(value: Any, kind: type, place: str) -> None:
    if not isinstance(value, kind):
        raise Violation(place, f"Input should be a valid {kind.__name__}, not {value!r}")


@cache
def _fields(kind: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
    """(name → type, required names). Where annotations are strings, `__required_keys__` alone is not to be relied on."""
    hints = typing.get_type_hints(kind, include_extras=True)
    marked = {name for name, hint in hints.items() if typing.get_origin(hint) is typing.Required}
    optional = {name for name, hint in hints.items() if typing.get_origin(hint) is typing.NotRequired}
    return hints, frozenset((marked | kind.__required_keys__) - optional)


def _has_fields(kind: Any) -> bool:
    """Whether it is a TypedDict, of `typing` or of `typing_extensions`."""
    return hasattr(kind, "__required_keys__")


def _bare(kind: Any) -> Any:
    while typing.get_origin(kind) in WRAPPERS or hasattr(kind, "__value__"):
        kind = kind.__value__ if hasattr(kind, "__value__") else typing.get_args(kind)[0]
    return kind


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
