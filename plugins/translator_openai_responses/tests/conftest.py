"""The official SDK as judge of what this translator sends and answers, and the fold of a stream of events."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from omniroute.api import (
    ChatResponse,
    Event,
    Frame,
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
from omniroute.testing import ReceivedRequest
from omniroute.testing.strict import openai_responses

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
HEADERS = (("content-type", "application/json"), ("authorization", "Bearer test-key-1"))


@pytest.fixture(scope="session")
def accept_request() -> Callable[[bytes], None]:
    """Fails for a request body that the service would refuse."""

    def accept(body: bytes) -> None:
        refused = openai_responses(ReceivedRequest(method="POST", target="/v1/responses", headers=HEADERS, body=body))
        assert refused is None, refused

    return accept


@pytest.fixture(scope="session")
def accept_stream() -> Callable[[Iterable[Frame]], list[dict[str, Any]]]:
    """The events of a stream, each of the SDK's types, named and numbered as they must be."""

    def accept(frames: Iterable[Frame]) -> list[dict[str, Any]]:
        events = []
        for number, frame in enumerate(frames):
            event = json.loads(frame.data)
            EVENT.validate_python(event, strict=True)
            assert event["type"] == frame.event
            assert event["sequence_number"] == number
            events.append(event)
        return events

    return accept


@pytest.fixture(scope="session")
def accept_response() -> Callable[[bytes], dict[str, Any]]:
    def accept(body: bytes) -> dict[str, Any]:
        Response.model_validate_json(body, strict=True)
        decoded: dict[str, Any] = msgspec.json.decode(body)
        return decoded

    return accept


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
            case TextDelta(index=index) | ReasoningDelta(index=index) | ToolArgumentsDelta(index=index):
                field = "arguments" if isinstance(parts[index], ToolCallPart) else "text"
                said = getattr(parts[index], field) + event.text
                parts[index] = msgspec.structs.replace(parts[index], **{field: said})
            case MetadataDelta(index=index, provider_metadata=added):
                merged = dict(parts[index].provider_metadata)
                for dialect, values in added.items():
                    merged[dialect] = {**merged.get(dialect, {}), **values}
                parts[index] = msgspec.structs.replace(parts[index], provider_metadata=merged)
            case UsageUpdate():
                usage = event.usage
            case ResponseEnd():
                end = event
    assert end is not None, "no ResponseEnd"
    return ChatResponse(
        id=start.id,
        model=start.model,
        parts=tuple(parts[index] for index in sorted(parts)),
        finish_reason=end.finish_reason,
        usage=usage,
    )
