"""A tree of TOML values against a type: every problem at once, each with its path.

msgspec stops at the first problem and leaves keys of tables out of its paths, so the tree is walked along the Structs here
and msgspec judges the leaves.
"""

import types
import typing
from typing import Any, TypeVar

import msgspec

from omniroute.secret import Secret
from omniroute.settings.paths import KeyPath, closest, did_you_mean
from omniroute.settings.values import plain, value_hook

__all__ = ["Problem", "check", "core", "decode", "is_struct", "keys_of"]

Problem: typing.TypeAlias = tuple[KeyPath, str]
T = TypeVar("T")


def decode(kind: type[T], tree: object) -> T:
    """`tree` as `kind`. Raises `msgspec.ValidationError`; `check` says more and says it all."""
    return msgspec.convert(plain(tree), kind, dec_hook=value_hook)


def check(kind: Any, value: object, path: KeyPath = ()) -> list[Problem]:
    """What keeps `value` from being a `kind`; empty when nothing does."""
    inner = core(kind)
    if is_struct(inner) and isinstance(value, dict):
        return _check_table(inner, value, path)
    if typing.get_origin(inner) is dict and isinstance(value, dict):
        _, of = typing.get_args(inner)
        return [problem for key, item in value.items() for problem in check(of, item, (*path, key))]
    if typing.get_origin(inner) in (tuple, list) and isinstance(value, list):
        of = typing.get_args(inner)[0]
        problems = [problem for at, item in enumerate(value) for problem in check(of, item, (*path, at))]
        return problems or _check_leaf(kind, value, path)
    return _check_leaf(kind, value, path)


def core(kind: Any) -> Any:
    """The type itself, without its `Annotated` and its `| None`."""
    if typing.get_origin(kind) is typing.Annotated:
        return core(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        return core(members[0]) if len(members) == 1 else kind
    return kind


def keys_of(kind: Any) -> dict[str, Any]:
    """Key → type of what may stand in the table of a Struct, in order."""
    internal: frozenset[str] = getattr(kind, "INTERNAL", frozenset())
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind) if field.name not in internal}


def is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _check_table(kind: Any, table: dict[str, object], path: KeyPath) -> list[Problem]:
    keys = keys_of(kind)
    required = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
    problems: list[Problem] = [(path, f"needs {name}") for name in required if name not in table]
    for key, value in table.items():
        if key in keys:
            problems += check(keys[key], value, (*path, key))
        else:
            problems.append(((*path, key), f"no such key{did_you_mean(key, keys)}"))
    return problems


def _check_leaf(kind: Any, value: object, path: KeyPath) -> list[Problem]:
    try:
        msgspec.convert(plain(value), kind, dec_hook=value_hook)
    except msgspec.ValidationError as error:
        return [(path, _reason(kind, value, str(error)))]
    return []


def _reason(kind: Any, value: object, text: str) -> str:
    """msgspec's text, made better where it can be; without the value when that may be a secret."""
    inner = core(kind)
    if typing.get_origin(inner) is typing.Literal and isinstance(value, str | Secret):
        choices = [str(choice) for choice in typing.get_args(inner)]
        given = "the value" if isinstance(value, Secret) else repr(value)
        hint = closest(value, choices) if isinstance(value, str) else None
        listed = f"is none of {', '.join(choices)}"
        return f"{given} {listed}" + (f"; did you mean {hint!r}?" if hint else "")
    if is_struct(inner):
        return "expected a table"
    if isinstance(value, dict) and typing.get_origin(inner) is tuple and is_struct(core(typing.get_args(inner)[0])):
        return "expected an array of tables; its header has two brackets: [[…]]"
    if "matching regex" in text:
        return f"must be {_description(kind) or 'written otherwise'}"
    return (text[:1].lower() + text[1:]).replace("`object`", "`table`")


def _description(kind: Any) -> str | None:
    """What a pattern asks for, in words; None when the type does not say."""
    notes = kind.__metadata__ if typing.get_origin(kind) is typing.Annotated else ()
    texts = [note.description for note in notes if isinstance(note, msgspec.Meta)]
    return next((text for text in [*texts, *map(_description, typing.get_args(kind))] if text), None)
