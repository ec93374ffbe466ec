import asyncio

import pytest
import structlog

from omniroute import logs
from omniroute.contracts import RequestRecord
from omniroute.telemetry import Telemetry

NEVER_S = 3600


class Sink:
    """Keeps what it is given; fails while `broken`; waits for `gate` when there is one."""

    def __init__(self, name="sink", *, broken=False, gate=None):
        self.name = name
        self.broken = broken
        self.gate = gate
        self.batches = []
        self.calls = []
        self.written = asyncio.Event()

    async def start(self):
        self.calls.append("start")

    async def write(self, records):
        self.calls.append("write")
        self.written.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise OSError("disk full")
        self.batches.append([record.id for record in records])

    async def close(self):
        self.calls.append("close")


def record(number):
    return RequestRecord(
        id=f"{number}",
        request_id=f"{number}",
        started_at_s=0.0,
        dialect="openai-chat",
        operation="chat",
        key_id="k",
        key_name="k",
        requested_model="m",
        status=200,
        stream=False,
        outcome="ok",
    )


def fill(telemetry, count, first=0):
    for number in range(first, first + count):
        telemetry.record(record(number))


async def test_closing_hands_over_everything_in_order_and_in_batches():
    sink = Sink()
    telemetry = Telemetry([sink], batch=10, interval_s=NEVER_S)
    await telemetry.start()
    fill(telemetry, 25)
    await telemetry.close()
    assert [len(batch) for batch in sink.batches] == [10, 10, 5]
    assert [id_ for batch in sink.batches for id_ in batch] == [f"{number}" for number in range(25)]
    assert sink.calls == ["start", "write", "write", "write", "close"]


async def test_a_full_batch_does_not_wait_for_the_interval():
    sink = Sink()
    telemetry = Telemetry([sink], batch=10, interval_s=NEVER_S)
    await telemetry.start()
    fill(telemetry, 10)
    await asyncio.wait_for(sink.written.wait(), 5)
    assert [len(batch) for batch in sink.batches] == [10]
    await telemetry.close()


async def test_a_single_record_waits_no_longer_than_the_interval_and_again_after_idling():
    sink = Sink()
    telemetry = Telemetry([sink], batch=10, interval_s=0.001)
    await telemetry.start()
    for number in range(3):
        sink.written.clear()
        telemetry.record(record(number))
        await asyncio.wait_for(sink.written.wait(), 5)
    await telemetry.close()
    assert sink.batches == [["0"], ["1"], ["2"]]


async def test_past_capacity_the_oldest_are_lost_and_counted():
    sink = Sink()
    telemetry = Telemetry([sink], capacity=5, batch=10, interval_s=NEVER_S)
    await telemetry.start()
    fill(telemetry, 8)
    assert telemetry.dropped == 3
    await telemetry.close()
    assert sink.batches == [["3", "4", "5", "6", "7"]]


async def test_records_made_while_a_sink_is_slow_are_kept_for_it():
    gate = asyncio.Event()
    sink = Sink(gate=gate)
    telemetry = Telemetry([sink], batch=2, interval_s=0)
    await telemetry.start()
    fill(telemetry, 2)
    await asyncio.wait_for(sink.written.wait(), 5)
    fill(telemetry, 3, first=2)
    gate.set()
    await telemetry.close()
    assert sink.batches == [["0", "1"], ["2", "3"], ["4"]]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_failing_sink_is_counted_and_the_others_get_everything(order):
    sinks = [Sink("good"), Sink("bad", broken=True)]
    telemetry = Telemetry([sinks[place] for place in order], batch=2, interval_s=NEVER_S)
    await telemetry.start()
    fill(telemetry, 6)
    await telemetry.close()
    assert [len(batch) for batch in sinks[0].batches] == [2, 2, 2]
    assert telemetry.failures == {"good": 0, "bad": 1}
    assert sinks[1].calls[-1] == "close"
    assert telemetry.dropped == 6


