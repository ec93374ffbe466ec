"""Does what a sign-in or a refresh asks for: requests, sleeps, time, randomness; the rest is the desk's."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from omniroute.contracts import (
    AskRandom,
    AskTime,
    AuthStep,
    AwaitRedirect,
    Credential,
    HttpRequest,
    HttpResponse,
    Keep,
    OpenRedirect,
    ShowUser,
    Sleep,
)
from omniroute.errors import GatewayError, InvalidRequest
from omniroute.secret import Secret

__all__ = ["Desk", "Driver", "Send"]

Send: TypeAlias = Callable[[HttpRequest], Awaitable[HttpResponse]]
Flow: TypeAlias = Generator[AuthStep, Any, Credential]


class Desk(Protocol):
    """Where the person sits who is signing in."""

    async def show(self, step: ShowUser) -> None: ...
    async def open_redirect(self, step: OpenRedirect) -> str: ...
    async def await_redirect(self, step: AwaitRedirect) -> Mapping[str, str]:
        """Raises `InvalidRequest` when the time is up."""
        ...


class Driver:
    """`clock` is Unix time; `send` the control plane's."""

    def __init__(
        self,
        send: Send,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._send = send
        self._random = random
        self.clock = clock
        self.sleep = sleep

    async def run(
        self,
        flow: Flow,
        *,
        desk: Desk | None = None,
        keep: Callable[[Credential], Awaitable[None]] | None = None,
        proxy: Secret | None = None,
    ) -> Credential:
        """What the flow ends with. Raises what it raises, and `InvalidRequest` when it needs a person and there is none.

        `keep` puts a credential on the disk; everything goes through `proxy`.
        """
        answer: object = None
        failed: GatewayError | None = None
        try:
            while True:
                try:
                    step = flow.send(answer) if failed is None else flow.throw(failed)
                except StopIteration as done:
                    credential: Credential = done.value
                    return credential
                answer, failed = None, None
                try:
                    answer = await self._done(step, desk, keep, proxy)
                except GatewayError as error:  # the flow may know what to do about it
                    failed = error
        finally:
            flow.close()

    async def _done(
        self,
        step: AuthStep,
        desk: Desk | None,
        keep: Callable[[Credential], Awaitable[None]] | None,
        proxy: Secret | None,
    ) -> object:
        match step:
            case HttpRequest():
                return await self._send(step if proxy is None else msgspec.structs.replace(step, proxy=proxy.reveal()))
            case AskTime():
                return self.clock()
            case AskRandom():
                return self._random(step.size_bytes)
            case Sleep():
                await self.sleep(step.seconds_s)
                return None
            case Keep():
                if keep is not None:
                    await keep(step.credential)
                return None
        if desk is None:
            raise InvalidRequest("signing in needs a person and a browser", fix="omniroute account add PROVIDER")
        match step:
            case ShowUser():
                await desk.show(step)
                return None
            case OpenRedirect():
                return await desk.open_redirect(step)
            case AwaitRedirect():
                return await desk.await_redirect(step)
