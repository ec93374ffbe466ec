"""A real gateway in a process of its own, on a directory that outlives it."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

START_TIMEOUT_S = 60.0


@asynccontextmanager
async def process(
    directory: Path, *options: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`omniroute serve` with the settings and the data in `directory`; killed at the end if it still runs."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("OMNIROUTE_")}
    with (directory / "stderr.txt").open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "omniroute", "serve", "--port", "0", "--config", str(directory / "omniroute.toml"),
            "--data-dir", str(directory / "data"), *options,
            stdout=asyncio.subprocess.PIPE, stderr=stderr, env={**variables, **(environment or {})}, cwd=directory,
        )  # fmt: skip
    try:
        yield process
    finally:
        await kill(process)


async def kill(process: asyncio.subprocess.Process) -> float:
    """Monotonic time of its end."""
    killed_s = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    return killed_s


async def base_url(process: asyncio.subprocess.Process) -> str | None:
    """Wait until it answers; None when it ended instead. Raises `TimeoutError`."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
    return line.decode().strip() if line.startswith(b"http://") else None


def management_headers(directory: Path) -> dict[str, str]:
    key = (directory / "data" / "management.key").read_text().strip()
    return {"authorization": f"Bearer {key}"}
