"""Answers to clients: every event and every whole answer of the SDK's types, and both saying the same."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from omniroute.api import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    ContextTooLong,
    Event,
    FilePart,
    Frame,
    Headers,
    ImagePart,
    Message,
    MetadataDelta,
    PartEnd,
    PartStart,
    Ping,
    RateLimited,
    Reasoning,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseFormat,
    ResponseStart,
    Sampling,
    StreamBroken,
    TextDelta,
    TextPart,
    Tool,
    ToolArgumentsDelta,
    ToolCallPart,
    ToolChoice,
    UpstreamFailed,
    UpstreamRefused,
    Usage,
    UsageUpdate,
    carried,
)
from omniroute_translator_openai_responses import OpenAIResponses

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TRANSLATOR = OpenAIResponses(now=lambda: 1_700_000_000.0, new_id=lambda: "fresh")
DIALECT = "openai-responses"
HI = Message(role="user", parts=(TextPart(text="hi"),))
PLAIN = ChatRequest(model="m", messages=(HI,), stream=True, extensions={DIALECT: {}})
PATCH = Tool(name="patch", kind="custom")
WITH_TOOLS = msgspec.structs.replace(PLAIN, tools=(Tool(name="f"), PATCH))
USAGE = Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=2)
USAGE_WIRE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
SIGNED = {"anthropic": {"signature": "c2ln"}}
SEALED = {DIALECT: {"encrypted_content": "c2Vh", "id": "rs_1"}}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}


def answer(*parts: Any, finish: Any = "stop", usage: Usage | None = USAGE) -> ChatResponse:
    return ChatResponse(id="up-1", model="m", parts=parts, finish_reason=finish, usage=usage)


def explode(response: ChatResponse) -> Iterator[Event]:
    """The events of a whole answer."""
    yield ResponseStart(id=response.id, model=response.model)
    for index, part in enumerate(response.parts):
        match part:
            case TextPart():
                yield PartStart(index=index, part=msgspec.structs.replace(part, text=""))
                yield TextDelta(index=index, text=part.text)
            case ReasoningPart():
                yield PartStart(index=index, part=ReasoningPart(text=""))
                yield ReasoningDelta(index=index, text=part.text)
                yield MetadataDelta(index=index, provider_metadata=part.provider_metadata)
            case ToolCallPart():
                yield PartStart(index=index, part=msgspec.structs.replace(part, arguments=""))
                yield ToolArgumentsDelta(index=index, text=part.arguments)
            case _:
                yield PartStart(index=index, part=part)
        yield PartEnd(index=index)
    if response.usage is not None:
        yield UsageUpdate(usage=response.usage)
    yield ResponseEnd(finish_reason=response.finish_reason)


def encoded(events: Iterable[Event], request: ChatRequest = WITH_TOOLS) -> list[Frame]:
    encoder = TRANSLATOR.response_encoder(request)
    found = [frame for event in events for frame in encoder.feed(event)]
    return [*found, *encoder.close()]


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}", **metadata: Any) -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments, provider_metadata=metadata)


ANSWERS = [
    pytest.param(answer(TextPart(text="Hé😀\u2028.")), id="text"),
    pytest.param(answer(TextPart(text="a"), TextPart(text="b")), id="texts"),
    pytest.param(answer(TextPart(text="")), id="a text of nothing"),
    pytest.param(answer(), id="nothing"),
    pytest.param(answer(TextPart(text="No.", provider_metadata={"openai-chat": {"refusal": True}})), id="refusal"),
    pytest.param(answer(TextPart(text="a", provider_metadata={DIALECT: {"phase": "commentary"}})), id="phase"),
    pytest.param(answer(ReasoningPart(text="Hm."), TextPart(text="a")), id="reasoning"),
    pytest.param(answer(ReasoningPart(text="Hm.", provider_metadata=SIGNED), TextPart(text="a")), id="signed"),
    pytest.param(answer(ReasoningPart(text="Hm.", provider_metadata=SEALED), TextPart(text="a")), id="sealed"),
    pytest.param(
        answer(ReasoningPart(text="", provider_metadata={"anthropic": {"redacted_data": "eHl6"}}), TextPart(text="a")),
        id="redacted",
    ),
    pytest.param(answer(TextPart(text="a"), call(), call("c2", arguments='{"a": 1}'), finish="tool_calls"), id="calls"),
    pytest.param(answer(call(), TextPart(text="a"), finish="tool_calls"), id="a text after a call"),
    pytest.param(answer(call(arguments=""), finish="tool_calls"), id="no arguments"),
    pytest.param(
        answer(call(name="patch", arguments='{"input":"+ \\"é\\"\\n"}'), call("c2"), finish="tool_calls"), id="custom"
    ),
    pytest.param(answer(call(name="patch", arguments='{"input":""}'), finish="tool_calls"), id="no input"),
    pytest.param(
        answer(call(gemini={"thought_signature": "c2ln"}), call("c2"), finish="tool_calls"), id="a signed call"
    ),
    pytest.param(answer(TextPart(text="a"), call(arguments='{"a'), finish="length"), id="cut in a call"),
    pytest.param(answer(TextPart(text="a"), finish="length", usage=None), id="no usage"),
    pytest.param(answer(TextPart(text="a"), finish="content_filter"), id="filtered"),
    pytest.param(answer(TextPart(text="a"), finish="refusal"), id="refused"),
    pytest.param(answer(TextPart(text="a"), finish="pause"), id="paused"),
    pytest.param(
        answer(
            TextPart(text="", provider_metadata={DIALECT: {"item": Raw(msgspec.json.encode(SEARCH))}}),
            TextPart(text="a"),
        ),
        id="an item of its own",
    ),
    pytest.param(answer(ImagePart(media_type="image/png", data="AAAA")), id="picture"),
    pytest.param(
        answer(ImagePart(url="https://x.example/a.png"), FilePart(url="https://x.example/b"), AudioPart(format="wav", data="AA==")),
        id="files",
    ),
    pytest.param(answer(call("c" * 80), finish="tool_calls"), id="a long id"),
]  # fmt: skip


@pytest.mark.parametrize("response", ANSWERS)
def test_a_stream_ends_with_the_whole_answer(response, accept_stream, accept_response):
    events = accept_stream(encoded(explode(response)))
    whole = accept_response(TRANSLATOR.encode_response(response, WITH_TOOLS))
    assert events[-1]["response"] == whole
    assert events[-1]["type"] == f"response.{whole['status']}"


@pytest.mark.parametrize("response", ANSWERS)
def test_the_events_of_an_item_agree_with_it(response, accept_stream):
    events = accept_stream(encoded(explode(response)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert all(event["response"]["output"] == [] for event in events[:2])
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    added = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["output_index"] for event in added] == list(range(len(done)))
    ids = [item["id"] for item in done]
    assert len(set(ids)) == len(ids)
    assert all(len(item_id) <= 64 for item_id in ids)
    assert [(event["item"]["id"], event["item"]["type"]) for event in added] == [(i["id"], i["type"]) for i in done]
    for event in events:
        if "item_id" in event:
            assert event["item_id"] == ids[event["output_index"]]
    for name, field in (
        ("output_text", "text"),
        ("refusal", "refusal"),
        ("reasoning_summary_text", "text"),
        ("function_call_arguments", "arguments"),
        ("custom_tool_call_input", "input"),
    ):
        wholes = {e["item_id"]: e[field] for e in events if e["type"] == f"response.{name}.done"}
        for item_id, whole in wholes.items():
            said = [e["delta"] for e in events if e["type"] == f"response.{name}.delta" and e["item_id"] == item_id]
            assert "".join(said) == whole


@pytest.mark.parametrize("response", ANSWERS)
def test_what_a_client_gets_reads_back_as_what_it_was(response, fold):
    whole = TRANSLATOR.decode_response(TRANSLATOR.encode_response(response, WITH_TOOLS))
    decoder = TRANSLATOR.response_decoder()
    found = [event for frame in encoded(explode(response)) for event in decoder.feed(frame)]
    assert fold([*found, *decoder.close()]) == whole
    assert whole.usage == response.usage
    texts = [part.text for part in response.parts if isinstance(part, TextPart) and part.text]
    assert [part.text for part in whole.parts if isinstance(part, TextPart) and part.text][: len(texts)] == texts


@pytest.mark.parametrize("response", ANSWERS)
def test_the_sdk_adds_a_stream_up_to_the_whole_answer(response):
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    told = [EVENT.validate_json(frame.data) for frame in encoded(explode(response))]
    handled = [event for one in told for event in state.handle_event(one)]
    whole = Response.model_validate_json(TRANSLATOR.encode_response(response, WITH_TOOLS))
    assert handled[-1].response.output_text == whole.output_text
    assert [item.id for item in handled[-1].response.output] == [item.id for item in whole.output]


def test_the_events_of_an_answer_come_in_their_order(accept_stream):
    response = answer(ReasoningPart(text="Hm."), TextPart(text="a"), call(), finish="tool_calls")
    assert [event["type"].removeprefix("response.") for event in accept_stream(encoded(explode(response)))] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("pause", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("refusal", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_every_finish_reason_has_a_status(finish, status, reason, accept_response):
    body = accept_response(TRANSLATOR.encode_response(answer(call(), finish=finish), WITH_TOOLS))
    assert (body["status"], body["incomplete_details"]) == (status, reason)


def test_an_answer_that_ended_in_an_error_is_one():
    with pytest.raises(UpstreamFailed):
        TRANSLATOR.encode_response(answer(finish="error"), PLAIN)
    frames = encoded([ResponseStart(id="x", model="m"), ResponseEnd(finish_reason="error")])
    assert frames[-1].event == "response.failed"


def test_usage_has_all_its_details(accept_response):
    assert accept_response(TRANSLATOR.encode_response(answer(), PLAIN))["usage"] == USAGE_WIRE
    assert accept_response(TRANSLATOR.encode_response(answer(usage=None), PLAIN))["usage"] is None


# --- the response -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("upstream", "shown"), [("resp_1", "resp_1"), ("msg_1", "resp_msg_1"), ("", "resp_fresh")])
def test_the_id_is_made_of_the_upstreams(upstream, shown, accept_stream, accept_response):
    response = msgspec.structs.replace(answer(TextPart(text="a")), id=upstream)
    assert accept_response(TRANSLATOR.encode_response(response, PLAIN))["id"] == shown
    assert {e["response"]["id"] for e in accept_stream(encoded(explode(response))) if "response" in e} == {shown}


def test_the_request_is_said_again(accept_response):
    asked = msgspec.structs.replace(
        WITH_TOOLS,
        tool_choice=ToolChoice(mode="tool", name="f", parallel=False),
        max_output_tokens=50,
        sampling=Sampling(temperature=0.5, top_p=0.9),
        reasoning=Reasoning(effort="low", summary="auto"),
        response_format=ResponseFormat(kind="json_schema", name="n", schema=Raw(b'{"type":"object"}')),
        user="u",
        previous_response_id="resp_0",
        extensions={DIALECT: {"metadata": Raw(b'{"a":"b"}'), "store": Raw(b"false"), "truncation": Raw(b'"auto"')}},
    )
    body = accept_response(TRANSLATOR.encode_response(answer(), asked))
    wanted = {
        "object": "response",
        "created_at": 1_700_000_000,
        "model": "m",
        "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "patch"}],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "max_output_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "user": "u",
        "previous_response_id": "resp_0",
        "metadata": {"a": "b"},
        "store": False,
        "truncation": "auto",
        "error": None,
    }
    assert {name: body[name] for name in wanted} == wanted


def test_what_was_not_said_has_its_default(accept_response):
    body = accept_response(TRANSLATOR.encode_response(answer(), PLAIN))
    wanted = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "text": {"format": {"type": "text"}}}
    assert {name: body[name] for name in wanted} == wanted


# --- items --------------------------------------------------------------------------------------------------------------


def items_of(*parts: Any, request: ChatRequest = WITH_TOOLS) -> list[dict[str, Any]]:
    body: dict[str, Any] = json.loads(TRANSLATOR.encode_response(answer(*parts, finish="tool_calls"), request))
    return body["output"]


def test_a_foreign_signature_travels_in_the_reasoning_item():
    (item,) = items_of(ReasoningPart(text="Hm.", provider_metadata=SIGNED))
    assert carried(item["encrypted_content"]) == SIGNED
    assert item["summary"] == [{"type": "summary_text", "text": "Hm."}]


def test_reasoning_of_this_dialect_is_sealed_as_it_was():
    (item,) = items_of(ReasoningPart(text="Hm.", provider_metadata=SEALED))
    assert item["encrypted_content"] == "c2Vh"


def test_reasoning_of_nobody_is_marked_too():
    """So that a gateway knows it again: a service asked to look its id up would answer 404."""
    (item,) = items_of(ReasoningPart(text="Hm."))
    assert carried(item["encrypted_content"]) == {}


def test_a_foreign_signature_of_a_call_travels_beside_it():
    signed = {"gemini": {"thought_signature": "c2ln"}}
    carrier, item = items_of(call(**signed))
    assert carried(carrier["encrypted_content"]) == {**signed, DIALECT: {"call_id": "c1"}}
    assert (carrier["type"], carrier["summary"], item["type"]) == ("reasoning", [], "function_call")


def test_a_signature_that_comes_late_travels_behind_the_call(accept_stream):
    events = [
        ResponseStart(id="x", model="m"),
        PartStart(index=0, part=call(arguments="")),
        ToolArgumentsDelta(index=0, text="{}"),
        MetadataDelta(index=0, provider_metadata={"gemini": {"thought_signature": "c2ln"}}),
        PartEnd(index=0),
        ResponseEnd(finish_reason="tool_calls"),
    ]
    item, carrier = accept_stream(encoded(events))[-1]["response"]["output"]
    assert item["type"] == "function_call"
    assert carried(carrier["encrypted_content"]) == {
        "gemini": {"thought_signature": "c2ln"},
        DIALECT: {"call_id": "c1"},
    }


def test_everything_a_client_brings_back_reaches_its_maker():
    parts = (
        ReasoningPart(text="Hm.", provider_metadata=SIGNED),
        ReasoningPart(text="", provider_metadata={"anthropic": {"redacted_data": "eHl6"}}),
        TextPart(text="a"),
        call(gemini={"thought_signature": "c2ln"}),
        call("c2", "patch", '{"input":"+"}'),
    )
    history = items_of(*parts)
    body = msgspec.json.encode({"model": "m", "input": [{"role": "user", "content": "hi"}, *history]})
    assert TRANSLATOR.decode_request(body, {}, Headers({})).messages[1].parts == parts


def test_citations_are_shown():
    annotation = {"type": "url_citation", "url": "https://x.example", "title": "X", "start_index": 0, "end_index": 1}
    own = {"annotations": [Raw(msgspec.json.encode(annotation))]}
    (item,) = items_of(TextPart(text="a", provider_metadata={DIALECT: own}))
    assert item["content"][0]["annotations"] == [annotation]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [("{}", "completed"), ("", "completed"), ('{"a": 1}', "completed"), ('{"a', "incomplete"), ("odd", "completed")],
)
def test_a_call_that_was_cut_says_so(arguments, status):
    (item,) = items_of(call(arguments=arguments))
    assert item["status"] == status


# --- the stream ---------------------------------------------------------------------------------------------------------


def test_deltas_of_parts_side_by_side_find_their_items(accept_stream):
    events = [
        ResponseStart(id="x", model="m"),
        PartStart(index=0, part=call("c1", arguments="")),
        PartStart(index=1, part=call("c2", "patch", arguments="")),
        PartStart(index=2, part=TextPart(text="")),
        ToolArgumentsDelta(index=1, text='{"input":"'),
        ToolArgumentsDelta(index=0, text="{"),
        TextDelta(index=2, text="a"),
        Ping(),
        ToolArgumentsDelta(index=1, text='+"}'),
        ToolArgumentsDelta(index=0, text="}"),
        PartEnd(index=2),
        PartEnd(index=1),
        PartEnd(index=0),
        UsageUpdate(usage=USAGE),
        ResponseEnd(finish_reason="tool_calls"),
    ]
    output = accept_stream(encoded(events))[-1]["response"]["output"]
    assert [(item["type"], item.get("arguments", item.get("input"))) for item in output] == [
        ("function_call", "{}"),
        ("custom_tool_call", "+"),
        ("message", None),
    ]


def test_the_last_usage_counts(accept_stream):
    events = [
        ResponseStart(id="x", model="m"),
        UsageUpdate(usage=Usage(input_tokens=1)),
        UsageUpdate(usage=USAGE),
        ResponseEnd(finish_reason="stop"),
    ]
    assert accept_stream(encoded(events))[-1]["response"]["usage"] == USAGE_WIRE


def test_nothing_follows_the_last_event():
    frames = encoded(explode(answer(TextPart(text="a"))))
    assert frames[-1].event == "response.completed"
    assert TRANSLATOR.response_encoder(PLAIN).close() == ()


ERRORS = [
    pytest.param(UpstreamFailed("it broke", fix="try again"), "server_error", id="server"),
    pytest.param(RateLimited("slow"), "rate_limit_exceeded", id="limit"),
    pytest.param(UpstreamRefused("bad"), "invalid_prompt", id="refused"),
    pytest.param(ContextTooLong("long"), "invalid_prompt", id="context"),
    pytest.param(StreamBroken("cut"), "server_error", id="broken"),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_a_failure_is_the_last_event(error, code, count, accept_stream):
    encoder = TRANSLATOR.response_encoder(PLAIN)
    events = list(explode(answer(TextPart(text="a"))))[:count]
    frames = [frame for event in events for frame in encoder.feed(event)]
    last = accept_stream([*frames, *encoder.fail(error)])[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    retryable = error.try_next or error.try_same
    assert last["response"]["error"] == {"code": code, "message": error.text, "retryable": retryable}
    assert encoder.close() == ()


def test_a_failure_keeps_what_was_finished(accept_stream):
    encoder = TRANSLATOR.response_encoder(PLAIN)
    events = [*list(explode(answer(TextPart(text="a"))))[:4], PartStart(index=1, part=TextPart(text=""))]
    frames = [frame for event in [*events, TextDelta(index=1, text="b")] for frame in encoder.feed(event)]
    last = accept_stream([*frames, *encoder.fail(UpstreamFailed("it broke"))])[-1]
    assert [item["content"][0]["text"] for item in last["response"]["output"]] == ["a"]


def test_ids_are_those_of_the_whole_answer_whatever_comes_first(accept_stream):
    response = answer(ReasoningPart(text="Hm."), call(), TextPart(text="a"), finish="tool_calls")
    first = accept_stream(encoded(explode(response)))[-1]["response"]["output"]
    second = accept_stream(encoded(explode(response)))[-1]["response"]["output"]
    assert [item["id"] for item in first] == [item["id"] for item in second]
    assert [item["id"].partition("_")[0] for item in first] == ["rs", "fc", "msg"]


TEXTS = st.text(max_size=10)
PARTS = st.lists(
    st.builds(TextPart, text=TEXTS)
    | st.builds(TextPart, text=TEXTS, provider_metadata=st.just({"openai-chat": {"refusal": True}}))
    | st.builds(ReasoningPart, text=TEXTS, provider_metadata=st.sampled_from([{}, SIGNED, SEALED]))
    | st.builds(call, st.just(""), st.sampled_from(["f", "g"]), st.builds(json.dumps, st.dictionaries(TEXTS, TEXTS)))
    | st.builds(call, st.just(""), st.just("patch"), TEXTS.map(lambda t: json.dumps({"input": t})))
    | st.builds(call, st.just(""), st.just("f"), st.just("{}"), gemini=st.just({"thought_signature": "c2ln"})),
    max_size=5,
)


@st.composite
def mixed(draw: st.DrawFn) -> list[Event]:
    """An answer's events: each part cut anywhere, and all mixed in any order the grammar allows."""
    parts = [
        msgspec.structs.replace(part, id=f"c{index}") if isinstance(part, ToolCallPart) else part
        for index, part in enumerate(draw(PARTS))
    ]
    queues: list[list[Event]] = []
    for index, part in enumerate(parts):
        whole = part.arguments if isinstance(part, ToolCallPart) else part.text
        cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3)))
        kind = {TextPart: TextDelta, ReasoningPart: ReasoningDelta, ToolCallPart: ToolArgumentsDelta}[type(part)]
        pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        late = (
            [MetadataDelta(index=index, provider_metadata=part.provider_metadata)]
            if isinstance(part, ReasoningPart)
            else []
        )
        queues.append([*(kind(index=index, text=piece) for piece in pieces if piece), *late, PartEnd(index=index)])
    events: list[Event] = [ResponseStart(id="x", model="m")]
    opened: list[int] = []
    while len(opened) < len(parts) or any(queues):
        ready = [index for index in opened if queues[index]]
        if len(opened) < len(parts) and (not ready or draw(st.booleans())):
            part = parts[len(opened)]
            bare = {"arguments": ""} if isinstance(part, ToolCallPart) else {"text": ""}
            if isinstance(part, ReasoningPart):
                bare["provider_metadata"] = {}
            events.append(PartStart(index=len(opened), part=msgspec.structs.replace(part, **bare)))
            opened.append(len(opened))
        else:
            events.append(queues[draw(st.sampled_from(ready))].pop(0))
    finish = "tool_calls" if any(isinstance(part, ToolCallPart) for part in parts) else "stop"
    return [*events, UsageUpdate(usage=USAGE), ResponseEnd(finish_reason=finish)]


@settings(deadline=None)
@given(mixed())
def test_any_interleaving_is_a_valid_stream_of_the_same_answer(accept_stream, fold, events):
    told = accept_stream(encoded(events))[-1]["response"]
    whole = json.loads(TRANSLATOR.encode_response(fold(events), WITH_TOOLS))

    def bare(items: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps({**item, "id": ""}, sort_keys=True) for item in items)

    assert bare(told["output"]) == bare(whole["output"])
    assert told["usage"] == whole["usage"]
