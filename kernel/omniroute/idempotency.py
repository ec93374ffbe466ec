"""One answer for one request, however often it is sent: by its `Idempotency-Key`, or because it comes twice at once.

A request that repeats a key of the same client gets the first one's answer again, byte for byte, for a day; a stream arrives
at once then. Only answers that came to a good end are kept: after any failure the key is free, so that a client may try again.

With a window set, a request that equals one begun just before, by the same client key and down to the last byte, waits for that
one's answer instead of asking an upstream for another. Streams are never shared: each client has its own pace. Neither ever
crosses client keys. Kept in memory, within bounds: a restart forgets.
"""

import asyncio
import copy
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

from omniroute.errors import GatewayError, IdempotencyConflict, InvalidRequest
from omniroute.exchange import Exchange

__all__ = ["HEADER", "MAX_ANSWER_BYTES", "OWN_HEADERS", "REPLAYED", "Answered", "Repeats", "Shelf", "usable"]

HEADER = "idempotency-key"
MAX_KEY_CHARS = 255
KEPT_S = 86_400.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_KEPT = 10_000
MAX_KEPT_BYTES = 64 * 1024 * 1024
REPLAYED = ((b"x-omniroute-cache", b"replay"),)
OWN_HEADERS = frozenset({b"x-request-id"})
"""Of each answer, also of one that is given again."""

Work: TypeAlias = Callable[[Exchange], Awaitable[None]]


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a client was sent."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    fingerprint: bytes
    until_s: float
    answer: Answered | None
    """None while the request is under way."""


Place: TypeAlias = tuple[str, str]
"""Whose key, and the key."""


class Shelf:
    """Answers by the key they were asked for under, the oldest first to go. In memory only."""

    def __init__(
        self,
        *,
        most: int,
        most_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Place, Kept] = OrderedDict()
        """Oldest first."""
        self._bytes = 0

    def find(self, place: Place, fingerprint: bytes) -> Answered | None:
        """The answer to the same request; None for a new key. Raises `IdempotencyConflict`."""
        kept = self._kept.get(place)
        if kept is None:
            return None
        if kept.answer is not None and kept.until_s <= self._clock():
            self._drop(place)
            return None
        return _same(kept, fingerprint)

    def reserve(self, place: Place, fingerprint: bytes) -> None:
        """The request is under way."""
        self._keep(place, fingerprint, None)

    def settle(self, place: Place, fingerprint: bytes, answer: Answered | None) -> None:
        """It is over: with an answer to be given again, or with none, so that the key is free."""
        self._drop(place)
        if answer is not None:
            self._keep(place, fingerprint, answer)

    def _keep(self, place: Place, fingerprint: bytes, answer: Answered | None) -> None:
        kept = self._kept[place] = Kept(fingerprint=fingerprint, until_s=self._clock() + KEPT_S, answer=answer)
        self._bytes += _size(kept)
        while self._kept and (len(self._kept) > self._most or self._bytes > self._most_bytes):
            self._drop(next(iter(self._kept)))

    def _drop(self, place: Place) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self._bytes -= _size(kept)


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """A request that others may wait for. Its outcome is None when it was broken off: then somebody else has to ask."""

    begun_s: float
    outcome: "asyncio.Future[Answered | GatewayError | None]"


