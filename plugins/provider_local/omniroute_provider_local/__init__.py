"""Model servers on this machine: Ollama, llama.cpp, LM Studio, vLLM, and what `[plugins.provider-local]` adds.

Each server that answers its probe becomes an account named after it, with the models it lists itself. Nothing but loopback
is ever asked. Ports and probe paths are the servers' defaults, checked on 2026-11-22.
"""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

import msgspec

from omniroute.api import FactsProvider, Probe, ProviderFacts, Settings, SettingsError, hookimpl

__all__ = ["FACTS", "KNOWN", "Local", "Options", "Server", "register_providers"]


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    """Becomes the account's name."""
    url: str
    """The API root, such as `http://127.0.0.1:9090/v1`."""
    probe: str | None = None
    """What to GET, as a path on the same server or a URL; any 2xx means that it is there. None: the model list."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[plugins.provider-local]`. A server named like a known one replaces it."""

    servers: tuple[Server, ...] = ()


DISPLAY_NAMES = {"ollama": "Ollama", "llama.cpp": "llama.cpp", "lm-studio": "LM Studio", "vllm": "vLLM"}
KNOWN = (
    Server(name="ollama", url="http://127.0.0.1:11434/v1", probe="/api/version"),
    Server(name="llama.cpp", url="http://127.0.0.1:8080/v1", probe="/props"),
    Server(name="lm-studio", url="http://127.0.0.1:1234/v1", probe="/api/v0/models"),
    Server(name="vllm", url="http://127.0.0.1:8000/v1", probe="/version"),
)
ELSEWHERE = "write its address as http://127.0.0.1:PORT/v1, or make a [providers.NAME] table for a server elsewhere"
FACTS = ProviderFacts(
    name="local",
    dialect="openai-chat",
    base_url=KNOWN[0].url,
    auth="none",
    display_name="Local servers",
    checked="2026-11-22",
    tier="free",
)


class Local(FactsProvider):
    def __init__(self, servers: Sequence[Server]) -> None:
        super().__init__(FACTS)
        self._probes = tuple(map(probe_of, servers))

    def probe(self) -> tuple[Probe, ...]:
        return self._probes


def probe_of(server: Server) -> Probe:
    """Raises `SettingsError` for a server that is not on this machine."""
    root = server.url.rstrip("/")
    probe = Probe(
        name=server.name,
        url=urljoin(root, server.probe) if server.probe else f"{root}/models",
        base_url=root,
        display_name=DISPLAY_NAMES.get(server.name, server.name),
    )
    for url in (probe.url, probe.base_url):
        if not is_loopback(url):
            finding = f"plugins.provider-local.servers: {server.name}: {url!r} is not on this machine; {ELSEWHERE}"
            raise SettingsError([finding])
    return probe


def is_loopback(url: str) -> bool:
    """By the URL's spelling; names other than `localhost` are not resolved."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in {"http", "https"} and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


@hookimpl
def register_providers(settings: Settings) -> list[Local]:
    options = settings.plugin("provider-local", Options)
    servers = {server.name: server for server in (*KNOWN, *options.servers)}
    return [Local(list(servers.values()))]
