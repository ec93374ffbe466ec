"""The kernel's own transports, loaded when they are needed: aiohttp costs a start 130 ms and 8 MB, and few requests use it."""

from collections.abc import Callable

from omniroute.contracts import HttpRequest, Transport, UpstreamStream

__all__ = ["Deferred", "through_aiohttp"]


class Deferred:
    """A transport that is made by `load` with the first request, or at the start if `at_start`."""

    def __init__(self, name: str, load: Callable[[], Transport], *, at_start: bool = False) -> None:
        self.name = name
        self._load = load
        self._at_start = at_start
        self._made: Transport | None = None

    async def start(self) -> None:
        if self._at_start:
            await self._transport()

    async def send(self, request: HttpRequest, *, connect_timeout_s: float | None = None) -> UpstreamStream:
        transport = self._made or await self._transport()
        return await transport.send(request, connect_timeout_s=connect_timeout_s)

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()

    async def _transport(self) -> Transport:
        made = self._load()
        await made.start()
        self._made = self._made or made
        return self._made


def through_aiohttp(*, at_start: bool = False) -> Deferred:
    def load() -> Transport:
        from omniroute.transport.aiohttp import AiohttpTransport

        return AiohttpTransport()

    return Deferred("aiohttp", load, at_start=at_start)
