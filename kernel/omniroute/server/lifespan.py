"""The application's start and end, over ASGI's lifespan protocol. What it raises there comes out here unchanged."""

import asyncio
from collections.abc import MutableMapping
from typing import Any, Literal

from omniroute.errors import StartError
from omniroute.server.asgi import Application

__all__ = ["Lifespan"]

Step = Literal["startup", "shutdown"]


class Lifespan:
    """One run of an application. An application that returns without a word has no lifespan, which is fine."""

    def __init__(self, app: Application) -> None:
        self.state: dict[str, Any] = {}
        """Copied into the scope of every request."""
        self._app = app
        self._asked: asyncio.Queue[Step] = asyncio.Queue()
        self._answers: dict[str, asyncio.Event] = {"startup": asyncio.Event(), "shutdown": asyncio.Event()}
        self._failure: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises what the application raises, or `StartError` when it only says that it failed."""
        self._task = asyncio.create_task(self._run())
        await self._step("startup")

    async def shutdown(self) -> None:
        """Raises as `startup` does."""
        await self._step("shutdown")
        if self._task is not None:
            await self._task

    async def cancel(self) -> None:
        """End it without a word."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        await self._app(scope, self._receive, self._send)

    async def _step(self, step: Step) -> None:
        task = self._task
        if task is None:
            return
        self._asked.put_nowait(step)
        answered = asyncio.create_task(self._answers[step].wait())
        await asyncio.wait({answered, task}, return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        if self._failure is not None:
            await asyncio.wait({task}, timeout=1.0)  # most raise the cause next, which says more
        if task.done():
            task.result()
            self._task = None
        if self._failure is not None:
            raise StartError(f"the application failed at {step}", why=self._failure)

    async def _receive(self) -> MutableMapping[str, Any]:
        return {"type": f"lifespan.{await self._asked.get()}"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        _, step, outcome = message["type"].split(".")
        if outcome == "failed":
            self._failure = str(message.get("message", "")).strip().rpartition("\n")[2] or "it gave no reason"
        self._answers[step].set()
