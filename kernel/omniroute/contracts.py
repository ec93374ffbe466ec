"""The contracts between the kernel and plugins: protocols, and the fact Structs they speak in.

A plugin part is a value or an object with sync, pure methods; the kernel does the I/O. Colours are in each protocol's
docstring. Methods with a body are defaults: subclass the protocol to inherit them, or write the whole surface yourself.
Times are seconds (`_s`), sizes bytes (`_bytes`), prices US dollars per million tokens.
"""

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import msgspec

from omniroute.errors import GatewayError, InvalidRequest, UpstreamError
from omniroute.model import ChatRequest, ChatResponse, Event, Loss, Usage
from omniroute.secret import Secret

__all__ = [
    "Account",
    "AttemptRecord",
    "AuthScheme",
    "AuthStep",
    "Authenticator",
    "AwaitRedirect",
    "Call",
    "Change",
    "ClientKey",
    "ClientKeys",
    "Credential",
    "CredentialPlace",
    "Decoder",
    "Encoder",
    "EntryName",
    "ErrorBody",
    "Fast",
    "Frame",
    "Framing",
    "Headers",
    "HttpRequest",
    "HttpResponse",
    "Ingress",
    "Lease",
    "ListedModel",
    "LossPolicy",
    "ModelFacts",
    "ModelListing",
    "Operation",
    "Outcome",
    "Outgoing",
    "Price",
    "Principal",
    "Probe",
    "Provider",
    "ProviderFacts",
    "Record",
    "RequestHead",
    "RequestRecord",
    "RouteContext",
    "Row",
    "ShowUser",
    "Sleep",
    "Splitter",
    "Standing",
    "Store",
    "Strategy",
    "Tap",
    "Target",
    "TelemetrySink",
    "Tier",
    "TimeoutFacts",
    "TokenCounter",
    "TokenOverhead",
    "Translator",
    "Transport",
    "UpstreamOperation",
    "UpstreamStream",
    "Writer",
]

Operation: TypeAlias = Literal["chat", "count_tokens", "models"]
LossPolicy: TypeAlias = Literal["allow", "warn", "strict"]
"""What happens when a translation would lose something: go on, go on and log it, refuse before anything is sent."""
Tier: TypeAlias = Literal["subscription", "api-key", "cheap", "free"]


# --- HTTP as values ---------------------------------------------------------------------------------------------------


