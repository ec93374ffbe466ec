"""The translator, its vendor's SDK and the service's rules as judges of what it sends and answers."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import msgspec
import pytest
from google.genai._api_client import HttpResponse
from google.genai.types import GenerateContentResponse

from omniroute.api import ChatRequest, Event, Frame, Headers
from omniroute.testing import FRAMINGS, ReceivedRequest
from omniroute.testing.strict import gemini
from omniroute_translator_gemini import GeminiTranslator

MODEL = "gemini-2.5-flash"


@pytest.fixture
def translator() -> GeminiTranslator:
    """Its own ids are id1, id2, …"""
    numbers = itertools.count(1)
    return GeminiTranslator(new_id=lambda: f"id{next(numbers)}")


@pytest.fixture
def decode(translator: GeminiTranslator) -> Callable[..., ChatRequest]:
    """A wire request to the canonical one; `contents` are filled in."""

    def decode_wire(
        *, params: dict[str, str] | None = None, headers: dict[bytes, bytes] | None = None, **wire: Any
    ) -> Any:
        wire = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], **wire}
        params = {"operation": "chat", "model": MODEL, "stream": "false", **(params or {})}
        return translator.decode_request(msgspec.json.encode(wire), params, Headers(headers or {}))

    return decode_wire


@pytest.fixture
def encode(translator: GeminiTranslator, accept_request: Callable[..., None]) -> Callable[..., Any]:
    """A canonical request to (wire, losses as `kind pointer`), judged by the service's rules."""

    def encode_request(request: ChatRequest) -> tuple[dict[str, Any], list[str]]:
        outgoing = translator.encode_request(request)
        accept_request(outgoing.body, request.model)
        return msgspec.json.decode(outgoing.body), [f"{loss.kind} {loss.pointer}" for loss in outgoing.losses]

    return encode_request


@pytest.fixture(scope="session")
def accept_request() -> Callable[..., None]:
    """Raises for a body that the service would refuse: by the SDK's types, and by what types cannot say."""

    def accept(body: bytes, model: str = MODEL, verb: str = "generateContent") -> None:
        headers = (("x-goog-api-key", "test-key-1"), ("content-type", "application/json"))
        target = f"/v1beta/models/{model}:{verb}"
        refusal = gemini(ReceivedRequest(method="POST", target=target, headers=headers, body=body))
        assert refusal is None, refusal

    return accept


@pytest.fixture(scope="session")
def accept_answer() -> Callable[[bytes], dict[str, Any]]:
    """Reads a whole answer, or one chunk of a stream; raises where the SDK's types know a field not or otherwise."""

    def accept(chunk: bytes) -> dict[str, Any]:
        GenerateContentResponse.model_validate_json(chunk, by_alias=True, by_name=False)
        assert b"\n" not in chunk
        for character in "\u2028\u2029\u0085":
            assert character.encode() not in chunk
        read: dict[str, Any] = msgspec.json.decode(chunk)
        return read

    return accept


@pytest.fixture(scope="session")
def sdk_stream() -> Callable[[Iterable[Frame]], list[Any]]:
    """What the SDK makes of a stream: its chunks, as it shows them to its callers."""

    def read(frames: Iterable[Frame]) -> list[Any]:
        stream = httpx.ByteStream(b"".join(map(FRAMINGS["sse"].encode, frames)))
        segments = HttpResponse({}, httpx.Response(200, stream=stream)).segments()
        return [GenerateContentResponse._from_response(response=segment, kwargs={}) for segment in segments]

    return read


@pytest.fixture
def events_of(translator: GeminiTranslator) -> Callable[[Iterable[Frame]], list[Event]]:
    """All events of a stream of the upstream's."""

    def read(frames: Iterable[Frame]) -> list[Event]:
        decoder = translator.response_decoder()
        events = [event for frame in frames for event in decoder.feed(frame)]
        return [*events, *decoder.close()]

    return read
