"""A real gateway process, for tests that talk to it over a socket."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

CLIENT_KEY = "test-client-key-0001"
START_TIMEOUT_S = 60.0
BACKGROUND_OFF = {"OMNIROUTE_MODELS__REFRESH_S": "0", "OMNIROUTE_QUOTA__INTERVAL_S": "0"}
"""A scripted upstream expects what its test asks for, and nothing else."""


class GatewayProcess:
    """`python -m omniroute serve` with a data directory of its own."""

    def __init__(self, process: asyncio.subprocess.Process, base_url: str, directory: Path, log: Path) -> None:
        self.process = process
        self.base_url = base_url
        self.directory = directory
        self.client_key = CLIENT_KEY
        self._log = log

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return self._log.read_text(errors="replace")

    async def logged(self, text: str) -> str:
        """Its one line that holds the text, once that is written: a busy gateway logs a request some milliseconds after its answer."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while not (
                lines := [line for line in self.log.splitlines(keepends=True) if text in line and line.endswith("\n")]
            ):
                await asyncio.sleep(0.005)
        [line] = lines
        return line


@asynccontextmanager
async def gateway_process(
    directory: Path, settings: str, *arguments: str, python: str = sys.executable, **variables: str
) -> AsyncIterator[GatewayProcess]:
    """`settings` is TOML; a client key is added to it. `python` may be another environment's, `variables` are added to it."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "omniroute.toml"
    config.write_text(f'[[auth.keys]]\nname = "tests"\nkey = "{CLIENT_KEY}"\n\n{settings}')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNIROUTE_")}
    environment |= BACKGROUND_OFF | variables
    log = directory / "stderr.txt"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            python, "-m", "omniroute", "serve", "--port", "0", "--config", str(config),
            "--data-dir", str(directory / "data"), *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=stderr, env=environment, cwd=directory,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        assert line.startswith(b"http://"), f"did not start: {line!r}\n{log.read_text(errors='replace')}"
        yield GatewayProcess(process, line.decode().strip(), directory, log)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), START_TIMEOUT_S)


@pytest.fixture(scope="module")
def start_gateway(tmp_path_factory: pytest.TempPathFactory):
    """`async with start_gateway(settings) as gateway:`, in a directory of its own."""

    def start(settings: str, *arguments: str, **options: str):
        return gateway_process(tmp_path_factory.mktemp("gateway"), settings, *arguments, **options)

    return start
