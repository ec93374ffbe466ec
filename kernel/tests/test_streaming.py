import msgspec
import pytest

from omniroute.api import (
    ChatResponse,
    Frame,
    ImagePart,
    InternalError,
    MetadataDelta,
    PartEnd,
    PartStart,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    UpstreamFailed,
    UpstreamGarbled,
    Usage,
    UsageUpdate,
)
from omniroute.framing import FRAMINGS
from omniroute.streaming import Incoming, Relay, Translation, collect, explode

SSE = FRAMINGS["sse"]
USAGE = Usage(input_tokens=3, output_tokens=2)


class ToyTap:
    """A dialect of one letter per event: t text, u usage, e error, z end, anything else is malformed."""

    def __init__(self):
        self.content = self.ended = False
        self.usage = self.error = None

    def feed(self, frame):
        match frame.data[:1]:
            case b"t":
                self.content = True
            case b"u":
                self.usage = USAGE
            case b"e":
                self.error = UpstreamFailed("upstream said so")
            case b"z":
                self.ended = True
            case b"s":
                pass
            case _:
                raise UpstreamGarbled("no such event")

    def fail(self, error):
        return [Frame(b"!" + error.code.encode())]


class ToyDecoder:
    def __init__(self):
        self.end = False

    def feed(self, frame):
        match frame.data[:1]:
            case b"s":
                yield ResponseStart(id="1", model="m")
            case b"t":
                yield TextDelta(index=0, text=frame.data[1:].decode())
            case b"c":
                yield PartStart(index=0, part=ToolCallPart(id="1", name=frame.data[1:].decode(), arguments=""))
            case b"u":
                yield UsageUpdate(usage=USAGE)
            case b"z":
                self.end = True
            case b"e":
                raise UpstreamFailed("upstream said so")
            case _:
                raise UpstreamGarbled("no such event")

    def close(self):
        if not self.end:
            raise StreamBroken("no end")
        yield ResponseEnd(finish_reason="stop")


class ToyEncoder:
    def feed(self, event):
        match event:
            case TextDelta(text=text):
                yield Frame(text.upper().encode())
            case PartStart(part=ToolCallPart(name=name)):
                yield Frame(b"call " + name.encode())

    def close(self):
        yield Frame(b"END")

    def fail(self, error):
        yield Frame(b"!" + error.code.encode())


def wire(*events):
    return b"".join(b"data: " + event + b"\n\n" for event in events)


def relay(client=None):
    return Relay(SSE, ToyTap(), client=client)


def translation(names=None, client=SSE):
    return Translation(Incoming(SSE, ToyDecoder()), ToyEncoder(), client, names or {})


def test_a_relay_gives_back_the_very_bytes_and_watches_them():
    passage, data = relay(), b": hi\n\nid: 7\ndata: s\n\n" + wire(b"ta", b"u", b"z")
    assert not passage.content
    for cut in range(len(data) + 1):
        passage = relay()
        assert passage.feed(data[:cut]) + passage.feed(data[cut:]) + passage.close() == data
        assert (passage.content, passage.ended, passage.usage) == (True, True, USAGE)


def test_a_relay_holds_back_half_an_event():
    passage = relay()
    assert passage.feed(wire(b"ta") + b"data: tb") == wire(b"ta")
    assert passage.feed(b"c\n\n") == wire(b"tbc")


@pytest.mark.parametrize("make", [relay, translation], ids=["relay", "translation"])
def test_a_stream_without_its_end_is_broken(make):
    passage = make()
    passage.feed(wire(b"s", b"ta"))
    with pytest.raises(StreamBroken):
        passage.close()
    assert passage.fail(InternalError("x")) == wire(b"!internal_error")


@pytest.mark.parametrize("make", [relay, translation], ids=["relay", "translation"])
def test_an_error_event_of_the_upstream_is_raised(make):
    with pytest.raises(UpstreamFailed, match="said so"):
        make().feed(wire(b"s", b"ta", b"e"))


