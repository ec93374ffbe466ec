import pytest

from omniroute.contracts import Frame
from omniroute.envelope import Enveloped, opened
from omniroute.framing import Sse


@pytest.mark.parametrize(
    ("body", "inside"),
    [
        pytest.param(b'{"response": {"a" : 1.0}, "traceId": "t"}', b'{"a" : 1.0}', id="as it was written"),
        pytest.param(b'{"error": {"code": 429}}', b'{"error": {"code": 429}}', id="an error comes bare"),
        pytest.param(b"[DONE]", b"[DONE]", id="no object"),
        pytest.param(b'{"response": ', b'{"response": ', id="half an object"),
        pytest.param(b'{"\xff": 1}', b'{"\xff": 1}', id="not UTF-8"),
        pytest.param(b"[" * 100_000, b"[" * 100_000, id="too deep"),
    ],
)
def test_what_stands_under_the_key_comes_out_and_all_else_stays(body, inside):
    assert opened(body, "response") == inside


def test_each_event_of_a_stream_is_opened_wherever_reads_cut_it():
    stream = b'data: {"response":{"n":1}}\n\nevent: x\ndata: {"response":{"n":2}}\n\ndata: {"n":3}'
    for cut in range(len(stream)):
        splitter = Enveloped(Sse(), "response").splitter()
        frames = [*splitter.feed(stream[:cut]), *splitter.feed(stream[cut:])]
        assert splitter.pending
        frames += splitter.close()
        assert frames == [Frame(b'{"n":1}'), Frame(b'{"n":2}', "x"), Frame(b'{"n":3}')]


def test_what_is_written_has_no_envelope():
    framing = Enveloped(Sse(), "response")
    assert framing.encode(Frame(b"{}")) == framing.writer().encode(Frame(b"{}")) == b"data: {}\n\n"
    assert (framing.name, framing.content_type, framing.keepalive) == (Sse.name, Sse.content_type, Sse.keepalive)
