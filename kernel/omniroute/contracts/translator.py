"""One wire dialect, both ways."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from omniroute.carrier import MARKS
from omniroute.contracts.framing import Frame
from omniroute.contracts.http import Headers
from omniroute.contracts.models import ListedModel, ModelFacts
from omniroute.errors import GatewayError, InvalidRequest, UpstreamError
from omniroute.model import ChatRequest, ChatResponse, Event, Loss, Usage

__all__ = [
    "CredentialPlace",
    "Decoder",
    "Encoder",
    "ErrorBody",
    "Ingress",
    "LossPolicy",
    "Operation",
    "Outgoing",
    "RequestHead",
    "Tap",
    "Translator",
    "UpstreamOperation",
]


Operation: TypeAlias = Literal["chat", "count_tokens", "models"]
LossPolicy: TypeAlias = Literal["allow", "warn", "strict"]
"""What happens when a translation would lose something: go on, go on and log it, refuse before anything is sent."""


class Ingress(msgspec.Struct, frozen=True, kw_only=True):
    """A path on which clients of this dialect call. `{model}` in the path matches anything, slashes too."""

    path: str
    operation: Operation
    method: str = "POST"
    params: Mapping[str, str] = {}
    """Fixed parameters handed to the translator along with those of path and query."""


class UpstreamOperation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an operation is sent, below the provider's `base_url`. `{model}` is replaced by the upstream's model id."""

    path: str
    stream_path: str | None = None
    """Set where streaming has a path of its own."""
    method: str = "POST"


class CredentialPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The header that carries the credential, e.g. `authorization` with prefix `Bearer `."""

    header: str = "authorization"
    prefix: str = "Bearer "


class RequestHead(msgspec.Struct, frozen=True, kw_only=True):
    """What routing needs to know of a request, read without looking into messages or tools."""

    model: str
    stream: bool = False
    session: str | None = None
    max_output_tokens: int | None = None
    has_tools: bool = False
    opening: tuple[msgspec.Raw, ...] = ()
    """System text and tools as they stand in the body: what each turn of a conversation repeats before the turns."""
    turns: msgspec.Raw | None = None
    """The turns as they stand in the body: a list, or the only one."""
    previous_response_id: str | None = None
    """As in `ChatRequest`."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded request body, with what the translation gave up and which tool names it had to change."""

    body: bytes
    losses: tuple[Loss, ...] = ()
    tool_names: Mapping[str, str] = {}
    """name sent upstream → name the client knows; the kernel undoes it in the answer."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Decoder(Protocol):
    """An upstream's stream to events. Sync, one per response. `close` raises `StreamBroken` without a terminal marker."""

    def feed(self, frame: Frame) -> Iterable[Event]: ...
    def close(self) -> Iterable[Event]: ...


class Encoder(Protocol):
    """Events to the client's stream. Sync, one per response."""

    def feed(self, event: Event) -> Iterable[Frame]: ...
    def close(self) -> Iterable[Frame]:
        """After `ResponseEnd`: whatever ends the stream in this dialect."""
        ...

    def fail(self, error: GatewayError) -> Iterable[Frame]:
        """Instead of an end: the dialect's in-stream error. Nothing follows it."""
        ...


class Tap(Protocol):
    """Watches a relayed stream. Sync, one per response; looks at no more of a frame than it must.

    The kernel reads the attributes after each `feed`.
    """

    content: bool
    """A content, reasoning or tool event has been seen: from here on the request cannot go elsewhere."""
    ended: bool
    """The dialect's terminal marker has been seen."""
    usage: Usage | None
    error: UpstreamError | None
    """The upstream reported a failure inside the stream."""

    @property
    def needs_rewrite(self) -> bool:
        """The opening shows that this answer bends the dialect's rules: it is read and written anew instead of relayed.

        Only ever set before `content`, which stays False while the opening can still turn out either way.
        """
        return False

    def feed(self, frame: Frame) -> None:
        """Raises `UpstreamGarbled` when the frame is no event of this dialect."""
        ...

    def fail(self, error: GatewayError) -> Iterable[Frame]:
        """The dialect's in-stream error, in the place where the stream stands now."""
        ...


