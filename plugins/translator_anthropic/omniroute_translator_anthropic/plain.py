"""Requests as nearly all of them are, read in one pass.

These Structs name what the usual clients send, and take nothing else. What does not fit is not wrong, only rarer: it is read
piece by piece (`decode`, `blocks`), where fields that nobody knows survive and each fault has its pointer. A request or content
that fits is decoded to the same either way; of 98 kB in 50 messages, with a fifth of the instructions (0.7 M, not 3.9 M).
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from omniroute.api import CacheMark
from omniroute_translator_anthropic.head import HeadFields, WireMetadata
from omniroute_translator_anthropic.wire import is_absent

__all__ = [
    "PlainBlock",
    "PlainCall",
    "PlainContent",
    "PlainMessage",
    "PlainRedacted",
    "PlainRequest",
    "PlainResult",
    "PlainText",
    "PlainThinking",
    "PlainTool",
    "plain_content",
    "plain_request",
    "rarer_fields",
]


Rare: TypeAlias = Raw | UnsetType


class PlainMark(Struct):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class _Marked(Struct, forbid_unknown_fields=True, kw_only=True):
    cache_control: PlainMark | None = None

    @property
    def cache(self) -> CacheMark | None:
        return None if self.cache_control is None else CacheMark(ttl=self.cache_control.ttl)


# --- content ----------------------------------------------------------------------------------------------------------


class _Block(_Marked, tag_field="type", kw_only=True): ...


class PlainText(_Block, tag="text", kw_only=True):
    text: str


class PlainThinking(_Block, tag="thinking", kw_only=True):
    thinking: str | None = None
    signature: str | None = None


class PlainRedacted(_Block, tag="redacted_thinking", kw_only=True):
    data: str


class PlainCall(_Block, tag="tool_use", kw_only=True):
    id: str
    name: str
    input: Raw = Raw()


class PlainResult(_Block, tag="tool_result", kw_only=True):
    tool_use_id: str
    content: "str | list[PlainBlock] | None" = None
    """Other blocks than text are refused later; but the tag of a lone kind of Struct could be left out."""
    is_error: bool | None = None


PlainBlock: TypeAlias = PlainText | PlainThinking | PlainRedacted | PlainCall | PlainResult
PlainContent: TypeAlias = str | Sequence[PlainBlock] | None

# --- the rest of a request --------------------------------------------------------------------------------------------


class PlainMessage(Struct):
    role: str
    content: str | list[PlainBlock] | None = None


class PlainTool(_Marked, kw_only=True):
    name: str
    type: Literal["custom"] | None = None
    description: str | None = None
    input_schema: Raw = Raw()
    strict: bool | None = None
    defer_loading: Rare = UNSET
    input_examples: Rare = UNSET


class PlainMetadata(WireMetadata, forbid_unknown_fields=True): ...


class PlainRequest(HeadFields, forbid_unknown_fields=True, kw_only=True):
    messages: Annotated[list[PlainMessage], Meta(min_length=1)]
    system: str | list[PlainBlock] | None = None
    tools: list[PlainTool] | None = None
    metadata: PlainMetadata | None = None
    tool_choice: Rare = UNSET
    thinking: Rare = UNSET
    output_config: Rare = UNSET
    context_management: Rare = UNSET
    service_tier: Rare = UNSET


def _rarer(kind: type[Struct]) -> tuple[Sequence[str], Callable[[Struct], tuple[Rare, ...]]]:
    """Names of the fields that are left unread, and what gets their values."""
    names = [field.name for field in msgspec.structs.fields(kind) if field.default is UNSET]
    return names, attrgetter(*names)


_RARER = {kind: _rarer(kind) for kind in (PlainTool, PlainRequest)}


def rarer_fields(plain: PlainTool | PlainRequest) -> dict[str, Raw]:
    """Those that are there, unread, as `Fields` has them."""
    names, values_of = _RARER[type(plain)]
    values = values_of(plain)
    if values.count(UNSET) == len(values):  # nearly always
        return {}
    return {
        name: raw
        for name, raw in zip(names, values, strict=True)
        if not isinstance(raw, UnsetType) and not is_absent(raw)
    }


_REQUEST = msgspec.json.Decoder(PlainRequest)
_CONTENT: "msgspec.json.Decoder[PlainContent]" = msgspec.json.Decoder(str | list[PlainBlock])
_OTHERWISE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def plain_request(body: bytes) -> PlainRequest | None:
    """None for one that is not plain, or not valid."""
    try:
        return _REQUEST.decode(body)
    except _OTHERWISE:
        return None


def plain_content(raw: Raw) -> PlainContent:
    """None for what is not plain, or not valid."""
    try:
        return _CONTENT.decode(raw)
    except _OTHERWISE:
        return None