class Repeats:
    def __init__(self, *, keyed: bool, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`keyed`: heed `Idempotency-Key`. `window_s`: how soon after another an equal request may share its answer; 0 never."""
        self._keyed = keyed
        self._window_s = window_s
        self._clock = clock
        self._shelf = Shelf(most=MAX_KEPT, most_bytes=MAX_KEPT_BYTES, clock=clock)
        self._flights: dict[tuple[str, bytes], Flight] = {}

    def serve(self, exchange: Exchange, work: Work) -> Awaitable[None]:
        """Answer as `work` would, or as it has: to be awaited. What was sent has been read and is good.

        Raises what `work` raises, `IdempotencyConflict` and, for a key that is none, `InvalidRequest`.
        """
        key = exchange.headers.get(HEADER) if self._keyed else None
        if key is not None:
            return self._by_key(exchange, key, work)
        if self._window_s and exchange.head is not None and not exchange.head.stream:
            return self._shared(exchange, work)
        return work(exchange)

    # --- by key -------------------------------------------------------------------------------------------------------

    async def _by_key(self, exchange: Exchange, key: str, work: Work) -> None:
        place, fingerprint = (_client(exchange), usable(key)), _fingerprint(exchange)
        answer = self._shelf.find(place, fingerprint)
        if answer is not None:
            await _repeat(exchange, answer)
            return
        self._shelf.reserve(place, fingerprint)
        recording = _Recording(exchange)
        try:
            await work(exchange)
        finally:
            self._shelf.settle(place, fingerprint, recording.answer())

    # --- at once ------------------------------------------------------------------------------------------------------

    async def _shared(self, exchange: Exchange, work: Work) -> None:
        place = _client(exchange), _fingerprint(exchange)
        while (flight := self._flights.get(place)) is not None and self._clock() - flight.begun_s < self._window_s:
            outcome = await asyncio.shield(flight.outcome)
            if isinstance(outcome, GatewayError):
                raise copy.copy(outcome)
            if outcome is not None:
                await _repeat(exchange, outcome)
                return
        await self._lead(place, exchange, work)

    async def _lead(self, place: tuple[str, bytes], exchange: Exchange, work: Work) -> None:
        loop = asyncio.get_running_loop()
        flight = self._flights[place] = Flight(begun_s=self._clock(), outcome=loop.create_future())
        recording = _Recording(exchange)
        outcome: Answered | GatewayError | None = None
        try:
            await work(exchange)
            outcome = recording.answer()
        except GatewayError as error:
            outcome = copy.copy(error)
            raise
        finally:
            flight.outcome.set_result(outcome)
            left_s = flight.begun_s + self._window_s - self._clock()
            if isinstance(outcome, Answered) and left_s > 0 and len(self._flights) <= MAX_KEPT:
                loop.call_later(left_s, self._land, place, flight)
            else:
                self._land(place, flight)

    def _land(self, place: tuple[str, bytes], flight: Flight) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]


class _Recording:
    """What an exchange sends, as long as it is not too much."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self._parts: list[bytes] = []
        self._size = 0
        self._is_whole = False
        exchange.watch(self._see)

    def _see(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._headers = tuple(pair for pair in message["headers"] if pair[0] not in OWN_HEADERS)
            return
        self._size += len(message["body"])
        self._is_whole = not message["more_body"]
        if self._size <= MAX_ANSWER_BYTES:
            self._parts.append(message["body"])

    def answer(self) -> Answered | None:
        """None when it did not come to a good end, or is too long."""
        is_good = self._exchange.outcome == "ok" and self._exchange.status == 200 and self._is_whole
        if not is_good or self._size > MAX_ANSWER_BYTES:
            return None
        return Answered(status=self._exchange.status, headers=self._headers, body=b"".join(self._parts))


def usable(key: str) -> str:
    """The key. Raises `InvalidRequest` for one that is none."""
    if not (1 <= len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"the Idempotency-Key is not usable: it has 1 to {MAX_KEY_CHARS} printable characters", param=HEADER
        )
    return key


async def _repeat(exchange: Exchange, answer: Answered) -> None:
    await exchange.start(answer.status, (*answer.headers, *REPLAYED))
    await exchange.send(answer.body, more=False)
    exchange.outcome = "ok"


def _same(kept: Kept, fingerprint: bytes) -> Answered:
    if kept.fingerprint != fingerprint:
        raise IdempotencyConflict(
            "this Idempotency-Key was used for another request", fix="use a new key for each new request", param=HEADER
        )
    if kept.answer is None:
        raise IdempotencyConflict(
            "the request with this Idempotency-Key is still under way", fix="wait for its answer", retry_after_s=1
        )
    return kept.answer


def _client(exchange: Exchange) -> str:
    assert exchange.principal is not None
    return exchange.principal.key_id


def _fingerprint(exchange: Exchange) -> bytes:
    """Of everything that the answer may depend on, but for the place where the client put its key."""
    head = exchange.head
    parts = (
        exchange.translator.dialect,
        exchange.operation,
        sorted((name, value) for name, value in exchange.params.items() if name != "key"),
        sorted(exchange.translator.request_headers(exchange.headers).items()),
        None if head is None else head.session,
    )
    digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass"))
    digest.update(exchange.body)
    return digest.digest()


def _size(kept: Kept) -> int:
    return 0 if kept.answer is None else len(kept.answer.body)
