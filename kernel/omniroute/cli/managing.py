"""Where a command does its work: in the running gateway, else on the data directory itself. Both do the same."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from omniroute.cli.command import Session
from omniroute.cli.output import Exit, Problem
from omniroute.cli.remote import RemoteManagement
from omniroute.datadir import Runtime
from omniroute.keys import ManagementKey
from omniroute.management.service import Management

__all__ = ["Manager", "manage", "manage_running", "running"]

Manager: TypeAlias = Management | RemoteManagement
T = TypeVar("T")


def manage(session: Session, action: Callable[[Manager], Awaitable[T]]) -> T:
    """Through `/api` when a gateway runs on this data directory, else with its store opened here meanwhile."""
    runtime = session.data.read_runtime()
    if runtime is not None:
        return asyncio.run(_await(action(_remote(session, runtime))))
    return asyncio.run(_offline(session, action))


def manage_running(session: Session, action: Callable[[RemoteManagement], Awaitable[T]]) -> T:
    """Through `/api` only. Raises `Problem` when nothing runs."""
    return asyncio.run(_await(action(_remote(session, running(session)))))


def running(session: Session) -> Runtime:
    """Where the gateway on this data directory answers."""
    runtime = session.data.read_runtime()
    if runtime is None:
        raise Problem(
            code="not-running",
            message="no gateway is running",
            why=f"nothing holds the data directory {session.data.path}",
            fix="start it with `omniroute serve`, or name its directory with --data-dir",
            leave=Exit.NOT_RUNNING,
        )
    return runtime


def _remote(session: Session, runtime: Runtime) -> RemoteManagement:
    key = ManagementKey.read(session.data)
    return RemoteManagement(runtime.url, None if key is None else key.key)


async def _offline(session: Session, action: Callable[[Manager], Awaitable[T]]) -> T:
    from omniroute.gateway import Gateway

    # A broken plugin must not keep anybody from revoking a key.
    gateway = await Gateway.open(session.settings, serving=False, safe_mode=True)
    try:
        return await action(Management(gateway))
    finally:
        await gateway.close()


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable
