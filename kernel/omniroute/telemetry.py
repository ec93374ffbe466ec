"""Request records on their way to the sinks: kept in memory, handed over in batches by one task, off every request's path.

Nothing here fails or delays a request. What a sink does not take, for its disk is full or it hangs, is kept for it and tried
again each second; past `capacity` the oldest records are lost and counted. An idle gateway's task sleeps.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Sequence

import structlog

from omniroute.contracts import RequestLog, RequestRecord, TelemetrySink

__all__ = ["Telemetry"]

SINK_TIMEOUT_S = 10.0
"""A sink that takes longer has failed; the others wait for it that long at most."""

RETRY_S = 1.0
"""Until a sink that did not take its records is given them again."""

log = structlog.get_logger(__name__)


class Telemetry:
    """`interval_s`: how long a record waits for others to go with it, unless `batch` of them are there sooner."""

    def __init__(
        self,
        sinks: Sequence[TelemetrySink],
        *,
        capacity: int = 10_000,
        batch: int = 200,
        interval_s: float = 0.5,
        sink_timeout_s: float = SINK_TIMEOUT_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self.dropped = 0
        """Records lost because a sink could not keep up, or did not take them to the end."""
        self.failures = {sink.name: 0 for sink in sinks}
        """sink → times it did not take a batch, and a failed start."""
        self._sinks = tuple(sinks)
        self._working: list[TelemetrySink] = []
        self._out: set[str] = set()
        """Sinks in an outage, which has been logged."""
        self._records: deque[RequestRecord] = deque(maxlen=capacity)
        self._spools: dict[str, deque[RequestRecord]] = {sink.name: deque(maxlen=capacity) for sink in sinks}
        """Sink → what it has not taken yet."""
        self._batch = batch
        self._interval_s = interval_s
        self._sink_timeout_s = sink_timeout_s
        self._retry_s = retry_s
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def record(self, record: RequestRecord) -> None:
        """Keep a record for the sinks. Call it in the event loop."""
        records = self._records
        if len(records) == records.maxlen:
            self.dropped += 1
        records.append(record)
        if len(records) == 1:
            self._some.set()
        elif len(records) >= self._batch:
            self._enough.set()

    async def find(self, request_id: str, limit: int = 10) -> Sequence[RequestRecord]:
        """What is known of a request, by its record's id or the `X-Request-Id` it had; the newest first.

        Also before `start`: what can be read is opened then, until `close`. Raises what a log raises that cannot be read.
        """
        kept = itertools.chain(self._records, *self._spools.values())
        waiting = [record for record in kept if request_id in (record.id, record.request_id)]
        found = {record.id: record for record in waiting}
        for sink in self._sinks:
            if isinstance(sink, RequestLog):
                found |= {record.id: record for record in await self._look(sink, request_id, limit)}
        return sorted(found.values(), key=lambda record: -record.started_at_s)[:limit]

    @property
    def has_log(self) -> bool:
        """Whether any sink can be read."""
        return any(isinstance(sink, RequestLog) for sink in self._sinks)

    async def _look(self, sink: TelemetrySink, request_id: str, limit: int) -> Sequence[RequestRecord]:
        assert isinstance(sink, RequestLog)
        if sink not in self._working:
            await sink.start()
            self._working.append(sink)
        return await sink.find(request_id, limit)

    async def start(self) -> None:
        """Start the sinks and the task. A sink that does not start is counted, logged and left out."""
        for sink in self._sinks:
            if await self._guarded(sink, "start", sink.start()):
                self._working.append(sink)
        self._task = asyncio.create_task(self._run(), name="telemetry")

    async def close(self) -> None:
        """Hand over everything that is left, then close the sinks."""
        self._closing = True
        self._some.set()
        self._enough.set()
        if self._task is not None:
            await self._task
            self._task = None
        if self._records:
            await self._flush()
        for sink in self._working:
            await self._guarded(sink, "close", sink.close())
        self._working.clear()
        self.dropped += sum(map(len, self._spools.values()))

    async def _run(self) -> None:
        while not self._closing:
            await self._news()
            if 0 < len(self._records) < self._batch:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._enough.wait(), self._interval_s)
            self._some.clear()
            self._enough.clear()
            await self._flush()

    async def _news(self) -> None:
        """Until there is a record, or it is time to try again what a sink did not take."""
        is_out = any(self._spools[sink.name] for sink in self._working)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._some.wait(), self._retry_s if is_out else None)

    async def _flush(self) -> None:
        records = list(self._records)
        self._records.clear()
        for sink in self._working:
            spool = self._spools[sink.name]
            self.dropped += max(0, len(spool) + len(records) - (spool.maxlen or 0))
            spool.extend(records)
        await asyncio.gather(*(self._deliver(sink) for sink in self._working))

    async def _deliver(self, sink: TelemetrySink) -> None:
        """What the sink has not taken yet, until it does not take it."""
        spool = self._spools[sink.name]
        while spool:
            batch = list(itertools.islice(spool, self._batch))
            if not await self._guarded(sink, "write", sink.write(batch)):
                return
            if len(batch) == len(spool):
                spool.clear()
            else:
                for _ in batch:
                    spool.popleft()

    async def _guarded(self, sink: TelemetrySink, doing: str, work: Awaitable[None]) -> bool:
        """Whether `work` was done. What a sink raises goes no further; only the first failure of an outage is logged."""
        try:
            await asyncio.wait_for(work, self._sink_timeout_s)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # we are meant, not something inside the sink
            self.failures[sink.name] += 1
            if sink.name not in self._out:
                self._out.add(sink.name)
                log.error("telemetry sink failed", sink=sink.name, doing=doing, error=_described(error))
            return False
        if sink.name in self._out:
            self._out.discard(sink.name)
            log.info("telemetry sink works again", sink=sink.name, failures=self.failures[sink.name])
        return True


def _described(error: BaseException) -> str:
    text = str(error) or ("it did not answer in time" if isinstance(error, TimeoutError) else "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
