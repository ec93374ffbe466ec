import importlib.util
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import msgspec
import pytest

from omniroute.contracts import Ingress, Outgoing, RequestHead
from omniroute.errors import InvalidRequest, StreamBroken, UpstreamFailed, UpstreamGarbled
from omniroute.framing import FRAMINGS
from omniroute.model import (
    ChatRequest,
    ChatResponse,
    Loss,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    Usage,
)
from omniroute.translating import translate_answer, translate_request, translate_stream


def load_toy():
    """A module beside this one; the tests are no package."""
    spec = importlib.util.spec_from_file_location("toy_dialect", Path(__file__).with_name("toy_dialect.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Toy()


TOY = load_toy()
CALL = ToolCallPart(id="c1", name="look", arguments='{"at": 1}')


def lines(*events):
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


START = {"start": ["a1", "some-model"]}
TEXT = [{"part": [0, "text", ""]}, {"more": [0, "text", "hi"]}, {"end": 0}]
FINISH = {"finish": "stop"}


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_is_decoded_and_encoded():
    body = b'{"model":"m","stream":false,"max":null,"turns":[["user",[["text","hi"]]]]}'
    translated = translate_request(body, TOY, TOY, model="unused", max_depth=64)
    assert msgspec.json.decode(translated.body)["turns"] == [["user", [["text", "hi"]]]]
    assert translated.losses == ()


def test_losses_of_both_sides_are_told():
    one, two = (Loss(pointer=f"/{name}", kind="dropped", reason="why") for name in ("in", "out"))
    asked = ChatRequest(model="m", messages=(), losses=(one,))
    source = SimpleNamespace(ingress=(), read_head=lambda *_: RequestHead(model="m"), decode_request=lambda *_: asked)
    target = SimpleNamespace(encode_request=lambda _: Outgoing(body=b"{}", losses=(two,)))
    assert translate_request(b"{}", source, target, model="m", max_depth=64).losses == (one, two)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/x/chat", {"operation": "chat", "way": "main"}),
        ("/x/{model}:go", {"operation": "chat", "way": "main", "model": "named"}),
    ],
)
def test_a_dialect_gets_the_parameters_of_its_first_path_for_chats(path, expected):
    seen = []

    def read_head(body, params, headers):
        seen.append(dict(params))
        return RequestHead(model="m")

    source = SimpleNamespace(
        ingress=(
            Ingress(path="/x/count", operation="count_tokens"),
            Ingress(path=path, operation="chat", params={"way": "main"}),
            Ingress(path="/x/other", operation="chat", params={"way": "other"}),
        ),
        read_head=read_head,
        decode_request=lambda *_: ChatRequest(model="m", messages=(Message(role="user", parts=()),)),
    )
    target = SimpleNamespace(encode_request=lambda _: Outgoing(body=b"{}"))
    translate_request(b"{}", source, target, model="named", max_depth=64)
    assert seen == [expected]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff{}", b"[" * 100 + b"]" * 100, b'{"model":'])
def test_what_is_no_request_is_refused(body):
    with pytest.raises(InvalidRequest):
        translate_request(body, TOY, TOY, model="m", max_depth=64)


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_whole_stream_loses_nothing_between_equal_dialects():
    data = lines(START, *TEXT, {"usage": Usage(input_tokens=3)}, FINISH)
    translated = translate_stream(data, TOY, TOY, FRAMINGS)
    assert translated.body == data
    assert (translated.losses, translated.bad_events, translated.error) == ((), 0, None)


@pytest.mark.parametrize(
    ("end", "kind", "said"),
    [
        pytest.param([], StreamBroken, "no finish", id="a break"),
        pytest.param([{"error": "out of order"}], UpstreamFailed, "out of order", id="an error"),
    ],
)
def test_a_stream_without_its_end_ends_in_the_error_a_client_would_get(end, kind, said):
    translated = translate_stream(lines(START, *TEXT, *end), TOY, TOY, FRAMINGS)
    assert translated.body == lines(START, *TEXT, {"error": said})
    assert type(translated.error) is kind


def test_malformed_events_are_skipped_and_counted():
    translated = translate_stream(lines(START, {"odd": 1}, *TEXT, FINISH), TOY, TOY, FRAMINGS)
    assert translated.body == lines(START, *TEXT, FINISH)
    assert translated.bad_events == 1


@pytest.mark.parametrize("data", [b"", b"\n\n", b"plain text", lines({"odd": 1}) * 9])
def test_what_is_no_stream_of_the_dialect_is_refused(data):
    with pytest.raises(UpstreamGarbled, match="no event of toy"):
        translate_stream(data, TOY, TOY, FRAMINGS)


# --- answers ----------------------------------------------------------------------------------------------------------


ANSWER = ChatResponse(
    id="a1",
    model="m",
    parts=(ReasoningPart(text="hmm"), TextPart(text="hi"), CALL),
    finish_reason="tool_calls",
    usage=Usage(input_tokens=9, output_tokens=4),
)


def losses(before: ChatResponse, after: ChatResponse):
    """What is told when one answer becomes another."""
    source = SimpleNamespace(operations=TOY.operations, decode_response=lambda _: before)
    target = SimpleNamespace(
        operations=TOY.operations, encode_response=lambda *_: b"{}", decode_response=lambda _: after
    )
    found = translate_answer(b"", source, target).losses
    return [(loss.kind, loss.pointer, loss.reason) for loss in found]


def change(**fields):
    return msgspec.structs.replace(ANSWER, **fields)


def test_an_answer_is_decoded_and_encoded():
    body = TOY.encode_response(ANSWER, ChatRequest(model="m", messages=()))
    translated = translate_answer(body, TOY, TOY)
    assert (translated.body, translated.losses) == (body, ())


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(ANSWER, change(id="other", model="other"), [], id="ids are each dialect's own"),
        pytest.param(
            ANSWER,
            change(parts=(TextPart(text="hi"), CALL)),
            [("dropped", "/parts", "Reasoning is not carried")],
            id="thinking",
        ),
        pytest.param(
            change(parts=(TextPart(text="h"), TextPart(text="i"))),
            change(parts=(TextPart(text="hi"),)),
            [],
            id="joined text",
        ),
        pytest.param(
            ANSWER,
            change(parts=(*ANSWER.parts[:2], msgspec.structs.replace(CALL, arguments="{}"))),
            [("approximated", "/parts", "ToolCall differs")],
            id="arguments",
        ),
        pytest.param(
            ANSWER,
            change(parts=ANSWER.parts[::-1]),
            [("approximated", "/parts", "parts stand in another order")],
            id="order",
        ),
        pytest.param(
            change(parts=(ReasoningPart(text="hmm", provider_metadata={"d": {"signature": "s"}}),)),
            change(parts=(ReasoningPart(text="hmm"),)),
            [("dropped", "/parts/0/provider_metadata/d/signature", "there is no place for it")],
            id="a signature",
        ),
        pytest.param(
            ANSWER,
            change(finish_reason="stop"),
            [("approximated", "/finish_reason", "'tool_calls' became 'stop'")],
            id="finish reason",
        ),
        pytest.param(
            change(stop_sequence="END"),
            ANSWER,
            [("dropped", "/stop_sequence", "'END' is not said")],
            id="stop sequence",
        ),
        pytest.param(
            change(usage=Usage(input_tokens=9, output_tokens=4, cached_tokens=3)),
            ANSWER,
            [("dropped", "/usage/cached_tokens", "3 is not said")],
            id="a share of usage",
        ),
        pytest.param(change(usage=None), ANSWER, [], id="usage that was not counted is not compared"),
        pytest.param(
            ANSWER,
            change(stop_sequence="END"),
            [("invented", "/stop_sequence", "'END' was not said")],
            id="an invention",
        ),
        pytest.param(
            change(extensions={"d": {"tier": "x"}}),
            ANSWER,
            [("dropped", "/extensions/d/tier", "there is no place for it")],
            id="a field of the dialect's own",
        ),
    ],
)
def test_what_an_answer_no_longer_says_is_told(before, after, told):
    assert losses(before, after) == told


# --- dialects of clients only -----------------------------------------------------------------------------------------


class ClientsOnly(type(TOY)):
    operations = MappingProxyType({})


def test_what_is_never_read_has_no_losses_that_could_be_told():
    body = TOY.encode_response(ANSWER, ChatRequest(model="m", messages=()))
    data = lines(START, *TEXT, FINISH)
    assert translate_answer(body, TOY, ClientsOnly()).losses is None
    assert translate_stream(data, TOY, ClientsOnly(), FRAMINGS).losses is None


def test_an_answer_of_a_dialect_without_upstreams_is_refused():
    with pytest.raises(InvalidRequest, match="no upstream answers in toy"):
        translate_answer(b"{}", ClientsOnly(), TOY)
    with pytest.raises(InvalidRequest, match="no upstream answers in toy"):
        translate_stream(lines(START, FINISH), ClientsOnly(), TOY, FRAMINGS)
