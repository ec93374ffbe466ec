"""Recordings, cuts and the clock that stands still."""

import asyncio

import msgspec
import pytest

from omniroute.testing import (
    FakeClock,
    ReceivedRequest,
    Recording,
    Reply,
    Stream,
    random_cuts,
    split_everywhere,
    sse,
)

# --- recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recording",
    [
        Recording(note="n", target="/v1/x", body={"model": "m"}, answer={"id": "1"}, status=429),
        Recording(note="n", target="/v1/x", headers={"accept": "text/event-stream"}, events=[{"a": 1}, "[DONE]"]),
    ],
)
def test_a_recording_comes_back_from_its_file(tmp_path, recording):
    path = tmp_path / "one.json"
    recording.save(path)
    assert Recording.load(path) == recording
    assert path.read_bytes().count(b"\n") > 2, "written for people to trim"


def test_a_recording_of_a_request_leaves_credentials_out():
    request = ReceivedRequest(
        method="POST",
        target="/v1/messages?beta=true",
        headers=(("X-Api-Key", "test-key-1"), ("Authorization", "Bearer test-key-1"), ("Accept", "*/*")),
        body=b'{"model": "m"}',
    )
    recording = Recording.of(request, "a note", status=200, answer={"id": "1"})
    assert recording == Recording(
        note="a note",
        target="/v1/messages?beta=true",
        headers={"accept": "*/*"},
        body={"model": "m"},
        answer={"id": "1"},
    )
    assert recording.request_body() == b'{"model":"m"}'


def test_a_recording_with_a_credential_is_not_saved(tmp_path):
    recording = Recording(note="n", target="/", headers={"x-api-key": "test-key-1"})
    with pytest.raises(ValueError, match=r"must not hold \['x-api-key'\]"):
        recording.save(tmp_path / "one.json")
    assert not list(tmp_path.iterdir())


def test_what_is_no_recording_is_not_loaded(tmp_path):
    path = tmp_path / "one.json"
    path.write_text('{"target": "/"}')
    with pytest.raises(msgspec.ValidationError, match="note"):
        Recording.load(path)


def test_a_recordings_answer_is_a_script():
    whole = Recording(note="n", target="/", answer={"id": "1"}, status=429).script()
    assert whole == Reply(429, [("content-type", "application/json")], b'{"id":"1"}')
    streamed = Recording(note="n", target="/", events=[{"a": 1}, "[DONE]"]).script()
    assert isinstance(streamed, Stream)
    assert list(streamed.chunks) == [b'data: {"a":1}\n\n', b"data: [DONE]\n\n"]


@pytest.mark.parametrize(
    ("events", "wire"),
    [
        ([], b""),
        ([{"a": 1}, "[DONE]"], b'data: {"a":1}\n\ndata: [DONE]\n\n'),
        ([b"raw"], b"data: raw\n\n"),
        ([{"event": "ping", "data": {"a": 1}}], b'event: ping\ndata: {"a":1}\n\n'),
        ([{"event": "ping", "data": "x"}], b"event: ping\ndata: x\n\n"),
        ([{"event": "ping", "data": {}, "more": 1}], b'data: {"event":"ping","data":{},"more":1}\n\n'),
    ],
)
def test_sse_writes_named_and_plain_events(events, wire):
    assert sse(events) == wire


# --- cuts -------------------------------------------------------------------------------------------------------------


def test_split_everywhere_gives_every_way_to_cut_in_two():
    assert list(split_everywhere(b"abc")) == [(b"a", b"bc"), (b"ab", b"c")]
    assert list(split_everywhere(b"a")) == []


@pytest.mark.parametrize("data", [b"", b"a", b"ab", bytes(range(200))])
@pytest.mark.parametrize("seed", range(5))
def test_random_cuts_lose_nothing_and_repeat(data, seed):
    pieces = random_cuts(data, seed)
    assert b"".join(pieces) == data
    assert all(pieces)
    assert len(pieces) == min(8, len(data))
    assert random_cuts(data, seed) == pieces


def test_another_seed_cuts_elsewhere():
    assert len({tuple(random_cuts(bytes(200), seed)) for seed in range(10)}) == 10


# --- clock ------------------------------------------------------------------------------------------------------------


def test_time_passes_only_when_the_test_says_so():
    clock = FakeClock(monotonic_s=5, wall_s=100)
    assert (clock.monotonic(), clock.wall()) == (5, 100)
    clock.advance(2.5)
    assert (clock.monotonic(), clock.wall()) == (7.5, 102.5)
    with pytest.raises(ValueError, match="time does not go back"):
        clock.advance(-1)


def test_the_wall_clock_may_jump_and_the_other_does_not_notice():
    clock = FakeClock(monotonic_s=5, wall_s=100)
    clock.jump_wall(-3600)
    assert (clock.monotonic(), clock.wall()) == (5, -3500)


async def test_sleeps_end_in_their_order_when_they_are_over():
    clock, woken = FakeClock(), []

    async def sleeper(name, seconds):
        await clock.sleep(seconds)
        woken.append(name)

    tasks = [
        asyncio.create_task(sleeper(*each)) for each in [("late", 3), ("soon", 1), ("also soon", 1), ("at once", 0)]
    ]
    await clock.sleepers(3)
    await tasks[3]
    assert woken == ["at once"]
    clock.advance(2.9)
    await asyncio.gather(*tasks[1:3])
    assert woken == ["at once", "soon", "also soon"]
    clock.advance(0.1)
    await tasks[0]
    assert woken[-1] == "late"


async def test_a_cancelled_sleep_is_none():
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.sleepers(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(AssertionError, match="for 1 sleeps"):
        await clock.sleepers(1, timeout_s=0.01)
    clock.advance(5)