class Translator(Protocol):
    """One wire dialect, both ways. Sync, pure, without state between calls; knows no provider.

    Requests decode and encode in one call, streams through one small machine per response. Bodies are bytes; a body
    that breaks the dialect's rules raises `InvalidRequest` with `param` set.
    """

    dialect: str
    framing: str
    """Name of the framing of its streams: `sse`, `ndjson`."""
    ingress: tuple[Ingress, ...] = ()
    operations: Mapping[Operation, UpstreamOperation] = {}
    credential: CredentialPlace = CredentialPlace()
    """Where an upstream of this dialect wants its credential, unless the provider's facts say otherwise."""
    keepalive: bytes = b""
    """What a waiting client is sent between frames, in `framing`, where the dialect has a form of its own; empty leaves it to
    the framing."""
    opaque_keys: frozenset[str] = frozenset()
    """Keys of `provider_metadata[dialect]` whose values only their maker can read: signatures, encrypted reasoning."""
    opaque_marks: tuple[bytes, ...] = ()
    """One of them stands in every body or stream which holds such a value, and hardly in others: the longer they are, the
    sooner a large body without any is through. Empty when the dialect has no such values."""
    opaque_pattern: bytes = b""
    """Regular expression over those bytes whose only group is the value."""
    carrier_marks: tuple[bytes, ...] = MARKS
    """One of them stands in every body that holds a carrier (`carry`) in a field of this dialect: the fewer and longer they
    are, the sooner a large body without any is through."""
    opaque_is_account_bound: bool = False
    """Only the account that was given such a value can have it read again; else every account of the provider can."""
    keeps_threads: bool = False
    """Upstreams of this dialect can continue an answer they stored (`previous_response_id`)."""
    thread_pattern: bytes = b""
    """Regular expression whose only group is the id of the answer, in the bytes with which one begins; empty when no request
    can go on from it."""
    image_pattern: bytes = b""
    """Regular expression found in every body that holds an image, and hardly in others; empty when none can."""
    hour_mark: bytes = b""
    """Bytes by which a client asks for a prompt cache of an hour; empty when the dialect has no such thing."""
    models_query: Mapping[str, str] = {}
    """Goes along when an upstream is asked for its models: pages as long as it allows."""
    models_header: str | None = None
    """Lower-case name of the request header that makes `GET /v1/models` answer in this dialect; None has no such mark."""
    clients: str = ""
    """Whose clients speak it, as people call them; empty where the start need not name them."""
    client_root: str = ""
    """What such clients want behind the gateway's address as their base URL: `/v1`, or nothing."""
    is_default_form: bool = False
    """Requests without any mark, and errors to them, are answered in this dialect."""

    # requests
    def read_head(self, body: bytes, params: Mapping[str, str], headers: Headers) -> RequestHead:
        """Decode the top level only, checking the types and ranges of the fields it names."""
        ...

    def decode_request(self, body: bytes, params: Mapping[str, str], headers: Headers) -> ChatRequest: ...

    def encode_request(self, request: ChatRequest) -> Outgoing:
        """`request.model` is the upstream's id by now."""
        ...

    def rename_model(self, body: bytes, model: str) -> bytes:
        """The same body for another model, every other byte of a value untouched."""
        ...

    def request_headers(self, headers: Headers) -> Mapping[str, str]:
        """Client headers that go along to an upstream of the same dialect (a version or beta flag). None by default."""
        return {}

    def default_headers(self) -> Mapping[str, str]:
        """Headers every upstream of this dialect requires, beneath the provider's and the client's own."""
        return {}

    # answers
    def stream_framing(self, params: Mapping[str, str]) -> str:
        """Name of the framing that a client's stream is to have, where the request may choose one; `framing` by default."""
        return self.framing

    def response_decoder(self) -> Decoder: ...
    def decode_response(self, body: bytes) -> ChatResponse:
        """Raises `UpstreamGarbled` when the body is no answer of this dialect."""
        ...

    def response_encoder(self, request: ChatRequest) -> Encoder: ...
    def encode_response(self, response: ChatResponse, request: ChatRequest) -> bytes: ...
    def tap(self) -> Tap: ...
    def needs_rewrite(self, body: bytes) -> bool:
        """Whether a whole answer bends the dialect's rules: as `Tap.needs_rewrite` for streams. Looks no closer than it must."""
        return False

    def decode_usage(self, body: bytes) -> Usage | None:
        """Usage of a relayed, whole answer. Raises `UpstreamGarbled` when the body is no JSON object."""
        ...

    # errors
    def encode_error(self, error: GatewayError, request_id: str) -> ErrorBody: ...

    # models and tokens
    def encode_models(self, models: Sequence[ListedModel]) -> bytes: ...
    def encode_model(self, model: ListedModel) -> bytes:
        """The answer to `GET /v1/models/{id}`."""
        ...

    def decode_models(self, body: bytes) -> Sequence["ModelFacts"]:
        """An upstream's model list, or a page of it. Raises `UpstreamGarbled`."""
        ...

    def next_models_page(self, body: bytes) -> Mapping[str, str] | None:
        """The query that asks for the page behind this one, which `decode_models` has read; None behind the last."""
        return None

    def decode_token_count(self, body: bytes) -> int:
        raise InvalidRequest(f"the dialect {self.dialect} has no token count")

    def encode_token_count(self, input_tokens: int) -> bytes:
        raise InvalidRequest(f"the dialect {self.dialect} has no token count")
