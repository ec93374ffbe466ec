"""What has to come back to its maker: through every client of this dialect, and to nobody else."""

import base64

import msgspec
import pytest
from google.genai.types import GenerateContentResponse

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    Headers,
    Message,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    carry,
)
from omniroute.testing import explode, has_carrier
from omniroute_translator_gemini.signatures import read_signature, shown_signature

OWN = {"gemini": {"thought_signature": "Ab+/9w=="}}
CLAUDE = {"anthropic": {"signature": "EgF0+/=="}}
SEALED = {"openai-responses": {"encrypted_content": "gAAA", "id": "rs_1"}}
HI = Message(role="user", parts=(TextPart(text="hi"),))
REQUEST = ChatRequest(model="m", messages=(HI,), tools=(Tool(name="f"),))
PARAMS = {"model": "m", "stream": "false"}


def call(call_id, metadata=None):
    return ToolCallPart(id=call_id, name="f", arguments="{}", provider_metadata=metadata or {})


def thought(text, metadata):
    return ReasoningPart(text=text, provider_metadata=metadata)


def whole(translator, parts):
    answer = ChatResponse(id="r", model="m", parts=tuple(parts), finish_reason="tool_calls")
    return [msgspec.json.decode(translator.encode_response(answer, REQUEST))]


def streamed(translator, parts):
    answer = ChatResponse(id="r", model="m", parts=tuple(parts), finish_reason="tool_calls")
    encoder = translator.response_encoder(REQUEST)
    return [msgspec.json.decode(frame.data) for event in explode(answer) for frame in encoder.feed(event)]


# --- clients: what they make of an answer when they send it back ------------------------------------------------------


def as_it_came(chunks):
    """Adjoining texts of one kind are joined, as all of them do."""
    parts = []
    for part in (part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]):
        if parts and "text" in part and "text" in parts[-1] and part.get("thought") == parts[-1].get("thought"):
            parts[-1] = {**parts[-1], **part, "text": parts[-1]["text"] + part["text"]}
        else:
            parts.append(part)
    return [part for part in parts if part != {"text": ""}]


def without_thoughts(chunks):
    return [part for part in as_it_came(chunks) if not part.get("thought")]


def through_the_python_sdk(chunks):
    """It reads signatures as bytes and writes them in the alphabet for URLs."""
    read = [GenerateContentResponse._from_response(response=chunk, kwargs={}) for chunk in chunks]
    return as_it_came([msgspec.json.decode(chunk.model_dump_json(by_alias=True, exclude_none=True)) for chunk in read])


def sent_back(translator, parts):
    results = [
        {"functionResponse": {"id": part["functionCall"]["id"], "name": "f", "response": {}}}
        for part in parts
        if "functionCall" in part
    ]
    contents = [
        {"parts": [{"text": "hi"}]},
        {"role": "model", "parts": parts},
        {"parts": results or [{"text": "go on"}]},
    ]
    body = msgspec.json.encode({"contents": contents})
    return body, translator.decode_request(body, PARAMS, Headers({})).messages[1].parts


ANSWERS = [
    pytest.param([thought("Hm.", CLAUDE), call("1")], id="signed thinking before a call"),
    pytest.param([thought("", {"anthropic": {"redacted_data": "x"}}), call("1")], id="redacted thinking"),
    pytest.param([thought("a", CLAUDE), thought("b", SEALED), call("1", SEALED), call("2")], id="of several makers"),
    pytest.param([thought("a", CLAUDE), call("1"), thought("b", CLAUDE), call("2")], id="thinking between calls"),
    pytest.param([call("1", {**OWN, "openai-chat": {"extra_content": {"x": 1}}})], id="beside the vendor's own"),
]


@pytest.mark.parametrize("way", [whole, streamed])
@pytest.mark.parametrize("client", [as_it_came, without_thoughts, through_the_python_sdk])
@pytest.mark.parametrize("parts", ANSWERS)
def test_what_other_vendors_want_back_comes_back_through_every_client(translator, parts, client, way):
    """Also through one that drops thoughts: the call they led to brings them along."""
    body, found = sent_back(translator, client(way(translator, parts)))
    assert list(found) == parts
    assert has_carrier(body)


@pytest.mark.parametrize("way", [whole, streamed])
@pytest.mark.parametrize("client", [as_it_came, without_thoughts])
def test_the_vendors_own_signatures_are_not_touched(translator, client, way):
    parts = [thought("Hm.", OWN), TextPart(text="Ok.", provider_metadata=OWN), call("1", OWN), call("2")]
    body, found = sent_back(translator, client(way(translator, parts)))
    assert list(found) == (parts if client is as_it_came else parts[1:])
    assert body.count(b'"thoughtSignature":"Ab+/9w=="') == len(found) - 1
    assert not has_carrier(body)


@pytest.mark.parametrize("parts", ANSWERS)
def test_a_carrier_never_goes_upstream(translator, parts):
    _, found = sent_back(translator, as_it_came(whole(translator, parts)))
    results = tuple(ToolResultPart(call_id=part.id) for part in found if isinstance(part, ToolCallPart))
    turns = (HI, Message(role="assistant", parts=found), Message(role="tool", parts=results))
    request = msgspec.structs.replace(REQUEST, messages=turns)
    outgoing = translator.encode_request(request)
    assert not has_carrier(outgoing.body)
    assert [loss for loss in outgoing.losses if loss.kind == "dropped"]
    for secret in (b"EgF0", b"gAAA"):
        assert secret not in outgoing.body


def test_the_same_metadata_make_the_same_carrier():
    assert shown_signature({**CLAUDE, **SEALED}) == shown_signature({**SEALED, **CLAUDE})


def test_a_signature_is_base64_whatever_it_carries():
    base64.b64decode(shown_signature(CLAUDE, [thought("é", CLAUDE)]), validate=True)


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param("", {}, id="empty"),
        pytest.param("skip_thought_signature_validator", {}, id="the placeholder is nobody's"),
        pytest.param("Ab+/9w==", OWN, id="the vendor's own"),
        pytest.param(carry(CLAUDE), {"gemini": {"thought_signature": carry(CLAUDE)}}, id="another field's carrier"),
        pytest.param(shown_signature(CLAUDE)[:-6], {}, id="a carrier cut short"),
        pytest.param(shown_signature(CLAUDE)[:12] + "!!!!", {}, id="a carrier that is damaged"),
        pytest.param(
            base64.b64encode(carry({"gemini": {"thoughts": [1, {"text": 5}]}, **CLAUDE}).encode()).decode(),
            CLAUDE,
            id="a carrier with something odd in it",
        ),
        pytest.param(
            base64.b64encode(carry({"gemini": {"part": 5, "thought_signature": "c2ln"}}).encode()).decode(),
            {"gemini": {"thought_signature": "c2ln"}},
            id="a carrier with something in it that nobody carries",
        ),
    ],
)
def test_signatures_are_read(text, metadata):
    signed = read_signature(text)
    assert (signed.metadata, list(signed.thoughts)) == (metadata, [])
