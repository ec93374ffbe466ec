"""The transport behind the demo models: it answers requests itself, and faults as an upstream would."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import msgspec

from omniroute.api import HttpRequest, UpstreamUnreachable
from omniroute_provider_demo.answers import coder, echo
from omniroute_provider_demo.wire import Answer, ChatBody, chunks, error_body, whole

__all__ = ["DemoStream", "DemoTransport"]

RETRY_AFTER_S = "2"
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
MODELS: Mapping[str, Callable[[ChatBody], Answer]] = {
    "echo": echo,
    "coder": coder,
    "slow": coder,
    "truncate": coder,
}
BODY = msgspec.json.Decoder(ChatBody)


class DemoStream:
    """An answer that is already known. After `close` it says nothing more, wherever it stands."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        pieces: Sequence[bytes],
        *,
        pause: Callable[[], Awaitable[None]],
        stalls: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces
        self._pause = pause
        self._stalls = stalls
        self._closed = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await self._pause()
            if self._closed.is_set():
                return
            yield piece
        if self._stalls:
            await self._closed.wait()

    def close(self) -> None:
        self._closed.set()


class DemoTransport:
    name = "demo"

    def __init__(self, *, slow_delay_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._slow_delay_s = slow_delay_s
        self._sleep = sleep

    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, request: HttpRequest, *, connect_timeout_s: float | None = None) -> DemoStream:
        if not request.url.partition("?")[0].endswith("/chat/completions"):
            return self._refuse(404, f"the demo has nothing at {request.url}", "not_found_error", None)
        try:
            body = BODY.decode(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return self._refuse(400, f"the demo cannot read this request: {error}", "invalid_request_error", None)
        if not body.messages:
            return self._refuse(400, "messages is empty", "invalid_request_error", None)
        return self._answer(body)

    def _answer(self, body: ChatBody) -> DemoStream:
        if body.model == "stall":
            return self._stream(200, EVENTS if body.stream else JSON, (), stalls=True)
        if body.model == "429":
            message = "the demo model 429 is always busy"
            headers = {**JSON, "retry-after": RETRY_AFTER_S}
            return self._stream(429, headers, [error_body(message, "rate_limit_error", "rate_limit_exceeded")])
        if body.model == "refuse":
            raise UpstreamUnreachable("the upstream cannot be reached", why="the demo model refuse takes no connection")
        if body.model not in MODELS:
            known = ", ".join([*MODELS, "429", "stall", "refuse"])
            message = f"the demo has no model {body.model!r}; it has {known}"
            return self._refuse(404, message, "invalid_request_error", "model_not_found")
        answer = MODELS[body.model](body)
        if body.stream:
            include_usage = body.stream_options is not None and body.stream_options.include_usage
            headers, pieces = EVENTS, list(chunks(answer, include_usage=include_usage))
            if body.model == "truncate":
                pieces = pieces[: len(pieces) // 2]
        else:
            headers, pieces = JSON, [whole(answer)]
            if body.model == "truncate":
                pieces = [pieces[0][: len(pieces[0]) // 2]]
        return self._stream(200, headers, pieces, delay_s=self._slow_delay_s if body.model == "slow" else 0.0)

    def _refuse(self, status: int, message: str, kind: str, code: str | None) -> DemoStream:
        return self._stream(status, JSON, [error_body(message, kind, code)])

    def _stream(
        self,
        status: int,
        headers: Mapping[str, str],
        pieces: Sequence[bytes],
        *,
        delay_s: float = 0.0,
        stalls: bool = False,
    ) -> DemoStream:
        # A pause of 0 still lets other requests run: an answer that is already known must not hold the loop.
        return DemoStream(status, headers, pieces, pause=lambda: self._sleep(delay_s), stalls=stalls)
