"""The translator, its vendor's SDK as judge of what it sends and answers, and the fold of a stream of events."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import pytest
from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message as SdkMessage
from anthropic.types import RawMessageStreamEvent
from anthropic.types.beta.message_create_params import MessageCreateParams
from pydantic import TypeAdapter

from omniroute.api import (
    ChatResponse,
    Event,
    Frame,
    Headers,
    MetadataDelta,
    PartStart,
    ReasoningDelta,
    ResponseEnd,
    ResponseStart,
    TextDelta,
    ToolArgumentsDelta,
    ToolCallPart,
    UsageUpdate,
)
from omniroute_translator_anthropic import AnthropicTranslator

REQUEST: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


@pytest.fixture(scope="session")
def translator() -> AnthropicTranslator:
    return AnthropicTranslator()


@pytest.fixture(scope="session")
def decode(translator: AnthropicTranslator) -> Callable[..., Any]:
    """A wire request to the canonical one; `model`, `max_tokens` and `messages` are filled in."""

    def decode_wire(operation: str = "chat", headers: dict[bytes, bytes] | None = None, **wire: Any) -> Any:
        wire = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **wire}
        return translator.decode_request(msgspec.json.encode(wire), {"operation": operation}, Headers(headers or {}))

    return decode_wire


@pytest.fixture(scope="session")
def encode(translator: AnthropicTranslator, accept_request: Callable[[Any], None]) -> Callable[..., Any]:
    """A canonical request to (wire, losses as `kind pointer`), judged by the SDK."""

    def encode_request(request: Any) -> tuple[dict[str, Any], list[str]]:
        outgoing = translator.encode_request(request)
        wire = msgspec.json.decode(outgoing.body)
        accept_request(wire)
        return wire, [f"{loss.kind} {loss.pointer}" for loss in outgoing.losses]

    return encode_request


@pytest.fixture(scope="session")
def accept_request() -> Callable[[Any], None]:
    """Raises for a request body in which the SDK's types find a fault, or a field they do not know.

    The SDK speaks API version 2026-10-21, which has no sampling fields; the version before it, which is ours, has. Of a
    tool's schema its types name no more than three fields.
    """

    def accept(body: Any) -> None:
        body = {name: value for name, value in body.items() if name not in {"temperature", "top_p", "top_k"}}
        assert without_schemas(materialised(REQUEST.validate_python(body))) == without_schemas(body)

    return accept


def without_schemas(body: dict[str, Any]) -> dict[str, Any]:
    tools = [{**tool, "input_schema": ...} for tool in body.get("tools", ())]
    return {**body, "tools": tools}


def materialised(value: Any) -> Any:
    """pydantic checks an `Iterable` only while it is read."""
    if isinstance(value, dict):
        return {name: materialised(member) for name, member in value.items()}
    if isinstance(value, list | Iterator) or hasattr(value, "__next__"):
        return [materialised(member) for member in value]
    return value


@pytest.fixture(scope="session")
def sdk_message() -> Callable[[bytes], dict[str, Any]]:
    """A whole answer as the SDK shows it to its caller; raises when it breaks the SDK's types."""

    def read(body: bytes) -> dict[str, Any]:
        return SdkMessage.model_validate_json(body).model_dump(mode="json", exclude_none=True)

    return read


@pytest.fixture(scope="session")
def sdk_stream() -> Callable[[Iterable[bytes]], dict[str, Any]]:
    """What the SDK makes of a stream, however its bytes are cut; raises when an event breaks the SDK's types."""

    def read(chunks: Iterable[bytes]) -> dict[str, Any]:
        snapshot, buffers = None, {}
        for event in SSEDecoder().iter_bytes(iter(chunks)):
            if event.event != "ping":
                parsed = EVENT.validate_json(event.data)
                assert event.event == parsed.type
                snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
        assert snapshot is not None
        return snapshot.model_dump(mode="json", exclude_none=True)

    return read


@pytest.fixture(scope="session")
def stream_bytes() -> Callable[[Iterable[Frame]], bytes]:
    """Frames as server-sent events."""

    def write(frames: Iterable[Frame]) -> bytes:
        return b"".join(b"event: %b\ndata: %b\n\n" % ((frame.event or "").encode(), frame.data) for frame in frames)

    return write


@pytest.fixture(scope="session")
def fold() -> Callable[[Iterable[Event]], ChatResponse]:
    """The whole answer that a stream of events adds up to."""
    return fold_events


def fold_events(events: Iterable[Event]) -> ChatResponse:
    start, end, usage = ResponseStart(id="", model=""), None, None
    parts: dict[int, Any] = {}
    for event in events:
        match event:
            case ResponseStart():
                start = event
            case PartStart(index=index, part=part):
                parts[index] = part
            case TextDelta() | ReasoningDelta() | ToolArgumentsDelta():
                part = parts[event.index]
                field = "arguments" if isinstance(part, ToolCallPart) else "text"
                parts[event.index] = msgspec.structs.replace(part, **{field: getattr(part, field) + event.text})
            case MetadataDelta(index=index, provider_metadata=added):
                had = parts[index].provider_metadata
                merged = {dialect: {**had.get(dialect, {}), **values} for dialect, values in added.items()}
                parts[index] = msgspec.structs.replace(parts[index], provider_metadata={**had, **merged})
            case UsageUpdate():
                usage = event.usage
            case ResponseEnd():
                end = event
    assert end is not None
    return ChatResponse(
        id=start.id,
        model=start.model,
        parts=tuple(parts.values()),
        finish_reason=end.finish_reason,
        stop_sequence=end.stop_sequence,
        usage=usage,
        extensions=end.extensions,
    )
