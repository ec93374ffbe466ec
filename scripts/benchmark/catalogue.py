"""What a large catalogue costs: 1,000 accounts at ten providers with 300 models each.

Three things: how long a gateway takes to open its tables with those accounts in its database, how much memory it holds once
every account has a live list of its own, and how long `GET /v1/models` takes then. In a process of its own, so that memory is
only its own.
"""

import asyncio
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.results import Row, figure

PROVIDERS, ACCOUNTS, MODELS = 10, 1000, 300
REQUESTS = 60
BATCH = 64
"""As the gateway takes lists over."""
CLIENT_KEY = "bench-client-key-0001"
LABELS = {
    "start": ("start with 1,000 accounts at ten providers of 300 models", "s"),
    "memory": ("resident with 1,000 live lists of 300 models", "MB"),
    "list": ("/v1/models of 3,000 models, p95", "ms"),
}


def rows(rounds: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as directory:
        _child("prepare", directory)
        taken = [json.loads(_child("measure", directory)) for _ in range(rounds)]
    for name, (label, unit) in LABELS.items():
        yield Row(name=f"catalogue-{name}", label=label, unit=unit, gateway=figure([each[name] for each in taken]))


def _child(step: str, directory: str) -> str:
    command = [sys.executable, "-m", "benchmark.catalogue", step, directory]
    done = subprocess.run(
        command, cwd=Path(__file__).resolve().parent.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


# --- in the child -----------------------------------------------------------------------------------------------------


def _loaded(directory: Path) -> Any:
    from omniroute import settings

    providers = {
        f"p{number}": {
            "dialect": "openai-chat",
            "base_url": "http://127.0.0.1:9/v1",
            "auth": "api-key",
            "models": [f"model-{at}" for at in range(MODELS)],
        }
        for number in range(PROVIDERS)
    }
    overrides = {
        "providers": providers,
        "plugins.only": ["auth-apikey", "translator-openai-chat", "strategy-fillfirst"],
        "auth.keys": [{"name": "bench", "key": CLIENT_KEY}],
    }
    return settings.load(
        data_dir=directory / "data", environ={}, cwd=directory, config_dir=directory, overrides=overrides
    )


async def _prepare(directory: Path) -> None:
    """Rows as `account add` writes them, without a thousand rebuilt tables."""
    import msgspec

    from omniroute.accounts.rows import TABLE, Stored, context, origin_of
    from omniroute.contracts import Credential
    from omniroute.gateway import Gateway
    from omniroute.secret import Secret

    gateway = await Gateway.open(_loaded(directory), serving=False)
    for number in range(ACCOUNTS):
        account_id = f"p{number % PROVIDERS}/a{number:04}"
        credential = Credential(access=Secret(f"fake-key-{number:04}"))
        sealed = gateway.vault.seal_credential(credential, context(account_id, "credential"))
        stored = Stored(credential=sealed, origin=origin_of("http://127.0.0.1:9/v1"))
        await gateway.store.put(TABLE, account_id, msgspec.json.encode(stored))
    await gateway.close()


async def _measure(directory: Path) -> dict[str, float]:
    import httpx

    from omniroute.app import build_app
    from omniroute.gateway import Gateway
    from omniroute.server import running

    began_s = time.perf_counter()
    gateway = await Gateway.open(_loaded(directory))
    app = build_app(gateway)
    start_s = time.perf_counter() - began_s
    assert len(gateway.accounts.all()) == ACCOUNTS
    accounts = gateway.accounts.all()
    for at in range(0, ACCOUNTS, BATCH):
        gateway.accounts.set_model_lists({account.id: _live() for account in accounts[at : at + BATCH]})
    async with running(app) as server, httpx.AsyncClient(trust_env=False) as http:
        taken = [await _timed(http, server.base_url) for _ in range(REQUESTS)]
    await gateway.close()
    return {"start": start_s, "memory": _resident_mb(), "list": 1000 * _p95(taken)}


def _live() -> tuple[Any, ...]:
    """A list as it comes from the wire: nothing of it is shared with another account's."""
    import msgspec

    from omniroute.contracts import ModelFacts

    wire = [
        {"id": f"model-{at}", "name": f"Model {at}", "context_tokens": 200_000, "capabilities": ["tools", "vision"]}
        for at in range(MODELS)
    ]
    return msgspec.json.decode(msgspec.json.encode(wire), type=tuple[ModelFacts, ...])


async def _timed(http: Any, url: str) -> float:
    began_s = time.perf_counter()
    answer = await http.get(f"{url}/v1/models", headers={"authorization": f"Bearer {CLIENT_KEY}"})
    taken_s = time.perf_counter() - began_s
    assert answer.content.count(b'"id"') == PROVIDERS * MODELS
    return taken_s


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18] if len(values) > 1 else math.nan


def _resident_mb() -> float:
    """Now, where the system says so; else the most there ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e6 if sys.platform == "darwin" else 1e3)
    import os

    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    step, where = sys.argv[1:]
    if step == "prepare":
        asyncio.run(_prepare(Path(where)))
    else:
        sys.stdout.write(json.dumps(asyncio.run(_measure(Path(where)))))
