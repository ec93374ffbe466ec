"""The clients of a long run: requests at a steady rate whether or not the last ones are answered, streams side by side, and
among both some that leave at a random instant. What became of each is kept in a byte."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import aiohttp

WAITING, GOOD, REFUSED, CUT, LEFT, LOST = range(6)
"""Not answered yet · whole answer · an answer that says why there is none · a stream that ended with an error · the client
went · no answer at all."""
LEAVING_SHARE = 0.05
PATIENCE_S = 60.0
LONGEST_JSON_S, LONGEST_STREAM_S = 0.06, 6.0
"""Who leaves does so before this."""
PATHS = {"openai-chat": "chat/completions", "anthropic": "messages"}
ENDS = (b"data: [DONE]", b"event: message_stop")
TEXT = "lorem ipsum dolor sit amet " * 60


class Ledger:
    """Requests by number, from 0; their `X-Request-Id` is made of it."""

    def __init__(self) -> None:
        self.fates = bytearray()
        self.problems: list[str] = []
        """Why the first of the lost ones were."""

    def begin(self) -> int:
        self.fates.append(WAITING)
        return len(self.fates) - 1

    def lose(self, number: int, why: str) -> None:
        self.fates[number] = LOST
        if len(self.problems) < 5:
            self.problems.append(f"{request_id(number)} got no answer: {why}")

    def count(self, *fates: int) -> int:
        return sum(self.fates.count(fate) for fate in fates)


def request_id(number: int) -> str:
    return f"soak-{number}"


class Clients:
    def __init__(self, url: str, key: str, ledger: Ledger, chance: random.Random) -> None:
        self.ledger = ledger
        self._url = url
        self._key = key
        self._chance = chance
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, *, seconds: float, rate: float, streams: int) -> None:
        """For so long, and until the last one has its answer."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            side_by_side = [asyncio.create_task(self._streams(http, number, end_s)) for number in range(streams)]
            count = 0
            while (due_s := end_s - seconds + count / rate) < end_s:
                await asyncio.sleep(due_s - loop.time())
                self._in_background(self._whole(http))
                count += 1
            await asyncio.gather(*side_by_side, *self._open)

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _streams(self, http: aiohttp.ClientSession, number: int, end_s: float) -> None:
        """One after the other; every second place asks in another dialect than the upstream's."""
        loop = asyncio.get_running_loop()
        dialect = tuple(PATHS)[number % 2]
        await asyncio.sleep(self._chance.random() * min(5.0, (end_s - loop.time()) / 4))
        while loop.time() < end_s:
            await self._asked(lambda id_: self._stream(http, dialect, id_), LONGEST_STREAM_S)

    async def _whole(self, http: aiohttp.ClientSession) -> None:
        await self._asked(lambda id_: self._json(http, id_), LONGEST_JSON_S)

    async def _asked(self, ask: Callable[[str], Awaitable[int]], longest_s: float) -> None:
        number = self.ledger.begin()
        leaves_s = self._chance.random() * longest_s if self._chance.random() < LEAVING_SHARE else None
        try:
            async with asyncio.timeout(leaves_s) as patience:
                self.ledger.fates[number] = await ask(request_id(number))
        except TimeoutError as error:
            if patience.expired():
                self.ledger.fates[number] = LEFT
            else:
                self.ledger.lose(number, repr(error))
        except aiohttp.ClientError as error:
            self.ledger.lose(number, repr(error))

    async def _json(self, http: aiohttp.ClientSession, id_: str) -> int:
        async with self._post(http, "openai-chat", id_, stream=False) as answer:
            await answer.read()
            return GOOD if answer.status == 200 else REFUSED

    async def _stream(self, http: aiohttp.ClientSession, dialect: str, id_: str) -> int:
        async with self._post(http, dialect, id_, stream=True) as answer:
            tail = b""
            async for data in answer.content.iter_any():
                tail = (tail + data)[-200:]
            if answer.status != 200:
                return REFUSED
            return GOOD if any(end in tail for end in ENDS) else CUT

    def _post(
        self, http: aiohttp.ClientSession, dialect: str, id_: str, *, stream: bool
    ) -> "aiohttp.client._RequestContextManager":
        body = {
            "model": "soak",
            "max_tokens": 100,
            "stream": stream,
            "messages": [{"role": "user", "content": f"{id_} {TEXT}"}],
        }
        headers = {"authorization": f"Bearer {self._key}", "x-request-id": id_}
        return http.post(f"{self._url}/v1/{PATHS[dialect]}", json=body, headers=headers)
