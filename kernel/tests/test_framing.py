import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omniroute.api import Frame, UpstreamGarbled
from omniroute.contracts import Translator
from omniroute.framing import FRAMINGS, MAX_FRAME_BYTES, JsonArray, Ndjson, Sse, WholeJson, keepalive

SSE_CASES = [
    pytest.param(b"data: 1\n\ndata: 2\n\n", [Frame(b"1"), Frame(b"2")], id="two events"),
    pytest.param(b"data:1\n\n", [Frame(b"1")], id="no space after the colon"),
    pytest.param(b"data:  1\n\n", [Frame(b" 1")], id="only one space goes"),
    pytest.param(b"event: ping\ndata: {}\n\n", [Frame(b"{}", "ping")], id="named event"),
    pytest.param(b"data: {}\nevent: ping\n\n", [Frame(b"{}", "ping")], id="name after data"),
    pytest.param(b"data: a\ndata: b\n\n", [Frame(b"a\nb")], id="several data lines"),
    pytest.param(b": hello\n\ndata: 1\n\n", [Frame(b"1")], id="comment event"),
    pytest.param(b": hello\ndata: 1\n\n", [Frame(b"1")], id="comment line"),
    pytest.param(b"id: 7\nretry: 3\ndata: 1\n\n", [Frame(b"1")], id="id and retry"),
    pytest.param(b"event: ping\n\n", [], id="an event without data is none"),
    pytest.param(b"data\n\n", [Frame(b"")], id="data without a colon"),
    pytest.param(b"data: 1\r\n\r\ndata: 2\r\n\r\n", [Frame(b"1"), Frame(b"2")], id="CRLF"),
    pytest.param(b"event: a\rdata: 1\r\rdata: 2\r\r", [Frame(b"1", "a"), Frame(b"2")], id="CR"),
    pytest.param(b"data: 1\r\n\ndata: 2\n\r\n", [Frame(b"1"), Frame(b"2")], id="mixed line ends"),
    pytest.param(b"\n\n\ndata: 1\n\n\n\n", [Frame(b"1")], id="blank lines around"),
    pytest.param(b"\xef\xbb\xbfdata: 1\n\n", [Frame(b"1")], id="byte order mark"),
    pytest.param("data: a\u2028b\u0085c\n\n".encode(), [Frame("a\u2028b\u0085c".encode())], id="U+2028 is text"),
    pytest.param(b"data: 1\n\ndata: 2", [Frame(b"1"), Frame(b"2")], id="the last blank line is missing"),
    pytest.param(b"data: 1\n\ndata: 2\n", [Frame(b"1"), Frame(b"2")], id="half of the last blank line"),
    pytest.param(b"", [], id="nothing"),
]


def split(framing, pieces):
    splitter = framing.splitter()
    frames, complete = [], b""
    for piece in pieces:
        frames += splitter.feed(piece)
        complete += splitter.complete
    frames += splitter.close()
    return frames, complete + splitter.complete


@pytest.mark.parametrize(("wire", "frames"), SSE_CASES)
def test_sse_gives_the_same_frames_for_every_cut(wire, frames):
    assert split(Sse(), [wire]) == (frames, wire)
    for cut in range(len(wire) + 1):
        assert split(Sse(), [wire[:cut], wire[cut:]]) == (frames, wire)
    assert split(Sse(), [wire[i : i + 1] for i in range(len(wire))]) == (frames, wire)


@given(st.data())
def test_sse_gives_the_same_frames_for_random_cuts(data):
    wires = data.draw(st.lists(st.sampled_from([case.values[0] for case in SSE_CASES[:16]]), max_size=5))
    wire = b"".join(wires)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert split(Sse(), pieces) == split(Sse(), [wire])


@pytest.mark.parametrize("frame", [Frame(b"1"), Frame(b"{}", "ping"), Frame(b"a\nb"), Frame(b"")])
def test_sse_reads_back_what_it_writes(frame):
    assert split(Sse(), [Sse().encode(frame)])[0] == [frame]


