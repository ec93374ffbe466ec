"""What a run compares: the gateway as `omniroute serve`, the bare proxy, and the upstream without anything between."""

import http.client
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

import msgspec

from benchmark import agent, wire
from benchmark.process import Process, running

CLIENT_KEY = "bench-client-key-0001"
LEFT_OUT = {"DATA_DIR", "PYTHONDONTWRITEBYTECODE"}
"""The second start of an installation is the usual one: its modules have been compiled."""
BodyKind = Literal["words", "agent"]


class MakeBody(Protocol):
    def __call__(self, dialect: str, model: str, body_bytes: int, *, stream: bool) -> bytes: ...


BODIES: Mapping[BodyKind, MakeBody] = {"words": wire.words_body, "agent": agent.agent_body}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Something to send requests to."""

    name: str
    host: str
    port: int
    key: str
    process: Process | None = None
    """None for what is not measured."""
    ready_ms: float = 0.0
    """From start to the end of the first answer."""
    is_gateway: bool = False

    def request(
        self,
        kind: str,
        *,
        front: str,
        behind: str,
        body_bytes: int,
        stream: bool,
        model: str | None = None,
        body: BodyKind = "words",
    ) -> bytes:
        """A client's request in the dialect `front` that ends at the upstream `kind`, which speaks `behind`. `model` is what
        the gateway is asked for instead of that provider's."""
        if self.is_gateway:
            path, model = f"/v1/{wire.PATHS[front]}", model or f"{provider(kind, behind)}/{wire.MODEL}"
        else:
            path, model = f"/{kind}/v1/{wire.PATHS[front]}", wire.MODEL
        content = BODIES[body](front, model, body_bytes, stream=stream)
        return wire.request(path, host=f"{self.host}:{self.port}", key=self.key, dialect=front, body=content)


def provider(kind: str, dialect: str) -> str:
    """Name of the settings table for an upstream: `bench-burst-anthropic`."""
    return f"bench-{kind.partition('/')[0]}-{dialect}"


def direct(base_url: str) -> Target:
    address = urlsplit(base_url)
    return Target(name="direct", host=address.hostname or "", port=address.port or 0, key=wire.UPSTREAM_KEY)


@contextmanager
def bare_proxy(upstream: Target, cores: set[int] | None, *, under: Sequence[str] = ()) -> Iterator[Target]:
    """`under` is a command that runs the proxy's."""
    command = [*under, sys.executable, "-m", "benchmark.proxy", upstream.host, str(upstream.port)]
    with running(command, cores=cores) as process:
        yield answering(process, Target(name="proxy", host="", port=0, key=wire.UPSTREAM_KEY))


@contextmanager
def gateway(
    upstream: Target,
    kinds: list[str],
    folder: Path,
    cores: set[int] | None,
    *,
    settings_given: Mapping[str, str] | None = None,
    toml: str = "",
    variables: Mapping[str, str] | None = None,
    profile: Path | None = None,
    under: Sequence[str] = (),
) -> Iterator[Target]:
    """`omniroute serve` with its data in `folder` and one settings table per kind of upstream and dialect.

    `settings_given` on top of the defaults: `{"server.transport": "aiohttp"}`; `toml` is more of the settings' file, and
    `variables` are more of the environment's; `under` is a command that runs the gateway's.
    """
    settings = folder / "omniroute.toml"
    key = f'[[auth.keys]]\nname = "bench"\nkey = "{CLIENT_KEY}"\n\n'
    settings.write_text("".join([key, *tables(upstream, kinds), toml]), encoding="utf-8")
    where = ["--config", str(settings), "--data-dir", str(folder / "data")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMNIROUTE_") and k not in LEFT_OUT}
    for name, value in (settings_given or {}).items():
        environment[f"OMNIROUTE_{name.replace('.', '__').upper()}"] = value
    environment |= variables or {}
    omniroute = [*under, sys.executable, "-m", *(["benchmark.profiled", str(profile)] if profile else ["omniroute"])]
    command = [*omniroute, "serve", "--port", "0", *where]
    with running(command, cores=cores, environment=environment, log=folder / "log") as process:
        yield answering(process, Target(name="gateway", host="", port=0, key=CLIENT_KEY, is_gateway=True))


def tables(upstream: Target, kinds: list[str]) -> Iterator[str]:
    for kind in kinds:
        for dialect in wire.PATHS:
            yield (
                f'[providers.{provider(kind, dialect)}]\ndialect = "{dialect}"\n'
                f'base_url = "http://{upstream.host}:{upstream.port}/{kind}/v1"\n'
                f'api_key = "{wire.UPSTREAM_KEY}"\nmodels = ["{wire.MODEL}"]\n\n'
            )


def answering(process: Process, target: Target) -> Target:
    """Wait for the base URL on standard output, then for a first answer."""
    address = urlsplit(process.line())
    target = msgspec.structs.replace(target, host=address.hostname, port=address.port, process=process)
    ask(target, target.request("json", front=wire.CHAT, behind=wire.CHAT, body_bytes=1000, stream=False))
    return msgspec.structs.replace(target, ready_ms=(time.perf_counter() - process.started_s) * 1e3)


def ask(target: Target, request: bytes) -> bytes:
    """One request on a connection of its own; the body of a good answer, which is checked to be one."""
    head, _, body = request.partition(b"\r\n\r\n")
    method, path, _ = head.splitlines()[0].decode().split(" ")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
    connection = http.client.HTTPConnection(target.host, target.port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise SystemExit(f"{target.name} answered {answer.status} to {path}: {data[:300].decode(errors='replace')}")
    return data


def check(target: Target, request: bytes, *, front: str, stream: bool) -> None:
    """Before anything is measured: the answer is whole and in the dialect it was asked in."""
    data = ask(target, request)
    if stream:
        last = b"data: [DONE]" if front == wire.CHAT else b"event: message_stop"
        good = last in data and data.count(b" lorem") >= wire.STREAM_EVENTS - 5
    else:
        good = json.loads(data)["usage"] is not None
    if not good:
        raise SystemExit(f"{target.name} answers a request in {front} with: {data[-300:].decode()}")