async def test_a_sink_whose_own_task_was_cancelled_does_not_end_the_deliveries():
    class Cancelled(Sink):
        async def write(self, records):
            raise asyncio.CancelledError

    cancelled, good = Cancelled("cancelled"), Sink("good")
    telemetry = Telemetry([cancelled, good], batch=1, interval_s=0)
    await telemetry.start()
    fill(telemetry, 1)
    await asyncio.wait_for(good.written.wait(), 5)
    fill(telemetry, 1, first=1)
    await telemetry.close()
    assert good.batches == [["0"], ["1"]]
    assert telemetry.failures == {"cancelled": 2, "good": 0}


async def test_a_hanging_sink_fails_after_its_time_and_the_others_get_everything():
    hanging, good = Sink("hanging", gate=asyncio.Event()), Sink("good")
    telemetry = Telemetry([hanging, good], batch=10, interval_s=NEVER_S, sink_timeout_s=0.01)
    await telemetry.start()
    fill(telemetry, 10)
    await telemetry.close()
    assert [len(batch) for batch in good.batches] == [10]
    assert telemetry.failures == {"hanging": 1, "good": 0}


async def test_an_outage_is_logged_when_it_begins_and_when_it_ends(request):
    logs.configure("info")
    request.addfinalizer(logs.reset)
    sink = Sink(broken=True)
    telemetry = Telemetry([sink], batch=1, interval_s=0, retry_s=0.001)
    with structlog.testing.capture_logs() as seen:
        await telemetry.start()
        fill(telemetry, 3)
        await asyncio.wait_for(_until(lambda: telemetry.failures["sink"] >= 3), 5)
        sink.broken = False
        fill(telemetry, 1, first=3)
        await telemetry.close()
    assert [(entry["log_level"], entry["event"]) for entry in seen] == [
        ("error", "telemetry sink failed"),
        ("info", "telemetry sink works again"),
    ]
    assert seen[0]["error"] == "OSError: disk full"
    assert seen[1]["failures"] == telemetry.failures["sink"] >= 3
    assert sink.batches == [["0"], ["1"], ["2"], ["3"]]


async def test_c3_while_a_sink_fails_its_records_wait_for_it_and_no_other_sink_waits():
    bad, good = Sink("bad", broken=True), Sink("good")
    telemetry = Telemetry([bad, good], batch=2, interval_s=0, retry_s=0.001)
    await telemetry.start()
    fill(telemetry, 5)
    await asyncio.wait_for(_until(lambda: telemetry.failures["bad"] >= 3), 5)
    assert [id_ for batch in good.batches for id_ in batch] == ["0", "1", "2", "3", "4"]
    bad.broken = False
    await asyncio.wait_for(_until(lambda: bad.batches == [["0", "1"], ["2", "3"], ["4"]]), 5)
    await telemetry.close()
    assert len(good.batches) == 3
    assert telemetry.dropped == 0


async def test_c3_past_capacity_what_a_failing_sink_has_not_taken_is_lost_oldest_first_and_counted():
    sink = Sink(broken=True)
    telemetry = Telemetry([sink], capacity=10, batch=2, interval_s=0, retry_s=NEVER_S)
    await telemetry.start()
    for first in range(0, 24, 4):
        before = telemetry.failures["sink"]
        fill(telemetry, 4, first)
        await asyncio.wait_for(_until(lambda before=before: telemetry.failures["sink"] > before), 5)
    assert telemetry.dropped == 14
    sink.broken = False
    await telemetry.close()
    assert [id_ for batch in sink.batches for id_ in batch] == [f"{number}" for number in range(14, 24)]


async def test_a_sink_that_does_not_start_is_left_out():
    class Stillborn(Sink):
        async def start(self):
            raise PermissionError("no")

    stillborn, good = Stillborn("stillborn"), Sink("good")
    telemetry = Telemetry([stillborn, good], interval_s=NEVER_S)
    await telemetry.start()
    fill(telemetry, 1)
    await telemetry.close()
    assert telemetry.failures == {"stillborn": 1, "good": 0}
    assert stillborn.calls == []
    assert good.batches == [["0"]]


async def test_closing_what_never_started_is_harmless():
    telemetry = Telemetry([Sink()])
    fill(telemetry, 1)
    await telemetry.close()
    await telemetry.close()


async def _until(condition):
    while not condition():
        await asyncio.sleep(0)
