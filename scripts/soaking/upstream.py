"""The other side of a long run: an upstream that is slow as models are and fails now and then, and a vendor whose tokens
end soon. Both on loopback."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from omniroute.api import FactsProvider, ModelFacts, OAuthFacts, ProviderFacts
from omniroute.testing import (
    Close,
    FakeAuthorization,
    FakeUpstream,
    Pause,
    ReceivedRequest,
    Reply,
    Reset,
    Script,
    Send,
    Stream,
)
from omniroute.testing.scripts import Step

MODEL = "m"
VENDOR = "vendor"
TOKEN_LIFE_S = 35.0
"""A token that ends within 30 s is renewed before it is used: one renewal in five seconds for each account."""
FAULT_SHARE = 0.02
LONGEST_ANSWER_S = 0.05
EVENT_INTERVAL_S = 0.2
EVENTS = (5, 30)
"""Of one stream, at least and at most."""
FACTS = ProviderFacts(
    name=VENDOR,
    dialect="openai-chat",
    base_url="https://vendor.example/v1",
    auth="oauth",
    models=(ModelFacts(id=MODEL),),
    oauth=OAuthFacts(client_id="public-client", token_url="https://vendor.example/token"),
)
PLUGIN = """
from omniroute.api import FactsProvider, ModelFacts, OAuthFacts, ProviderFacts, hookimpl


@hookimpl
def register_providers():
    oauth = OAuthFacts(client_id="public-client", token_url={token_url!r})
    facts = ProviderFacts(
        name="vendor", dialect="openai-chat", base_url={base_url!r}, auth="oauth", models=(ModelFacts(id="m"),), oauth=oauth
    )
    return [FactsProvider(facts)]
"""
BASE = {"id": "c1", "created": 1, "model": MODEL}
USAGE = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
WHOLE = {
    **BASE,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "lorem " * 200}, "finish_reason": "stop"}],
    "usage": USAGE,
}
HALF = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"id":"c1","choices":[{"ind'


class Models:
    """What the upstream answers: `Models(...).answer` is for `FakeUpstream`."""

    def __init__(self, vendor: FakeAuthorization, chance: random.Random) -> None:
        self.faults = 0
        self._vendor = vendor
        self._chance = chance
        self._whole_faults: tuple[Callable[[], Script], ...] = (_throttled, _failed, Reset, _half)
        self._stream_faults: tuple[Callable[[], Script], ...] = (_throttled, _failed, Reset, self._cut)

    def answer(self, request: ReceivedRequest) -> Script:
        if request.path.startswith(f"/{VENDOR}/") and not self._vendor.accepts(request):
            return Reply.json({"error": {"message": "token expired", "type": "auth", "code": None}}, status=401)
        streams = bool(request.json().get("stream"))
        if self._chance.random() < FAULT_SHARE:
            self.faults += 1
            return self._chance.choice(self._stream_faults if streams else self._whole_faults)()
        if streams:
            return Stream(self._events())
        return [Pause(self._chance.random() * LONGEST_ANSWER_S), Reply.json(WHOLE)]

    def _events(self, *, whole: bool = True) -> Iterator[bytes | Step]:
        yield _event({"role": "assistant", "content": ""})
        for _ in range(self._chance.randint(*EVENTS)):
            yield Pause(EVENT_INTERVAL_S)
            yield _event({"content": " lorem ipsum"})
        if whole:
            yield _event({}, finish="stop")
            yield _sse({**BASE, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
            yield b"data: [DONE]\n\n"

    def _cut(self) -> Script:
        """A stream that ends as HTTP wants it, and in the middle of a sentence."""
        return Stream(self._events(whole=False))


def plugin(vendor: FakeAuthorization, upstream: FakeUpstream) -> str:
    """The module of a plugin for the vendor."""
    assert vendor.facts.oauth is not None
    return PLUGIN.format(token_url=vendor.facts.oauth.token_url, base_url=f"{upstream.origin}/{VENDOR}/v1")


def provider(upstream: FakeUpstream) -> FactsProvider:
    """The same provider, for a process in which the plugin is not installed."""
    return FactsProvider(msgspec.structs.replace(FACTS, base_url=f"{upstream.origin}/{VENDOR}/v1"))


def forget(upstream: FakeUpstream) -> None:
    """What it has seen: a long run is too much of it."""
    upstream.requests.clear()
    upstream.connections[:] = [connection for connection in upstream.connections if not connection.closed]
    for connection in upstream.connections:
        connection.requests.clear()


def _throttled() -> Script:
    return Reply.json({"error": {"message": "slow down", "type": "rate_limit"}}, 429, {"retry-after": "1"})


def _failed() -> Script:
    return Reply.json({"error": {"message": "an error", "type": "server_error"}}, 500)


def _half() -> Script:
    return [Send(HALF), Close()]


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _sse({**BASE, "object": "chat.completion.chunk", "choices": [choice]})


def _sse(data: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
