"""Request records on their way to the sinks: kept in memory, handed over in batches by one task, off every request's path.

Nothing here fails or delays a request: past `capacity` the oldest records are lost and counted, and a sink that fails or
hangs loses its batch alone. An idle gateway's task sleeps.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Sequence

import structlog

from omniroute.contracts import RequestRecord, TelemetrySink

__all__ = ["Telemetry"]

SINK_TIMEOUT_S = 10.0
"""A sink that takes longer has failed; the others wait for it that long at most."""

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
    ) -> None:
        self.dropped = 0
        """Records lost because the sinks could not keep up."""
        self.failures = {sink.name: 0 for sink in sinks}
        """sink → batches it did not take, and a failed start."""
        self._sinks = tuple(sinks)
        self._working: list[TelemetrySink] = []
        self._out: set[str] = set()
        """Sinks in an outage, which has been logged."""
        self._records: deque[RequestRecord] = deque(maxlen=capacity)
        self._batch = batch
        self._interval_s = interval_s
        self._sink_timeout_s = sink_timeout_s
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
        await self._flush()
        for sink in self._working:
            await self._guarded(sink, "close", sink.close())
        self._working.clear()

    async def _run(self) -> None:
        while not self._closing:
            await self._some.wait()
            if len(self._records) < self._batch:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._enough.wait(), self._interval_s)
            self._some.clear()
            self._enough.clear()
            await self._flush()

    async def _flush(self) -> None:
        while self._records:
            records = [self._records.popleft() for _ in range(min(self._batch, len(self._records)))]
            await asyncio.gather(*(self._guarded(sink, "write", sink.write(records)) for sink in self._working))

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
