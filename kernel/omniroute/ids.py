"""Ids: ULIDs for what we name ourselves, and a check of the request ids that clients bring."""

import os
import re
import threading
import time
from collections.abc import Callable
from functools import lru_cache

__all__ = ["RandomLetters", "new_ulid", "sane_request_id"]

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = tuple(high + low for high in CROCKFORD for low in CROCKFORD)
"""Two characters for every ten bits."""
LETTERS = CROCKFORD.encode() * 8
"""One for every byte: five of its bits count."""
TIME_BITS = 48
RANDOM_LETTERS = 16
BLOCK_BYTES = 4096
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RandomLetters:
    """Letters of Crockford's alphabet from the system's random bytes, made a block at a time: each fetch is a system call, and every
    request needs sixteen.

    For ids, not for keys: a block stays in memory until it is used up. Safe to use from several threads. A forked
    process must `forget` what its parent will give.
    """

    def __init__(self, source: Callable[[int], bytes] = os.urandom, block_bytes: int = BLOCK_BYTES) -> None:
        self._source = source
        self._block_bytes = block_bytes
        self.forget()

    def forget(self) -> None:
        """Give up the current block."""
        self._lock = threading.Lock()  # a new one: in a forked process nobody is left to release the old
        self._block = ""
        self._used = 0

    def __call__(self, count: int) -> str:
        with self._lock:
            end = self._used + count
            if end > len(self._block):
                self._block = self._source(max(self._block_bytes, count)).translate(LETTERS).decode()
                end = count
            self._used = end
            return self._block[end - count : end]


_letters = RandomLetters()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_letters.forget)


def new_ulid(clock: Callable[[], float] = time.time, letters: Callable[[int], str] = _letters) -> str:
    """26 characters that sort by time to the millisecond and never come twice: 48 bits of Unix time, 80 random ones."""
    milliseconds = int(clock() * 1000) % (1 << TIME_BITS)
    return f"{_seconds(milliseconds >> 10)}{PAIRS[milliseconds & 1023]}{letters(RANDOM_LETTERS)}"


@lru_cache(maxsize=2)
def _seconds(value: int) -> str:
    """Eight characters: the time without its last ten bits, which stays the same for a second."""
    return "".join(PAIRS[value >> shift & 1023] for shift in (30, 20, 10, 0))


def sane_request_id(text: str) -> bool:
    """Whether a client's `X-Request-Id` may go into headers, logs and rows as it is."""
    return SANE_REQUEST_ID.fullmatch(text) is not None
