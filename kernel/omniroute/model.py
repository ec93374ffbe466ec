"""The canonical model: what every dialect is translated to and from.

Values only: frozen Structs without behaviour, compared with `==`. Token counts are `int`, JSON that nobody needs to look
into stays `msgspec.Raw` (the very bytes the client sent). What has no canonical home rides in `extensions` (request,
response) or `provider_metadata` (part, tool) under the name of its dialect and is used again only by that dialect.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Raw

__all__ = [
    "AudioPart",
    "CacheMark",
    "ChatRequest",
    "ChatResponse",
    "Event",
    "FilePart",
    "FinishReason",
    "ImagePart",
    "Loss",
    "LossKind",
    "Message",
    "MetadataDelta",
    "Part",
    "PartEnd",
    "PartStart",
    "Ping",
    "Reasoning",
    "ReasoningDelta",
    "ReasoningEffort",
    "ReasoningPart",
    "ResponseEnd",
    "ResponseFormat",
    "ResponseStart",
    "Role",
    "Sampling",
    "Source",
    "TextDelta",
    "TextPart",
    "Tool",
    "ToolArgumentsDelta",
    "ToolCallPart",
    "ToolChoice",
    "ToolResultPart",
    "Usage",
    "UsageUpdate",
]

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause", "error"]
ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
LossKind: TypeAlias = Literal["dropped", "approximated", "invented"]
Metadata: TypeAlias = dict[str, dict[str, Any]]


class Source(msgspec.Struct, frozen=True, eq=False):
    """Where in the client's body something stood. Equal to every other one: where a thing came from is no part of it."""

    pointer: str
    """JSON pointer, in the client's own spelling."""
    fields: Mapping[str, str] = {}
    """Canonical field, or path of fields → where it stands below `pointer`, for those that are spelled otherwise there; under
    the empty name, where the thing itself stands."""

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Source)

    def __hash__(self) -> int:
        return 0


class CacheMark(msgspec.Struct, frozen=True, kw_only=True):
    """A client's request to cache the prompt up to and including the block that carries it."""

    ttl: Literal["5m", "1h"] | None = None
    """None means that the client did not say."""


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a translation could not carry over unchanged."""

    pointer: str
    """JSON pointer into the body the client sent, for example `/messages/2/content/0/cache_control`. A translator that encodes
    points into the canonical request instead, whose names and places these are; the kernel makes the one of the other."""
    kind: LossKind
    reason: str


# --- parts ------------------------------------------------------------------------------------------------------------


class TextPart(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    cache: CacheMark | None = None
    provider_metadata: Metadata = {}
    source: Source | None = None


class ReasoningPart(msgspec.Struct, frozen=True, kw_only=True):
    """Thinking the model showed (`text`), and what its vendor wants echoed back (`provider_metadata`, untouched)."""

    text: str
    cache: CacheMark | None = None
    provider_metadata: Metadata = {}
    source: Source | None = None


class ToolCallPart(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    arguments: str
    """JSON text exactly as the model wrote it; never re-encoded."""
    cache: CacheMark | None = None
    provider_metadata: Metadata = {}
    source: Source | None = None


class ImagePart(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one of `url` and `data` is set."""

    media_type: str | None = None
    """For example `image/png`; None when the source is a URL and did not say."""
    url: str | None = None
    data: str | None = None
    """Base64, without the `data:` prefix."""
    detail: str | None = None
    cache: CacheMark | None = None
    provider_metadata: Metadata = {}
    source: Source | None = None


class FilePart(msgspec.Struct, frozen=True, kw_only=True):
    """A document. One of `url`, `data` (base64) and `file_id` (an upload at the upstream) is set."""

    media_type: str | None = None
    name: str | None = None
    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    cache: CacheMark | None = None
    provider_metadata: Metadata = {}
    source: Source | None = None


