"""Secrets in a tree of settings: made from text on the way in, and text again while the tree is decoded."""

from typing import Any

from omniroute.secret import Secret

__all__ = ["plain", "value_hook"]


def value_hook(kind: type, value: Any) -> Any:
    """msgspec's `dec_hook` for `Secret`. Raises `ValueError`, never repeating the value."""
    if kind is not Secret:
        raise NotImplementedError
    if not isinstance(value, str):
        raise ValueError("expected a string")
    if not value:
        raise ValueError("is empty")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError("holds a line break, a space at an end, or something else that no header can carry")
    return Secret(value)


def plain(value: Any) -> Any:
    """The same tree with the text of its secrets, to be decoded and dropped."""
    match value:
        case Secret():
            return value.reveal()
        case dict():
            return {key: plain(inner) for key, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _:
            return value
