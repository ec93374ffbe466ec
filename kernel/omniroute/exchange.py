"""One request and its answer, as the pipeline passes it on: what came in, what is known so far, what was sent."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from omniroute.contracts import (
    AttemptRecord,
    Headers,
    LossPolicy,
    Operation,
    Principal,
    RequestHead,
    RequestRecord,
    Translator,
)
from omniroute.errors import GatewayError, PayloadTooLarge, TooManyRequests
from omniroute.ids import new_ulid
from omniroute.model import ChatRequest, Loss, Usage
from omniroute.patience import Patience
from omniroute.pricing import cost_usd
from omniroute.routing import Candidate, Route
from omniroute.standing import Running

if TYPE_CHECKING:
    from omniroute.affinity import Following
    from omniroute.gates import Admission, Pass
    from omniroute.health import Visit
    from omniroute.server.attendant import Attendant

__all__ = ["Exchange", "Receive", "Scope", "Send"]

Scope: TypeAlias = Any
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]


class _Sent:
    """Nothing is left to be awaited."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


SENT = _Sent()


class Exchange(msgspec.Struct, kw_only=True, eq=False):
    """Mutable, one per request, never kept beyond it. Everything the request record needs ends up here."""

    translator: Translator
    """Of the client's dialect."""
    operation: Operation
    params: Mapping[str, str]
    headers: Headers
    request_id: str
    client: Send
    """Takes the answer's messages."""
    attendant: "Attendant | None" = None
    """Sends without messages, where it can."""
    fault: GatewayError | None = None
    """What is wrong with how the request was sent: it is refused before anything else."""
    body: bytes = b""
    head: RequestHead | None = None
    principal: Principal | None = None
    admission: "Admission | None" = None
    """Room it has taken at the gates of its key and of the gateway."""
    permit: "Pass | None" = None
    """Room it has taken at the account that is asked."""
    started_s: float = msgspec.field(default_factory=time.perf_counter)
    started_at_s: float = msgspec.field(default_factory=lambda: time.time())  # noqa: PLW0108 - a clock may take its place
    task: asyncio.Task[Any] | None = None
    """In which it is answered, once its body is here."""
    client_gone: bool = False
    attempts: list[AttemptRecord] = []
    route: Route | None = None
    served_by: Candidate | None = None
    following: "Following | None" = None
    """What its conversation means for where it goes."""
    pinned: tuple[str, str] | None = None
    """Provider and account that alone keep what it goes on from."""
    running: Running | None = None
    """The last attempt that was sent."""
    visit: "Visit | None" = None
    """To the upstream whose stream is being passed on: to be told how it ended."""
    relayed: bool = False
    losses: tuple[Loss, ...] = ()
    loss_policy: LossPolicy = "allow"
    without_signatures: bool = False
    """An upstream could not read an echoed signature: none is sent any more."""
    patience: Patience = Patience()
    """With the upstream that is asked."""
    usage: Usage | None = None
    first_content_s: float | None = None
    outcome: Literal["ok", "error", "client_closed"] = "error"
    error: str | None = None
    status: int = 0
    response_bytes: int = 0
    started: bool = False
    """The response's head has been sent."""
    finished: bool = False
    """So has its last byte."""
    sending: bool = False
    """Something is being sent; it may have to wait for the client to read."""
    _sent_s: float | None = None
    """When something last was; None: nothing has been yet."""
    _request: ChatRequest | None = None

    def __repr__(self) -> str:
        return f"Exchange({self.request_id})"  # what else it holds is the client's

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started_s

    @property
    def quiet_s(self) -> float:
        """Since something was last sent, or since the request came."""
        return time.perf_counter() - (self.started_s if self._sent_s is None else self._sent_s)

    def request(self) -> ChatRequest:
        """The body decoded, once. Raises `InvalidRequest`."""
        if self._request is None:
            self._request = self.translator.decode_request(self.body, self.params, self.headers)
        return self._request

    def abandon(self) -> None:
        """Its client has left: cancel what is being done for it."""
        assert self.task is not None
        self.client_gone = True
        self.task.cancel()

    def release(self) -> None:
        """It is over: hand back the room it has taken. What it has used is known now as well as it will ever be."""
        if self.permit is None and self.admission is None:
            return
        usage = self.usage
        used = 0 if usage is None and self.status >= 400 else None
        if usage is not None:
            used = usage.input_tokens + usage.output_tokens
        if self.permit is not None:
            self.permit.close(used)
        if self.admission is not None:
            self.admission.close(used)

    def watch(self, see: Callable[[Any], None]) -> None:
        """Have `see` shown every message that is sent from now on, once it is."""
        client = self.client

        async def shown(message: Any) -> None:
            await client(message)
            see(message)

        self.client, self.attendant = shown, None

    # --- the answer ---------------------------------------------------------------------------------------------------

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, is_final: bool = True) -> None:
        """Send the head. What is not final yet says nothing of who answers: a header cannot be taken back."""
        sent: RawHeaders = [(b"x-request-id", self.request_id.encode()), *headers]
        sent += self._route_headers(is_final=is_final)
        self.sending = True
        try:
            await self.client({"type": "http.response.start", "status": status, "headers": sent})
        finally:
            self.sending = False
        self.status, self.started = status, True

    def send(self, data: bytes, *, more: bool) -> Awaitable[None]:
        """To be awaited: it is sent when the client's connection has room, which is mostly at once."""
        if self.attendant is None or not self.attendant.pass_on(data, more=more):
            return self._send(data, more=more)
        self._passed_on(data, more=more)
        return SENT

    async def _send(self, data: bytes, *, more: bool) -> None:
        self.sending = True
        try:
            await self.client({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self.sending = False
        self._passed_on(data, more=more)

    def _passed_on(self, data: bytes, *, more: bool) -> None:
        self.response_bytes += len(data)
        self.finished = not more
        self._sent_s = time.perf_counter()

    def answer(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Awaitable[None]:
        """A whole JSON answer: `start` and `send` in one. To be awaited, though mostly it is sent by then."""
        sent: RawHeaders = [
            (b"x-request-id", self.request_id.encode()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *headers,
            *self._route_headers(is_final=True),
        ]
        if self.attendant is None or not self.attendant.answer(status, sent, body):
            return self._answer(status, sent, body)
        self._answered(status, body)
        return SENT

    async def _answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.sending = True
        try:
            await self.client({"type": "http.response.start", "status": status, "headers": headers})
            self.status, self.started = status, True
            await self.client({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            self.sending = False
        self._answered(status, body)

    def _answered(self, status: int, body: bytes) -> None:
        self.status, self.started, self.finished = status, True, True
        self.response_bytes += len(body)
        self._sent_s = time.perf_counter()

    async def refuse(self, error: GatewayError) -> None:
        """The error in the client's dialect, when nothing has been sent yet."""
        self.outcome, self.error = "error", error.code
        encoded = self.translator.encode_error(error, self.request_id)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in encoded.headers.items()]
        if isinstance(error, TooManyRequests):
            headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
        if isinstance(error, PayloadTooLarge):
            headers.append((b"connection", b"close"))  # the rest of the body is not waited for
        await self.answer(encoded.status, encoded.body, headers)

    def _route_headers(self, *, is_final: bool) -> RawHeaders:
        headers: RawHeaders = [] if self.admission is None else [*self.admission.headers]
        if not is_final:
            return headers
        if self.served_by is not None:
            target = self.served_by.target
            headers.append((b"x-omniroute-provider", _header_text(target.provider)))
            headers.append((b"x-omniroute-model", _header_text(target.model)))
        if self.attempts:
            sent = 0
            for attempt in self.attempts:
                sent += attempt.sent
            headers.append((b"x-omniroute-attempts", b"%d" % sent))
        if self.losses:
            headers.append((b"x-omniroute-loss", _header_text(loss_header(self.losses))))
        return headers

    # --- the record ---------------------------------------------------------------------------------------------------

    def record(self) -> RequestRecord:
        served, head, principal, headers = self.served_by, self.head, self.principal, self.headers
        target = served.target if served else None
        id_ = self.request_id
        if id_ == headers.get("x-request-id"):  # nothing says that a client chooses one only once
            id_ = new_ulid(clock=lambda: self.started_at_s)
        return RequestRecord(
            id=id_,
            request_id=self.request_id,
            started_at_s=self.started_at_s,
            dialect=self.translator.dialect,
            operation=self.operation,
            key_id=principal.key_id if principal else "",
            key_name=principal.name if principal else "",
            requested_model=head.model if head else "",
            status=self.status,
            stream=head.stream if head else False,
            outcome=self.outcome,
            error=self.error,
            provider=target.provider if target else None,
            model=target.model if target else None,
            account=target.account if target else None,
            relayed=self.relayed,
            attempts=tuple(self.attempts),
            usage=self.usage,
            cost_usd=cost_usd(served.model.price, self.usage) if served else None,
            losses=self.losses,
            first_content_s=self.first_content_s,
            duration_s=time.perf_counter() - self.started_s,
            request_bytes=len(self.body),
            response_bytes=self.response_bytes,
            user_agent=headers.get("user-agent"),
            affinity=self.following.record if self.following is not None else None,
        )


MAX_LOSS_HEADER_CHARS = 1000


def loss_header(losses: tuple[Loss, ...]) -> str:
    """`2; dropped /top_k, approximated /tools/0/input_schema`, cut to a sane length; the record has them all."""
    text = f"{len(losses)}; " + ", ".join(f"{loss.kind} {loss.pointer}" for loss in losses)
    return text if len(text) <= MAX_LOSS_HEADER_CHARS else text[: MAX_LOSS_HEADER_CHARS - 1] + "…"


@lru_cache(maxsize=1024)
def _header_text(text: str) -> bytes:
    """Model ids and JSON pointers are the client's or an upstream's words: nothing but printable ASCII goes out."""
    return text.encode("ascii", "backslashreplace").translate(_VISIBLE)


_VISIBLE = bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in range(256))