class Headers:
    """The client's request headers, looked up by lower-case name. Names that came twice hold the last value."""

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self.raw = raw

    def get(self, name: str) -> str | None:
        value = self.raw.get(name.encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def __contains__(self, name: str) -> bool:
        return name.encode("latin-1") in self.raw

    def __repr__(self) -> str:
        return f"Headers({sorted(name.decode('latin-1') for name in self.raw)})"  # values may be credentials


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request the kernel is asked to send. `url` is absolute; credentials belong in `headers`, never in `url`."""

    method: str = "POST"
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {self.url}, {len(self.body)} bytes)"


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. Header names are lower case; `body` may be cut at 64 kB when the status is an error."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class UpstreamStream(Protocol):
    """An answer whose head is here and whose body is still coming.

    `chunks()` yields bytes as they arrive and raises `UpstreamUnreachable` when the connection breaks;
    `close()` may be called at any time, from any state, and frees the connection at once.
    """

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...
    def close(self) -> None: ...


class Transport(Protocol):
    """Sends requests of the data path. Async. Cancelling `send` or an iteration must free what it held at once."""

    name: str

    async def start(self) -> None:
        """Called in the event loop before the first `send`."""

    async def send(self, request: HttpRequest, *, connect_timeout_s: float | None = None) -> UpstreamStream:
        """Return when the response's head is here. Redirects are never followed. Raises `UpstreamUnreachable`."""
        ...

    async def close(self) -> None:
        """Called once, after the last request."""


# --- framing ----------------------------------------------------------------------------------------------------------


class Frame(msgspec.Struct, frozen=True):
    """One message of a stream: an SSE event, a line of NDJSON. `event` is SSE's event name, None when it has none."""

    data: bytes
    event: str | None = None


class Splitter(Protocol):
    """Bytes in, frames out; sync, one per response."""

    complete: bytes
    """The bytes, as they came, that made up the frames of the last call; ends at a frame's end."""

    def feed(self, data: bytes) -> Sequence[Frame]:
        """Raises `UpstreamGarbled` when a frame grows beyond all reason."""
        ...

    def close(self) -> Sequence[Frame]:
        """What the end of the stream completes."""
        ...

    @property
    def pending(self) -> bool:
        """Part of a frame has arrived and its end has not."""
        ...


class Writer(Protocol):
    """Frames in, bytes out; sync, one per response."""

    def encode(self, frame: Frame) -> bytes: ...
    def close(self) -> bytes:
        """What stands behind the last frame, be it the stream's end or its error."""
        ...


class Framing(Protocol):
    """How a dialect cuts its stream into frames. Sync, pure."""

    name: str
    content_type: str

    def splitter(self) -> Splitter: ...
    def encode(self, frame: Frame) -> bytes:
        """The frame alone."""
        ...

    def writer(self) -> Writer:
        """For a whole stream: with what stands around and between its frames."""
        ...


# --- translator -------------------------------------------------------------------------------------------------------


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


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `GET /v1/models`. What nobody knows is None and left out of the answer, never guessed."""

    id: str
    """As a client may ask for it: `prefix/model`, or a combo's or alias's name."""
    provider: str
    name: str | None = None
    created_s: int | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    kind: Literal["model", "combo", "alias"] = "model"


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
    keepalive: bytes = b": keep-alive\n\n"
    """What is sent to a waiting client, between frames."""
    opaque_keys: frozenset[str] = frozenset()
    """Keys of `provider_metadata[dialect]` whose values only their maker can read: signatures, encrypted reasoning."""
    opaque_mark: bytes = b""
    """Bytes that stand in every body or stream which holds such a value; empty when the dialect has none."""
    opaque_pattern: bytes = b""
    """Regular expression over those bytes whose only group is the value."""
    keeps_threads: bool = False
    """Upstreams of this dialect can continue an answer they stored (`previous_response_id`)."""
    models_header: str | None = None
    """Lower-case name of the request header that makes `GET /v1/models` answer in this dialect; None has no such mark."""
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
        """An upstream's model list. Raises `UpstreamGarbled`."""
        ...

    def decode_token_count(self, body: bytes) -> int:
        raise InvalidRequest(f"the dialect {self.dialect} has no token count")

    def encode_token_count(self, input_tokens: int) -> bytes:
        raise InvalidRequest(f"the dialect {self.dialect} has no token count")


# --- token counts -----------------------------------------------------------------------------------------------------


class TokenOverhead(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens a model reads besides the text of a request: marks between turns, instructions that its vendor adds."""

    per_request: int = 0
    per_message: int = 4
    per_tool: int = 10
    """For what stands around name, description and schema in a tool's declaration."""
    with_tools: int = 0
    """Once, when there are tools: how to call them."""


class TokenCounter(Protocol):
    """Counts tokens as models do whose tokenizer it knows: for estimates, where the upstream does not count itself.

    Sync; no network, ever. What a request consists of is put together by the kernel, which calls everything but `counts`
    off the event loop, perhaps from several threads at once. `model` is the upstream's id.
    """

    name: str

    def counts(self, model: str) -> bool:
        """Whether it knows how this model counts. On the event loop: microseconds, and nothing is loaded for it."""
        ...

    def count_text(self, model: str, texts: Sequence[str]) -> int:
        """Tokens of all the texts. May load a vocabulary at first, and take milliseconds for 100 kB after that."""
        ...

    def count_image(self, model: str, size: tuple[int, int] | None, detail: str | None) -> int | None:
        """Tokens of an image of (width, height) pixels; `size` is None where it is not known. None: the kernel's guess."""
        return None

    def overhead(self, model: str) -> TokenOverhead:
        return TokenOverhead()


# --- provider ---------------------------------------------------------------------------------------------------------


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; None is unknown, 0 is free."""

    input_usd: float | None = None
    output_usd: float | None = None
    cached_usd: float | None = None
    cache_write_usd: float | None = None
    reasoning_usd: float | None = None
    as_of: str | None = None
    """Date or release the figures are from."""


class TimeoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Overrides of `[timeouts]`; None leaves the setting as it is, 0 switches the clock off."""

    connect_s: float | None = None
    first_byte_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one model. None and empty mean unknown."""

    id: str
    """As the upstream spells it."""
    name: str | None = None
    created_s: int | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    """Of `tools`, `vision`, `reasoning`, `json_schema`, …; empty when unknown."""
    price: Price | None = None
    dialect: str | None = None
    """Where it differs from the provider's."""
    streams: Literal["asked", "always", "never"] | None = None
    """Where it differs from the provider's."""
    drops: tuple[str, ...] = ()
    """Canonical sampling fields the upstream refuses for this model: `temperature`, `top_p`, `top_k`, `seed`, …"""


class ProviderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as a table. `[providers.NAME]` in the settings overrides it field by field."""

    name: str
    dialect: str
    base_url: str
    """The API root with its version segment, without a trailing slash."""
    auth: str = "api-key"
    """Name of the auth scheme that gets its credentials; `none` for keyless ones."""
    aliases: tuple[str, ...] = ()
    """Further prefixes in model strings (`cc` for claude)."""
    display_name: str | None = None
    docs_url: str | None = None
    terms_url: str | None = None
    checked: str | None = None
    """Date (YYYY-MM-DD) the facts were last compared with their source."""
    tier: Tier = "api-key"
    status: Literal["live", "withdrawn"] = "live"
    models: tuple[ModelFacts, ...] = ()
    any_model: bool = False
    """Models beyond the list are passed on as they are (a gateway with a catalogue of its own)."""
    headers: Mapping[str, str] = {}
    """Static headers of every request."""
    query: str = ""
    """Fixed query string of every request, without `?`."""
    credential: CredentialPlace | None = None
    """None: as the dialect has it."""
    operations: tuple[Operation, ...] | None = None
    """What this upstream offers of its dialect's operations; None is all."""
    transport: str | None = None
    """Name of a registered transport; None is the one of the settings."""
    streams: Literal["asked", "always", "never"] = "asked"
    """Whether it streams when asked to, can do nothing else, or never does; clients get what they asked for all the same."""
    is_quirky: bool = False
    """Its answers bend the dialect's rules: they are read and written anew instead of being relayed."""
    timeouts: TimeoutFacts = TimeoutFacts()
    drops: tuple[str, ...] = ()
    """As `ModelFacts.drops`, for every model."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What proves to a provider who pays. Stored encrypted; `access` goes on the wire."""

    access: Secret
    refresh: Secret | None = None
    expires_at_s: float | None = None
    """Unix time; None does not expire."""
    metadata: Mapping[str, str] = {}
    """Facts that came with it and are not secret: plan, account id, resource URL."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One credential for a provider, as the router sees it."""

    provider: str
    name: str
    base_url: str
    """The account's own, else the provider's."""
    credential: Credential | None = None
    """None for keyless providers."""
    priority: int = 50
    """1 is asked first, 100 last."""
    models: tuple[ModelFacts, ...] | None = None
    """The live list where the kernel read one; None: the provider's facts."""
    origin: Literal["settings", "database", "discovered", "builtin"] = "database"
    paused: bool = False

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.name}"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request about to be sent, for `Provider.prepare` to turn into HTTP."""

    operation: UpstreamOperation
    account: Account
    model: str
    """The upstream's id; empty for operations without a model."""
    stream: bool
    body: bytes
    headers: Mapping[str, str]
    """Of the dialect and the client, lower case."""
    credential_place: CredentialPlace


class ModelListing(msgspec.Struct, frozen=True, kw_only=True):
    """A request that asks a provider for its models; the answer is read by the dialect's `decode_models`."""

    request: HttpRequest


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A look whether a keyless server runs on this machine. Loopback only, 200 ms; any 2xx means that it is there."""

    name: str
    """Becomes the account's name."""
    url: str
    base_url: str
    """Becomes the account's base URL."""
    display_name: str


class Provider(Protocol):
    """An upstream. Sync, pure."""

    facts: ProviderFacts

    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        """Change what this upstream wants changed; return the very same object when that is nothing."""
        ...

    def adapts(self, model: ModelFacts) -> bool:
        """Whether `adapt` can change anything for this model; False lets the kernel relay without decoding."""
        ...

    def prepare(self, call: Call) -> HttpRequest: ...
    def classify(self, response: HttpResponse) -> UpstreamError | None:
        """What an answer means; None when it is no failure. Not called for status 200."""
        ...

    def bucket(self, model: ModelFacts) -> str:
        """Whatever shares a rate limit or quota of an account has one name: by default each model is its own bucket."""
        return model.id

    def list_models(self, account: Account, place: CredentialPlace) -> ModelListing | None:
        """None when the provider has no model endpoint."""
        ...

    def probe(self) -> Sequence[Probe]:
        """Servers to look for at start; empty for anything that is not on this machine."""
        return ()


# --- strategy ---------------------------------------------------------------------------------------------------------


class Target(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Where a request can go. `account` is empty while only combo entries are being ordered."""

    provider: str
    model: str
    account: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a target is doing: what this process has seen of it, and what is known of its model. None is unknown.

    Of a target without an account it is the sum over all of its accounts.
    """

    requests: int = 0
    """Attempts that were sent."""
    failures: int = 0
    """Those that failed by the upstream's fault; a client that left is nobody's."""
    in_flight: int = 0
    """Attempts whose answers are not at their end."""
    last_used_s: float | None = None
    """When an attempt last began; monotonic, as `RouteContext.now_s`."""
    latency_s: float | None = None
    """From sending to the first content event, the last ones weighing most."""
    error_rate: float = 0.0
    """Share of attempts that fail, 0 to 1, the last ones weighing most."""
    input_usd: float | None = None
    """Per million tokens; 0 is free."""
    output_usd: float | None = None
    context_tokens: int | None = None
    quota_left: float | None = None
    """Share of the account's quota, 0 to 1."""
    quota_resets_s: float | None = None
    """When the quota is full again; monotonic, perhaps past."""


class _NothingKnown(Mapping[Target, Standing]):
    """Every target is there, and nothing has been seen of it."""

    def __getitem__(self, target: Target) -> Standing:
        return _NEW

    def __iter__(self) -> Iterator[Target]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NEW = Standing()


def _no_chance() -> float:
    return 0.0


class RouteContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy may know."""

    combo: str
    """Whose entries are ordered; of accounts, the combo they are needed for, or empty."""
    session: str | None
    now_s: float
    """Monotonic."""
    draw: Callable[[], float] = _no_chance
    """A new random number with each call, at least 0 and below 1."""
    standing: Mapping[Target, Standing] = _NothingKnown()
    """Has every target. Looked up when asked for, so what is not needed costs nothing."""
    names: Mapping[Target, str] = {}
    """What the combo's list calls its entries; empty when accounts are ordered."""
    input_tokens_estimate: int | None = None
    """Rough size of the prompt: a quarter of the body's bytes."""


EntryName: TypeAlias = Annotated[str, msgspec.Meta(extra={"stands_for": "entry"})]
"""A key in a strategy's options that stands for an entry of the combo, as its list has it: `dict[EntryName, float]`.

The kernel refuses keys that are not in the combo's `models`."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt, told when it has ended. A client that left before the end is no outcome."""

    target: Target
    """Who was asked, with the account, also where entries of a combo were ordered."""
    ok: bool
    error: str | None = None
    """The error's code."""
    latency_s: float = 0.0
    """From sending to the first content event, or to the failure."""


class Strategy(Protocol):
    """Orders targets. Sync, microseconds, on the event loop: no I/O, no clock, no randomness but what `context` brings.

    One instance per combo, and per provider for its accounts, built as `strategy_type(options)`. Every order is asked for
    when it is needed: that of accounts when it is the turn of their entry in the combo.
    """

    name: str
    options_type: type[msgspec.Struct]

    def __init__(self, options: Any) -> None: ...
    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        """All of `targets`, each once, best first. `targets` is never empty."""
        ...

    def observe(self, outcome: Outcome) -> None: ...


# --- auth -------------------------------------------------------------------------------------------------------------


class ShowUser(msgspec.Struct, frozen=True, kw_only=True):
    """Something the person signing in must see: a URL to open, a code to type."""

    message: str
    url: str | None = None
    code: str | None = None


class AwaitRedirect(msgspec.Struct, frozen=True, kw_only=True):
    """Wait for the browser to come back to a loopback listener; resumes with the redirect's query as a mapping."""

    path: str
    port: int = 0
    """0 is any free port."""
    timeout_s: float = 600.0


class Sleep(msgspec.Struct, frozen=True, kw_only=True):
    seconds_s: float


AuthStep: TypeAlias = HttpRequest | ShowUser | AwaitRedirect | Sleep


class AuthScheme(Protocol):
    """How an upstream credential is got and renewed. Sync generators; the kernel does what they yield and sends the result.

    An `HttpRequest` resumes with an `HttpResponse`, the others with None (`AwaitRedirect`: a mapping).
    """

    name: str

    def sign_in(self, facts: ProviderFacts, given: Mapping[str, Secret]) -> Generator[AuthStep, Any, Credential]:
        """`given` is what the user supplied, e.g. `{"api_key": …}`. Raises `InvalidRequest` when something is missing."""
        ...

    def refresh(self, facts: ProviderFacts, credential: Credential) -> Generator[AuthStep, Any, Credential]:
        """Return the credential unchanged when there is nothing to renew."""
        ...


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling."""

    key_id: str
    """Public id of the client key; `local` in keyless mode."""
    name: str
    scopes: frozenset[str] = frozenset()
    loss: "LossPolicy | None" = None
    """What this key's requests may lose in translation; None leaves it to combo and settings."""


class ClientKey(msgspec.Struct, frozen=True, kw_only=True):
    """A client key as it is stored: never the key itself."""

    id: str
    """Eight characters, part of the key, public."""
    name: str
    sha256: bytes
    """Digest of the whole key."""
    created_s: float
    expires_at_s: float | None = None
    revoked: bool = False
    loss: "LossPolicy | None" = None


class ClientKeys(Protocol):
    """The live table of client keys, kept current by the kernel. Sync, in memory."""

    def match(self, presented: str) -> ClientKey | None:
        """The valid key this text is; None when it is none, or one that is revoked or expired. Takes constant time."""
        ...


class Authenticator(Protocol):
    """Says who is calling the model API. Async; asked in order, the first Principal wins."""

    async def authenticate(self, headers: Headers, query: Mapping[str, str], peer: str) -> Principal | None:
        """None when this authenticator sees no credential of its own. Raises `AuthenticationFailed` for a bad one,
        `InvalidRequest` when several places hold different ones. `peer` is the socket's address."""
        ...


# --- telemetry --------------------------------------------------------------------------------------------------------


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate that was tried or skipped."""

    provider: str
    model: str
    account: str
    status: int | None = None
    """The upstream's HTTP status; None when there was no answer."""
    error: str | None = None
    """Error code, or the reason for skipping; None for the one that answered."""
    sent: bool = True
    started_s: float = 0.0
    """Seconds after the request came in."""
    duration_s: float = 0.0
    retry_after_s: float | None = None


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one request. Never a prompt, an answer or a credential."""

    id: str
    """Unique (a ULID); sinks may rely on it to drop duplicates."""
    request_id: str
    """As in `X-Request-Id`; the client's own when it sent a sane one."""
    started_at_s: float
    """Unix time."""
    dialect: str
    operation: Operation
    key_id: str
    key_name: str
    requested_model: str
    status: int
    stream: bool
    outcome: Literal["ok", "error", "client_closed"]
    error: str | None = None
    provider: str | None = None
    model: str | None = None
    account: str | None = None
    relayed: bool = False
    """The bytes went through untouched."""
    attempts: tuple[AttemptRecord, ...] = ()
    usage: Usage | None = None
    losses: tuple[Loss, ...] = ()
    first_content_s: float | None = None
    duration_s: float = 0.0
    request_bytes: int = 0
    response_bytes: int = 0
    user_agent: str | None = None


class TelemetrySink(Protocol):
    """Receives records in batches, off the request's path. Async; a failing `write` is counted and never fails a request."""

    name: str

    async def start(self) -> None:
        """Called before the first `write`."""

    async def write(self, records: Sequence[RequestRecord]) -> None: ...
    async def close(self) -> None:
        """Called after the last `write`."""


# --- state ------------------------------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A durable value. `version` starts at 1 and rises by one with each write of this key."""

    key: str
    value: bytes
    version: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an append-only log. Appending an id twice keeps the first."""

    id: str
    value: bytes


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to a row. `sequence` rises over the whole store."""

    sequence: int
    table: str
    key: str
    deleted: bool


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to do something alone until `until_s` (the store's clock). `fence` rises with each new holder."""

    name: str
    owner: str
    fence: int
    until_s: float


class Store(Protocol):
    """Durable state: rows with versions, logs, leases, a change feed. Async.

    A write that returned has reached the disk. Every method raises `StoreError` when the store is gone. Writes with
    `expect` compare the row's version first (0: must not exist) and raise `VersionConflict`; with `fence` they also
    require that the lease of that name still carries that fence.
    """

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def get(self, table: str, key: str) -> Row | None: ...
    async def scan(self, table: str, prefix: str = "") -> Sequence[Row]:
        """All rows whose key starts with `prefix`, in key order."""
        ...

    async def put(
        self, table: str, key: str, value: bytes, *, expect: int | None = None, fence: Lease | None = None
    ) -> int:
        """Return the new version."""
        ...

    async def delete(self, table: str, key: str, *, expect: int | None = None) -> bool:
        """False when there was nothing to delete."""
        ...

    async def append(self, log: str, records: Sequence[Record]) -> int:
        """Return how many were new."""
        ...

    async def read(self, log: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Records with an id greater than `after`, in id order."""
        ...

    async def changes(self, after: int, *, limit: int = 1000) -> Sequence[Change]: ...
    async def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """None while somebody else holds it; the holder itself gets it anew with the same fence."""
        ...

    async def release(self, lease: Lease) -> None: ...


class Fast(Protocol):
    """Shared state that may be lost: values and counters with a time to live, messages. Async."""

    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, value: bytes, *, ttl_s: float, only_if_absent: bool = False) -> bool:
        """False when `only_if_absent` found something."""
        ...

    async def delete(self, key: str) -> bool: ...
    async def add(self, key: str, amount: int, *, ttl_s: float) -> int:
        """Add to a counter and return it; `ttl_s` counts from the first addition."""
        ...

    async def publish(self, channel: str, message: bytes) -> None: ...
    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Messages published after the first `anext`. Ends when the iterator is closed."""
        ...

    async def close(self) -> None: ...
