"""A value that must not be seen: prints as `***`, compares in constant time, cannot be encoded or pickled by accident."""

import hashlib
import hmac
from typing import NoReturn

__all__ = ["Secret"]


class Secret:
    """Holds a credential. Only `reveal()` gives the text back; call it where the bytes go onto the wire, nowhere else."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell two secrets apart in a log without giving either away."""
        return hashlib.sha256(b"omniroute-fingerprint:" + self._value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; store it through the vault")