class AudioPart(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    """`wav`, `mp3`, …: the part of the media type after `audio/`."""
    data: str
    """Base64."""
    cache: CacheMark | None = None
    provider_metadata: Metadata = {}
    source: Source | None = None


class ToolResultPart(msgspec.Struct, frozen=True, kw_only=True):
    call_id: str
    name: str | None = None
    """The tool's name where the dialect gives it; translators that need it look it up by `call_id`."""
    parts: tuple["TextPart | ImagePart | FilePart", ...] = ()
    is_error: bool = False
    cache: CacheMark | None = None
    provider_metadata: Metadata = {}
    source: Source | None = None


Part: TypeAlias = TextPart | ReasoningPart | ToolCallPart | ToolResultPart | ImagePart | FilePart | AudioPart


# --- request ----------------------------------------------------------------------------------------------------------


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. Normal form: tool results stand in messages of role `tool`, apart from the user's own words."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    source: Source | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool the model may call.

    `function` tools take JSON by schema, `custom` ones free text, `builtin` ones run at the upstream and are known only to
    their own dialect (the whole declaration is in `provider_metadata`).
    """

    name: str
    kind: Literal["function", "custom", "builtin"] = "function"
    description: str | None = None
    parameters: Raw | None = None
    """JSON schema of the arguments as the client wrote it; None when it gave none."""
    strict: bool | None = None
    cache: CacheMark | None = None
    provider_metadata: Metadata = {}
    source: Source | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    mode: Literal["auto", "none", "required", "tool"] = "auto"
    name: str | None = None
    """The tool's name, with mode `tool` only."""
    parallel: bool | None = None
    """False forbids several calls in one turn; None means that the client did not say."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model may think. `effort="none"` switches thinking off; both None means on, as much as it likes."""

    effort: ReasoningEffort | None = None
    budget_tokens: int | None = None
    summary: str | None = None
    """`auto`, `concise`, `detailed`, `omitted`: how thinking is to be shown; None means that the client did not say."""
    adaptive: bool = False
    """The client said that the model decides how much to think, guided by `effort`; False where it did not say so."""


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asked for, in no dialect."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    max_output_tokens: int | None = None
    sampling: Sampling = Sampling()
    reasoning: Reasoning | None = None
    response_format: ResponseFormat | None = None
    operation: Literal["chat", "count_tokens"] = "chat"
    """What an upstream is asked for: an answer, or the number of tokens that all of this is."""
    stream: bool = False
    include_usage: bool = True
    """Whether a streaming client asked for usage at the end; only dialects where it is optional say no."""
    user: str | None = None
    """The end user's id, as the client gave it."""
    previous_response_id: str | None = None
    """The answer stored at the upstream that this turn continues; only dialects that keep threads can serve it."""
    session: str | None = None
    """What the client calls this conversation, when it says so."""
    extensions: dict[str, dict[str, Any]] = {}
    """dialect → top-level fields of that dialect which have no canonical home (values are `Raw`)."""
    losses: tuple[Loss, ...] = ()
    """What decoding already had to give up; these point into the body."""
    source: Source | None = None
    """Of the fields that every dialect has: `max_output_tokens`, `temperature`, `reasoning/effort`, `response_format/schema`, …"""


# --- response ---------------------------------------------------------------------------------------------------------


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one answer. `input_tokens` counts cached ones too, `output_tokens` counts reasoning too."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Read from a cache; part of `input_tokens`."""
    cache_write_tokens: int = 0
    """Written to a cache; part of `input_tokens`."""
    cache_write_1h_tokens: int = 0
    """The share of `cache_write_tokens` that is kept for an hour."""
    reasoning_tokens: int = 0
    """Part of `output_tokens`."""


class ChatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: what the events of a stream fold to."""

    id: str
    model: str
    parts: tuple[Part, ...]
    finish_reason: FinishReason
    stop_sequence: str | None = None
    usage: Usage | None = None
    extensions: dict[str, dict[str, Any]] = {}


# --- events -----------------------------------------------------------------------------------------------------------
# Order: ResponseStart, then per part PartStart, its deltas, PartEnd (parts may be open side by side and are told apart by
# `index`, which counts 0, 1, 2, …), UsageUpdate anywhere (later ones replace earlier ones whole), ResponseEnd last.


class ResponseStart(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    model: str


class PartStart(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    part: Part
    """The part as far as it is known: empty text or arguments, but id and name of a tool call are final."""


class TextDelta(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    text: str


class ToolArgumentsDelta(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    text: str


class MetadataDelta(msgspec.Struct, frozen=True, kw_only=True):
    """Adds to the part's `provider_metadata`, key by key (a thinking signature arrives this way)."""

    index: int
    provider_metadata: Metadata


class PartEnd(msgspec.Struct, frozen=True, kw_only=True):
    index: int


class UsageUpdate(msgspec.Struct, frozen=True, kw_only=True):
    usage: Usage


class ResponseEnd(msgspec.Struct, frozen=True, kw_only=True):
    finish_reason: FinishReason
    stop_sequence: str | None = None
    extensions: dict[str, dict[str, Any]] = {}


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream is alive and has nothing to say."""


Event: TypeAlias = (
    ResponseStart
    | PartStart
    | TextDelta
    | ReasoningDelta
    | ToolArgumentsDelta
    | MetadataDelta
    | PartEnd
    | UsageUpdate
    | ResponseEnd
    | Ping
)
