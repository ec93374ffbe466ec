"""Recorded exchanges, trimmed and without credentials, and the cuts that streams of them are fed in."""

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from omniroute.testing.received import ReceivedRequest
from omniroute.testing.scripts import Reply, Stream

__all__ = ["Recording", "random_cuts", "split_everywhere", "sse"]

NEVER_KEPT = frozenset({"authorization", "x-api-key", "x-goog-api-key", "cookie", "set-cookie", "proxy-authorization"})


class Recording(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request and its answer, as a file of indented JSON that a person can trim.

    An answer is either `answer` (a JSON value) or `events` (the `data:` payloads of a stream in order; an entry with the
    keys `event` and `data` has an event name, a string is sent as it is).
    """

    note: str
    """Where it is from: client or service, version, date, what was cut."""
    method: str = "POST"
    target: str
    headers: dict[str, str] = {}
    """Lower-case names."""
    body: Any = None
    status: int = 200
    answer: Any = None
    events: list[Any] = []

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Raises `msgspec.ValidationError` when the file is no recording."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    @classmethod
    def of(cls, request: ReceivedRequest, note: str, **answer: Any) -> "Recording":
        """A recording of what arrived. Headers that carry credentials are left out."""
        headers = {name.lower(): value for name, value in request.headers if name.lower() not in NEVER_KEPT}
        return cls(
            note=note, method=request.method, target=request.target, headers=headers, body=request.json(), **answer
        )

    def save(self, path: Path) -> None:
        """Raises `ValueError` rather than write a header that carries a credential."""
        if secret := NEVER_KEPT.intersection(self.headers):
            raise ValueError(f"a recording must not hold {sorted(secret)}; take the header out")
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    def request_body(self) -> bytes:
        return msgspec.json.encode(self.body)

    def script(self) -> Reply | Stream:
        """The answer, for `FakeUpstream`."""
        if self.events:
            return Stream([sse([event]) for event in self.events], status=self.status)
        return Reply.json(self.answer, status=self.status)


def sse(events: Iterable[Any]) -> bytes:
    """A server-sent event stream.

    A mapping with exactly the keys `event` and `data` becomes a named event, any other value its JSON after `data: `; `str`
    and `bytes` go out as they are (`[DONE]`).
    """
    return b"".join(map(_event, events))


def _event(event: Any) -> bytes:
    name = b""
    if isinstance(event, Mapping) and event.keys() == {"event", "data"}:
        name = b"event: " + str(event["event"]).encode() + b"\n"
        event = event["data"]
    data = (
        event.encode() if isinstance(event, str) else event if isinstance(event, bytes) else msgspec.json.encode(event)
    )
    return name + b"data: " + data + b"\n\n"


def split_everywhere(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every way to cut `data` in two: inside characters, line ends and JSON. Neither half is empty."""
    for cut in range(1, len(data)):
        yield data[:cut], data[cut:]


def random_cuts(data: bytes, seed: int, pieces: int = 8) -> list[bytes]:
    """`data` in at most `pieces` pieces, none of them empty, cut where `seed` says."""
    chance = random.Random(seed)
    places = sorted(chance.sample(range(1, len(data)), min(pieces, len(data)) - 1)) if data else []
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True) if start < end]
