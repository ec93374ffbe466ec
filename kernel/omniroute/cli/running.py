"""A gateway behind a server, with what a person at a terminal sees of it. Imports everything: only for `serve`."""

import asyncio
import gc
import os
import sys
from collections.abc import Coroutine
from pathlib import Path

from omniroute.app import build_app
from omniroute.cli.output import note, print_data
from omniroute.datadir import Runtime
from omniroute.discovery import Discovery, Found
from omniroute.firstrun import (
    Start,
    banner,
    clients_of,
    command_name,
    credentials_in,
    data_dir_option,
    earlier_data,
    logins_in,
)
from omniroute.gateway import Gateway
from omniroute.importing.values import Machine
from omniroute.keys import CLIENT_KEY_FILE
from omniroute.logs import Redactor, get_logger
from omniroute.secret import Secret
from omniroute.server import limits_of, serve
from omniroute.settings import LoadedSettings

__all__ = ["run"]

YOUNG_OBJECTS = 5000
"""Net, until the collector looks at them; Python's own 700 is less than a few requests in flight have."""

KEPT_BYTES = 8 * 1024 * 1024
"""Blocks up to here come from the heap, and twice as much may lie idle at its end."""

log = get_logger(__name__)


async def run(loaded: LoadedSettings, redactor: Redactor, *, safe_mode: bool) -> int:
    """Until a signal; returns the exit code. Raises `StartError`."""
    gateway = await Gateway.open(loaded, safe_mode=safe_mode, redactor=redactor)
    opening = _Opening(gateway)
    try:
        await opening.prepare()
        settings = gateway.settings
        app = build_app(gateway)
        with gateway.loop_watch:  # not around what is only made once, and may take its time
            return await serve(
                app,
                host=settings.server.host,
                port=settings.server.port,
                limits=limits_of(settings),
                drain_s=settings.limits.drain_s,
                listen_on_s=settings.limits.unready_s,
                on_ready=opening.ready,
                on_drain=opening.drain,
                on_stopped=opening.end,
            )
    finally:
        await opening.end()


def tune_collector() -> None:
    """Have the garbage collector leave alone what is there after the start, and look at the rest less often.

    A request leaves it nothing (a test says so), yet by default it took 12 % of the CPU, and 73 ms at its longest, looking
    through everything that is loaded.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    gc.enable()


def tune_allocator() -> None:
    """Have glibc keep what a few requests need, instead of giving it back with each and asking for it again with the next.

    As it comes, it returns the end of its heap as soon as 128 kB are free there, which is one agent's prompt: where the heap
    happened to end with a body, that was 35 page faults per request of 100 kB and half as much CPU again. Freeing a block that
    was mapped raises both limits for good, to its size and twice its size (mallopt(3), "dynamic mmap threshold"). The block is
    never touched, so it takes no memory. Other allocators have limits of their own, and take no notice.
    """
    bytes(KEPT_BYTES)


class _Opening:
    """What is done around the moment when the gateway is ready: the first key before, the rest after it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._new_key: Secret | None = None
        self._after: asyncio.Task[None] | None = None
        self._ended = False

    async def prepare(self) -> None:
        gateway = self._gateway
        if gateway.settings.auth.require_client_key:
            self._new_key = await gateway.keys.ensure_first_key(gateway.data_dir)
        for name, reason in {**gateway.plugins.failed, **gateway.plugins.withheld}.items():
            log.warning("plugin left out", plugin=name, reason=reason)
        for text in gateway.plugins.notes:
            log.warning(text)

    def ready(self, url: str) -> None:
        gateway = self._gateway
        gateway.data_dir.write_runtime(Runtime(url=url, pid=os.getpid(), started_at=gateway.started_at_s))
        print_data(url)
        sys.stdout.flush()
        tune_collector()
        tune_allocator()
        self._after = asyncio.get_running_loop().create_task(self._look_around(url))

    def drain(self) -> None:
        self._gateway.draining = True

    async def end(self) -> None:
        """Close the gateway, once: the data directory may be another's by the second time."""
        if self._ended:
            return
        self._ended = True
        self._gateway.data_dir.remove_runtime()
        if self._after is not None:
            self._after.cancel()
            await asyncio.wait({self._after})
        await self._gateway.close()

    async def _look_around(self, url: str) -> None:
        """Off the way to readiness: local servers, then the banner, then local servers again and again."""
        gateway = self._gateway
        discovery = Discovery(gateway.registry, gateway.accounts, gateway.control)
        try:
            found = await discovery.look()
            note(banner(self._start(url, found)))
        except Exception as error:
            log.error("cannot look for local model servers", exc_info=error)
        await asyncio.gather(
            _lasting("looking for local model servers", discovery.keep_looking()),
            _lasting("reading model lists", gateway.model_lists().keep_reading()),
            _lasting("reading quotas", gateway.quota_reader().keep_reading()),
        )

    def _start(self, url: str, found: tuple[Found, ...]) -> Start:
        gateway = self._gateway
        data_dir = gateway.data_dir.path
        return Start(
            url=url,
            command=command_name(os.environ, sys.argv[0]),
            options=data_dir_option(data_dir) if gateway.loaded.origin("data_dir") == "flag" else "",
            configured=any(account.origin in ("settings", "database") for account in gateway.accounts.all()),
            requires_client_key=gateway.settings.auth.require_client_key,
            key_file=data_dir / CLIENT_KEY_FILE,
            new_key=self._new_key,
            on_terminal=sys.stderr.isatty(),
            found=found,
            variables=credentials_in(os.environ, (one.facts for one in gateway.registry.providers.values())),
            logins=logins_in(Machine.here(), [one.facts for one in gateway.registry.providers.values()]),
            earlier=earlier_data(Path.home(), data_dir),
            models=gateway.router.listed(),
            clients=clients_of(gateway.registry.translators.values()),
        )


async def _lasting(what: str, work: Coroutine[None, None, None]) -> None:
    """One that fails ends alone."""
    try:
        await work
    except Exception as error:
        log.error("a background task has ended", what=what, exc_info=error)