@pytest.mark.parametrize("make", [relay, translation], ids=["relay", "translation"])
def test_three_malformed_events_are_skipped_and_the_fourth_ends_the_stream(make):
    passage = make()
    out = passage.feed(wire(b"s", b"ta", b"?", b"tb", b"?", b"?", b"tc"))
    assert [event for event in out.decode().lower().replace("data: t", "data: ").split() if len(event) == 1][-3:] == [
        "a",
        "b",
        "c",
    ]
    assert b"?" not in out
    assert passage.bad_events == 3
    with pytest.raises(UpstreamGarbled):
        passage.feed(wire(b"?"))


def test_the_last_event_may_lack_its_blank_line():
    passage = relay()
    assert passage.feed(wire(b"ta") + b"data: z") == wire(b"ta")
    assert passage.close() == wire(b"z")


def test_a_translation_writes_the_client_s_dialect_and_restores_names():
    passage = translation({"sent": "known"})
    out = passage.feed(wire(b"s", b"ta", b"csent", b"cother", b"u", b"z")) + passage.close()
    assert out == wire(b"A", b"call known", b"call other", b"END")
    assert (passage.content, passage.ended, passage.usage) == (True, True, USAGE)


@pytest.mark.parametrize(
    ("make", "list_", "broken"),
    [
        pytest.param(relay, b"[s,\nta,\ntb,\nz]", b"[s,\nta,\n!internal_error]", id="relayed"),
        pytest.param(translation, b"[A,\nB,\nEND]", b"[A,\n!internal_error]", id="translated"),
    ],
)
def test_a_client_may_have_its_stream_framed_otherwise_than_the_upstream_s(make, list_, broken):
    whole = make(client=FRAMINGS["json-array"])
    out = [whole.feed(data) for data in (wire(b"s", b"ta"), wire(b"tb"), wire(b"malformed"), wire(b"z"))]
    assert b"".join([*out, whole.close()]) == list_
    cut = make(client=FRAMINGS["json-array"])
    assert cut.feed(wire(b"s", b"ta")) + cut.fail(InternalError("x")) == broken


def test_opening_events_are_no_content():
    passage = translation()
    passage.feed(wire(b"s", b"u"))
    assert not passage.content
    passage.feed(wire(b"cx"))
    assert passage.content


RESPONSE = ChatResponse(
    id="r1",
    model="m",
    parts=(
        ReasoningPart(text="hm", provider_metadata={"anthropic": {"signature": "abc"}}),
        TextPart(text="hello"),
        ToolCallPart(id="c1", name="f", arguments='{"a": 1}'),
        ToolCallPart(id="c2", name="g", arguments=""),
        ImagePart(media_type="image/png", data="AAAA"),
    ),
    finish_reason="tool_calls",
    stop_sequence=None,
    usage=USAGE,
    extensions={"toy": {"x": 1}},
)


def test_collect_undoes_explode():
    assert collect(explode(RESPONSE)) == RESPONSE
    assert collect(explode(msgspec.structs.replace(RESPONSE, parts=(), usage=None))).parts == ()


def test_parts_may_be_open_side_by_side():
    call = [PartStart(index=i, part=ToolCallPart(id=str(i), name="f", arguments="")) for i in range(2)]
    events = [
        *call,
        ToolArgumentsDelta(index=1, text="[1"),
        ToolArgumentsDelta(index=0, text="[0"),
        ToolArgumentsDelta(index=1, text="]"),
        PartEnd(index=1),
        ToolArgumentsDelta(index=0, text="]"),
        MetadataDelta(index=0, provider_metadata={"toy": {"a": 1}}),
        MetadataDelta(index=0, provider_metadata={"toy": {"b": 2}}),
        PartEnd(index=0),
        ResponseEnd(finish_reason="tool_calls"),
    ]
    assert collect(events).parts == (
        ToolCallPart(id="0", name="f", arguments="[0]", provider_metadata={"toy": {"a": 1, "b": 2}}),
        ToolCallPart(id="1", name="f", arguments="[1]"),
    )


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([PartStart(index=0, part=TextPart(text="")), PartEnd(index=0)], id="no end"),
        pytest.param(
            [PartStart(index=0, part=TextPart(text="")), ResponseEnd(finish_reason="stop")], id="a part left open"
        ),
    ],
)
def test_collect_refuses_an_unfinished_answer(events):
    with pytest.raises(StreamBroken):
        collect(events)
