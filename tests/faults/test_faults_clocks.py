"""Clocks: whoever is silent is left for somebody else, or named to a client that has begun to read; and no client waits in silence.

F02, F04, F05, F06 and the keep-alives, for clients of every dialect.
"""

import json
import socket
import sys
import time

import pytest

from omniroute.testing import Close, FakeUpstream, Hang, Pause, Reply, Send, Stream, sse
from tests.faults.conftest import CHAT, ENDING, OPENING, PATHS, STREAM, codes, good, pair, provider, shown_error, word

DIALECTS = pytest.mark.parametrize("dialect", PATHS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
SIGNS = {
    "openai-chat": ": keep-alive\n\n",
    "openai-responses": ": keep-alive\n\n",
    "anthropic": 'event: ping\ndata: {"type":"ping"}\n\n',
    "gemini": "data: {}\n\n",
}
QUICK = "[timeouts]\nfirst_byte_s = 0.2\nkeepalive_s = 0.05\n"
HEAD = Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
SILENT = {
    "F04 accepts, never answers": Hang(),
    "F05 headers, then silence": [HEAD, Hang()],
    "F05 an opening without content": Stream([OPENING, Hang()]),
    "F05 comments only": Stream([b": processing\n\n", Hang()]),
}


@DIALECTS
@STREAMED
@pytest.mark.parametrize("fault", SILENT.values(), ids=SILENT)
async def test_f04_f05_p34_silence_before_content_goes_elsewhere(start, dialect, stream, fault):
    async with (
        FakeUpstream(fault) as first,
        FakeUpstream(answer=good) as second,
        start(QUICK + pair(first, second)) as world,
    ):
        began = time.perf_counter()
        answer = await world.ask("pair", stream=stream, dialect=dialect)
        assert 0.15 < time.perf_counter() - began < 0.2 + 1.0
        assert (answer.status_code, "fine" in answer.text) == (200, True)
        assert (SIGNS[dialect].encode() in answer.content) is stream
        if stream:
            assert answer.text.startswith(SIGNS[dialect])
            assert "x-omniroute-provider" not in answer.headers  # nobody could know it when the head went out
        else:
            assert answer.headers["x-omniroute-provider"] == "second"
        record = await world.record(answer)
        assert (record.outcome, record.provider, codes(record)) == ("ok", "second", ["upstream_timeout", None])
        await first.closed_by_peer(1)
        assert (len(first.requests), len(second.requests)) == (1, 1)


@DIALECTS
@STREAMED
@pytest.mark.parametrize("fault", SILENT.values(), ids=SILENT)
async def test_f04_f05_p34_without_another_the_client_is_told_in_the_form_that_is_left(start, dialect, stream, fault):
    async with FakeUpstream(fault) as upstream, start(QUICK + provider("p", upstream)) as world:
        answer = await world.ask("p/m", stream=stream, dialect=dialect)
        if stream:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
            assert "did not begin to answer in time" in shown_error(dialect, answer.text)
        else:
            assert answer.status_code == 504
            assert "did not begin to answer in time" in answer.text
        record = await world.record(answer)
        assert (record.status, record.outcome, record.error) == (answer.status_code, "error", "upstream_timeout")
        assert record.response_bytes == len(answer.content)
        await upstream.closed_by_peer(1)
        assert len(upstream.requests) == 1


async def test_without_keepalives_a_late_error_still_has_its_status(start):
    clocks = "[timeouts]\nfirst_byte_s = 0.1\nkeepalive_s = 0\n"
    async with FakeUpstream(Hang()) as upstream, start(clocks + provider("p", upstream)) as world:
        assert (await world.ask("p/m", stream=True)).status_code == 504


# --- keep-alives ------------------------------------------------------------------------------------------------------


@DIALECTS
async def test_p37_keepalives_stand_between_events_and_stop_with_the_stream(start, dialect):
    """Half an event that waits for its rest has no sign in it."""
    half = word("two")
    slow = Stream([OPENING, word("one"), Pause(0.2), half[:9], Pause(0.2), half[9:], ENDING])
    clocks = "[timeouts]\nkeepalive_s = 0.06\n"
    async with FakeUpstream(slow) as upstream, start(clocks + provider("p", upstream)) as world:
        answer = await world.ask("p/m", stream=True, dialect=dialect)
        sign = SIGNS[dialect]
        assert answer.headers["x-accel-buffering"] == "no"
        assert 2 <= answer.text.count(sign) <= 8
        assert "one" in answer.text.partition(sign)[0]
        assert "two" in answer.text.rpartition(sign)[2]
        plain = answer.text.replace(sign, "")
        upstream.queue(Stream([OPENING, word("one"), half, ENDING]))
        again = await world.ask("p/m", stream=True, dialect=dialect)
        assert [line[:20] for line in plain.splitlines()] == [line[:20] for line in again.text.splitlines()]
        assert (await world.record(answer)).outcome == "ok"


async def test_keepalives_leave_a_json_array_one(start):
    slow = Stream([Pause(0.15), OPENING, word("one"), Pause(0.15), word("two"), ENDING])
    clocks = "[timeouts]\nkeepalive_s = 0.04\n"
    async with FakeUpstream(slow, Hang()) as upstream, start(clocks + provider("p", upstream)) as world:
        path, body = world.request("p/m", stream=True, dialect="gemini")
        answer = await world.http.post(world.server.base_url + path.removesuffix("?alt=sse"), json=body)
        assert answer.headers["content-type"] == "application/json"
        assert answer.text.startswith("\n\n")
        assert "".join(part["text"] for part in parts(answer.json())) == "onetwo"
        assert answer.text.strip("[]\n").count("\n\n") >= 1


def parts(items):
    return [part for item in items for one in item["candidates"] for part in one.get("content", {}).get("parts", ())]


@STREAMED
async def test_who_reads_a_quick_or_a_whole_answer_sees_no_sign(start, stream):
    clocks = "[timeouts]\nkeepalive_s = 0.05\n"
    slow = good if stream else lambda _: [Pause(0.2), Reply.json(CHAT)]
    async with FakeUpstream(answer=slow) as upstream, start(clocks + provider("p", upstream)) as world:
        answer = await world.ask("p/m", stream=stream)
        assert answer.content == (b"".join(STREAM) if stream else Reply.json(CHAT).body)
        assert answer.headers["x-omniroute-provider"] == "p"


async def test_an_answer_in_one_piece_reaches_a_client_that_was_kept_waiting_as_a_stream(start):
    slow = [Pause(0.2), Reply.json(CHAT)]
    clocks = "[timeouts]\nkeepalive_s = 0.05\n"
    async with FakeUpstream(slow) as upstream, start(clocks + provider("p", upstream)) as world:
        answer = await world.ask("p/m", stream=True)
        assert answer.text.startswith(": keep-alive\n\n")
        assert '"content":"fine"' in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")


@DIALECTS
async def test_p37_signs_come_from_the_start_of_the_request_while_the_upstream_says_nothing(start, dialect):
    clocks = "[timeouts]\nkeepalive_s = 0.05\n"
    async with FakeUpstream([Pause(0.3), Stream(STREAM)]) as upstream, start(clocks + provider("p", upstream)) as world:
        answer = await world.ask("p/m", stream=True, dialect=dialect)
        before_content, _, _ = answer.text.partition("fine")
        assert (answer.status_code, answer.headers["x-accel-buffering"]) == (200, "no")
        assert answer.text.startswith(SIGNS[dialect] * 2)
        assert before_content.count(SIGNS[dialect]) >= 3
        assert (await world.record(answer)).outcome == "ok"


@DIALECTS
async def test_a_refusal_after_keepalives_is_the_stream_s_last_event(start, dialect):
    refusal = [Pause(0.15), Reply.json({"error": {"message": "no such thing", "type": "x"}}, 400)]
    clocks = "[timeouts]\nkeepalive_s = 0.05\n"
    async with FakeUpstream(refusal) as upstream, start(clocks + provider("p", upstream)) as world:
        answer = await world.ask("p/m", stream=True, dialect=dialect)
        assert answer.status_code == 200
        assert "no such thing" in shown_error(dialect, answer.text)
        record = await world.record(answer)
        assert (record.status, record.outcome, record.error) == (200, "error", "upstream_refused")


# --- idle -------------------------------------------------------------------------------------------------------------

IDLE = "[timeouts]\nidle_s = 0.2\n"


@DIALECTS
async def test_f06_p35_silence_in_mid_stream_ends_with_an_error_event(start, dialect):
    words = [word(f"w{number} ") for number in range(20)]
    usage = sse([{**json.loads(OPENING[6:]), "choices": [], "usage": CHAT["usage"]}])
    async with (
        FakeUpstream(Stream([OPENING, usage, *words, Hang()])) as first,
        FakeUpstream(answer=good) as second,
        start(IDLE + pair(first, second)) as world,
    ):
        began = time.perf_counter()
        answer = await world.ask("pair", stream=True, dialect=dialect)
        assert time.perf_counter() - began < 0.2 + 1.0
        assert answer.headers["x-omniroute-provider"] == "first"
        assert all(f"w{number} " in answer.text for number in range(20))
        assert "fell silent" in shown_error(dialect, answer.text)
        record = await world.record(answer)
        assert (record.status, record.outcome, record.error) == (200, "error", "upstream_stalled")
        assert (record.usage.input_tokens, record.usage.output_tokens) == (1, 1)
        await first.closed_by_peer(1)
        assert (len(first.requests), second.requests) == (1, [])
        first.queue(good)
        assert (await world.ask("pair")).headers["x-omniroute-provider"] == "first"  # nobody is blamed


BROKEN = {"silent": Stream([*STREAM[:2], Hang()]), "cut": Stream([*STREAM[:2], Close()])}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic"], ids=["relayed", "translated"])
async def test_p35_who_breaks_off_in_mid_stream_again_and_again_is_left_out(start, dialect, fault):
    idle = "[timeouts]\nidle_s = 0.1\n"
    async with FakeUpstream() as first, FakeUpstream(answer=good) as second, start(idle + pair(first, second)) as world:
        first.queue(*[fault] * 4, good, *[fault] * 5)
        for _ in range(10):
            answer = await world.ask("pair", stream=True, dialect=dialect)
            assert answer.headers["x-omniroute-provider"] == "first"
        assert second.requests == []
        answer = await world.ask("pair", stream=True, dialect=dialect)
        assert answer.headers["x-omniroute-provider"] == "second"
        passed_over = (await world.record(answer)).attempts[0]
        assert (passed_over.sent, passed_over.error) == (False, "breaker_open")


async def test_p37_keepalives_do_not_reset_the_idle_clock(start):
    clocks = "[timeouts]\nidle_s = 0.25\nkeepalive_s = 0.05\n"
    async with (
        FakeUpstream(Stream([*STREAM[:2], Hang()])) as upstream,
        start(clocks + provider("p", upstream)) as world,
    ):
        answer = await world.ask("p/m", stream=True)
        assert answer.text.count(": keep-alive") >= 2
        assert "fell silent" in shown_error("openai-chat", answer.text)


@pytest.mark.parametrize("form", ["whole", "gathered"])
async def test_f06_half_a_whole_answer_and_silence_goes_elsewhere(start, form):
    """Nothing of it has been sent on: another may still answer."""
    body = Reply.json(CHAT).body
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    fault = [Send(head.encode() + body[:20]), Hang()] if form == "whole" else Stream([*STREAM[:2], Hang()])
    async with (
        FakeUpstream(fault) as first,
        FakeUpstream(answer=good) as second,
        start(IDLE + pair(first, second)) as world,
    ):
        answer = await world.ask("pair")
        assert answer.json()["choices"][0]["message"]["content"] == "fine"
        assert codes(await world.record(answer)) == ["upstream_stalled", None]
        await first.closed_by_peer(1)


@pytest.mark.parametrize("form", ["streamed", "whole", "gathered"])
async def test_p36_a_long_answer_is_not_cut_as_long_as_it_goes_on(start, form):
    """Longer than any of the clocks that run here; blank bytes are a sign of life and begin nothing."""
    clocks = "[timeouts]\nfirst_byte_s = 0.3\nidle_s = 0.3\nfirst_content_deadline_s = 0.3\n"
    body = Reply.json(CHAT).body
    pieces = [body[at : at + 30] for at in range(0, len(body), 30)]
    if form == "whole":
        script = Stream([b"\n", *(step for piece in pieces for step in (Pause(0.06), piece))], "application/json")
    else:
        words = [step for number in range(10) for step in (Pause(0.06), word(f"w{number}"))]
        script = Stream([OPENING, *words, ENDING])
    async with FakeUpstream(script) as upstream, start(clocks + provider("p", upstream)) as world:
        began = time.perf_counter()
        answer = await world.ask("p/m", stream=form == "streamed")
        assert time.perf_counter() - began > 0.4
        assert (answer.status_code, (await world.record(answer)).outcome) == (200, "ok")


# --- total ------------------------------------------------------------------------------------------------------------


async def test_total_before_content_is_an_error_and_nobody_else_is_asked_in_vain(start):
    clocks = "[timeouts]\ntotal_s = 0.2\n"
    async with (
        FakeUpstream(Hang()) as first,
        FakeUpstream(answer=good) as second,
        start(clocks + pair(first, second)) as world,
    ):
        answer = await world.ask("pair")
        assert answer.status_code == 504
        assert "total_s" in answer.json()["error"]["message"]
        assert "second/m (builtin): not asked, 0.2 s have passed" in answer.json()["error"]["message"]
        assert second.requests == []


async def test_total_of_one_provider_leaves_time_for_the_next(start):
    total = "timeouts = { total_s = 0.2 }"
    async with (
        FakeUpstream(Hang()) as first,
        FakeUpstream(answer=good) as second,
        start(pair(first, second, total)) as world,
    ):
        answer = await world.ask("pair")
        assert (answer.status_code, answer.headers["x-omniroute-provider"]) == (200, "second")


@DIALECTS
async def test_total_after_content_ends_with_an_error_event(start, dialect):
    endless = [step for number in range(100) for step in (word(f"w{number} "), Pause(0.03))]
    clocks = "[timeouts]\ntotal_s = 0.3\n"
    async with FakeUpstream(Stream([OPENING, *endless])) as upstream, start(clocks + provider("p", upstream)) as world:
        answer = await world.ask("p/m", stream=True, dialect=dialect)
        assert "w3 " in answer.text
        assert "longer than total_s allows" in shown_error(dialect, answer.text)
        assert (await world.record(answer)).error == "upstream_timeout"
        await upstream.closed_by_peer(1)


# --- whose clock it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "waits"), [("quick/m", False), ("quick/slow", True), ("slow/m", True), ("slow/quick", False)]
)
async def test_a_model_s_clock_is_nearer_than_its_provider_s_and_that_than_everybody_s(start, model, waits):
    settings = "[timeouts]\nfirst_byte_s = 0.15\n"
    async with FakeUpstream([Pause(0.4), Reply.json(CHAT)]) as upstream:
        settings += provider("quick", upstream, "model_timeouts.slow = { first_byte_s = 5 }")
        settings += provider("slow", upstream, "timeouts.first_byte_s = 5\nmodel_timeouts.quick.first_byte_s = 0.15")
        async with start(settings) as world:
            assert (await world.ask(model)).status_code == (200 if waits else 504)


@pytest.mark.skipif(sys.platform != "linux", reason="others answer a full backlog in their own ways")
async def test_f02_a_dropped_syn_costs_little_while_there_is_another(start):
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for taken in (one, two):
            taken.setblocking(False)
            taken.connect_ex(full.getsockname())
        dead = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        clocks = "[timeouts]\nconnect_s = 0.6\nfailover_connect_s = 0.1\n"
        async with FakeUpstream(answer=good) as second, start(clocks + pair(dead, second)) as world:
            began = time.perf_counter()
            answer = await world.ask("pair")
            assert 0.1 <= time.perf_counter() - began < 0.5
            assert codes(await world.record(answer)) == ["upstream_unreachable", None]
            began = time.perf_counter()
            alone = await world.ask("first/m")
            assert 0.6 <= time.perf_counter() - began < 1.5
            assert (alone.status_code, alone.json()["error"]["code"]) == (502, "upstream_unreachable")
