"""Ids: ULIDs for what we name ourselves, and a check of the request ids that clients bring."""

import os
import re
import time
from collections.abc import Callable

__all__ = ["new_ulid", "sane_request_id"]

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = tuple(high + low for high in CROCKFORD for low in CROCKFORD)
"""Two characters for every ten bits: thirteen look-ups instead of twenty-six."""
SHIFTS = tuple(range(120, -1, -10))
TIME_BITS = 48
RANDOM_BYTES = 10
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def new_ulid(clock: Callable[[], float] = time.time, randomness: Callable[[int], bytes] = os.urandom) -> str:
    """26 characters that sort by time to the millisecond and never come twice: 48 bits of Unix time, 80 random ones."""
    milliseconds = int(clock() * 1000) % (1 << TIME_BITS)
    value = milliseconds << (8 * RANDOM_BYTES) | int.from_bytes(randomness(RANDOM_BYTES), "big")
    return "".join([PAIRS[value >> shift & 1023] for shift in SHIFTS])


def sane_request_id(text: str) -> bool:
    """Whether a client's `X-Request-Id` may go into headers, logs and rows as it is."""
    return SANE_REQUEST_ID.fullmatch(text) is not None