def test_complete_never_ends_inside_an_event():
    splitter = Sse().splitter()
    assert splitter.feed(b"data: 1\n\ndata: 2") == [Frame(b"1")]
    assert (splitter.complete, splitter.pending) == (b"data: 1\n\n", True)
    assert splitter.feed(b"2\n\n") == [Frame(b"22")]
    assert (splitter.complete, splitter.pending) == (b"data: 22\n\n", False)


@pytest.mark.parametrize("framing", [Sse(), Ndjson()], ids=lambda framing: framing.name)
def test_an_endless_event_is_refused(framing):
    splitter = framing.splitter()
    with pytest.raises(UpstreamGarbled, match="one event of more than"):
        for _ in range(6):
            splitter.feed(b"x" * (MAX_FRAME_BYTES // 4))


def test_ndjson_gives_a_frame_per_line_at_every_cut():
    wire = b'{"a":1}\r\n\n{"b":2}\n{"c":3}'
    frames = [Frame(b'{"a":1}'), Frame(b'{"b":2}'), Frame(b'{"c":3}')]
    for cut in range(len(wire) + 1):
        assert split(Ndjson(), [wire[:cut], wire[cut:]]) == (frames, wire)
    assert Ndjson().encode(Frame(b"{}")) == b"{}\n"


def test_json_is_one_frame():
    assert split(WholeJson(), [b"{", b"}"]) == ([Frame(b"{}")], b"{}")
    assert split(WholeJson(), [])[0] == []


@pytest.mark.parametrize("framing", [Sse(), Ndjson(), WholeJson()], ids=lambda framing: framing.name)
def test_most_streams_are_nothing_but_their_frames(framing):
    writer, frame = framing.writer(), Frame(b"{}")
    assert (writer.encode(frame), writer.close()) == (framing.encode(frame), b"")


@pytest.mark.parametrize(
    ("items", "written"),
    [
        pytest.param([], b"[]", id="none"),
        pytest.param([b'{"a":1}'], b'[{"a":1}]', id="one"),
        pytest.param([b'{"a":1}', b"{}", b"2"], b'[{"a":1},\n{},\n2]', id="several"),
    ],
)
def test_a_stream_may_be_one_json_list(items, written):
    for _ in range(2):  # one stream leaves nothing behind for the next
        writer = JsonArray().writer()
        assert b"".join([*(writer.encode(Frame(item)) for item in items), writer.close()]) == written


class Chirping(Translator):
    """A dialect with a sign of life of its own."""

    framing = "sse"
    keepalive = b"event: chirp\ndata: {}\n\n"


class Silent(Translator):
    framing = "sse"


@pytest.mark.parametrize(
    ("translator", "client", "sent"),
    [
        pytest.param(Silent(), Sse(), b": keep-alive\n\n", id="a comment"),
        pytest.param(Silent(), Ndjson(), b"\n", id="an empty line"),
        pytest.param(Chirping(), Sse(), b"event: chirp\ndata: {}\n\n", id="the dialect's own"),
        pytest.param(Chirping(), JsonArray(), b"\n", id="not in a framing that is not the dialect's"),
    ],
)
def test_a_waiting_client_is_sent_what_its_framing_skips(translator, client, sent):
    assert keepalive(translator, client) == sent


@pytest.mark.parametrize("framing", [Sse(), Ndjson()], ids=lambda framing: framing.name)
def test_a_keepalive_between_frames_is_no_frame(framing):
    frames = [Frame(b"1"), Frame(b"2")]
    wire = framing.keepalive.join([b"", *map(framing.encode, frames), b""])
    assert split(framing, [wire])[0] == frames


def test_a_keepalive_may_stand_anywhere_between_the_items_of_a_list():
    framing = JsonArray()
    writer = framing.writer()
    pieces = [writer.encode(Frame(b"1")), writer.encode(Frame(b"2")), writer.close()]
    assert msgspec.json.decode(framing.keepalive.join([b"", *pieces])) == [1, 2]


def test_framings_are_found_by_name():
    assert {name: framing.name for name, framing in FRAMINGS.items()} == {
        "sse": "sse",
        "ndjson": "ndjson",
        "json": "json",
        "json-array": "json-array",
    }
