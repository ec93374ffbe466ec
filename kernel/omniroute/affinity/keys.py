"""A conversation's key: a keyed digest of what the client calls it, else of how it begins. Never the text itself.

How it begins is system text, tools and turns up to the first of the user. Bodies are not decoded for it: long values count
by their length, beginning and end.
"""

import hashlib
import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from omniroute.contracts import RequestHead

__all__ = ["Conversation", "SessionKeys", "asks_for_an_hour"]

DIGEST_BYTES = 16
HEAD_BYTES, TAIL_BYTES = 512, 1024
"""Of each value. Prompts of one client begin alike; what tells them apart often stands last."""
LONGEST_TURNS_BYTES = 256 * 1024
"""Beyond this the turns are not taken apart (0.4 ns a byte): their beginning has to do."""
MARKED_BYTES = 256
"""Cache marks stand on the last block or tool, so at the very end of a value."""
USER = re.compile(rb'"role"\s*:\s*"user"')

_TURNS = msgspec.json.Decoder(list[Raw])


class Conversation(msgspec.Struct, frozen=True, gc=False):
    key: bytes
    is_new: bool
    """It is told by how it begins, and this is its first request. Others begin alike: there is nothing to stay with yet."""


class SessionKeys:
    def __init__(self, secret: bytes) -> None:
        """`secret` is the digests' key, 16 to 64 bytes; another one makes other keys of the same conversations."""
        self.secret = secret
        self._begun = hashlib.blake2b(digest_size=DIGEST_BYTES, key=secret)
        """A third of what a short digest costs; copied for each."""

    def of(self, key_id: str, route: str, head: RequestHead) -> Conversation | None:
        """A conversation of the client key `key_id` with what it asks for as `route`; None without anything to tell it by."""
        if head.session:
            name = head.session.encode("utf-8", "surrogatepass")
            return Conversation(self._digest(key_id, route, "named", (name,)), is_new=False)
        if head.turns is None:
            return None
        first, is_new = _first_turns(head.turns)
        opening = (memoryview(raw) for raw in head.opening)
        return Conversation(self._digest(key_id, route, "begins", (*opening, *first)), is_new=is_new)

    def of_thread(self, key_id: str, answer_id: str) -> bytes:
        """The key of an answer that an upstream stored."""
        return self._digest(key_id, "", "thread", (answer_id.encode("utf-8", "surrogatepass"),))

    def _digest(self, key_id: str, route: str, kind: str, values: tuple[bytes | memoryview, ...]) -> bytes:
        pieces: list[bytes | memoryview] = [f"{key_id}\0{route}\0{kind}".encode()]
        for value in values:
            is_short = len(value) <= HEAD_BYTES + TAIL_BYTES
            pieces += (b"\0%d\0" % len(value), *((value,) if is_short else (value[:HEAD_BYTES], value[-TAIL_BYTES:])))
        found = self._begun.copy()
        found.update(b"".join(pieces))
        return found.digest()


def _first_turns(turns: Raw) -> tuple[Sequence[memoryview], bool]:
    """The turns up to the first of the user, which later requests of the conversation repeat, and whether that is all."""
    view = memoryview(turns)
    if len(view) > LONGEST_TURNS_BYTES:
        return (view[:HEAD_BYTES],), False
    try:
        items = _TURNS.decode(turns)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return (
            view,
        ), True  # a text, or a lone turn: the dialect's translator will have a word with it if it is neither
    found = []
    for item in items:
        found.append(memoryview(item))
        if USER.search(found[-1]):
            break
    return found, len(found) == len(items)


def asks_for_an_hour(head: RequestHead, mark: bytes) -> bool:
    """Whether the client wants its prompt cached for an hour; `mark` is what the dialect calls that, empty if it has no such
    thing. Marks for longer must come before others, so system text and tools show it."""
    if not mark:
        return False
    values = head.opening if head.turns is None else (*head.opening, head.turns)
    return any(mark in bytes(memoryview(value)[-MARKED_BYTES:]) for value in values)
