"""Offline demo models: no account, no network, the same answer to the same question.

`demo/echo` repeats the last words of the user. `demo/coder` knows a handful of snippets, thinks aloud, and calls tools when it
is offered some (two at once when asked for "parallel"). The rest are for drills: `demo/slow` takes its time, `demo/429` is
always busy, `demo/truncate` breaks off in the middle, `demo/stall` begins an answer and falls silent, `demo/refuse` takes no
connection.

They answer through a transport of their own, in OpenAI's chat dialect, so that a request takes the whole way an upstream's
does.
"""

import msgspec

from omniroute.api import FactsProvider, ModelFacts, Price, ProviderFacts, Settings, hookimpl
from omniroute_provider_demo.transport import DemoTransport

__all__ = ["FACTS", "Options", "register_providers", "register_transports"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[plugins.provider-demo]`."""

    slow_delay_s: float = 0.05
    """What `demo/slow` waits before each event."""


FREE = Price(input_usd=0, output_usd=0, cached_usd=0, cache_write_usd=0, reasoning_usd=0)


def _model(model: str, name: str, *capabilities: str) -> ModelFacts:
    return ModelFacts(
        id=model, name=name, context_tokens=128_000, max_output_tokens=8_192, capabilities=capabilities, price=FREE
    )


FACTS = ProviderFacts(
    name="demo",
    dialect="openai-chat",
    base_url="http://demo.invalid/v1",
    auth="none",
    display_name="Demo (offline)",
    tier="free",
    transport="demo",
    operations=("chat",),
    models=(
        _model("echo", "Echo"),
        _model("coder", "Coder", "tools", "reasoning"),
        _model("slow", "Coder, slowly", "tools", "reasoning"),
        _model("429", "Drill: always busy"),
        _model("truncate", "Drill: breaks off"),
        _model("stall", "Drill: falls silent"),
        _model("refuse", "Drill: cannot be reached"),
    ),
    drills={"well": "coder", "429": "429", "truncate": "truncate", "stall": "stall", "refuse": "refuse"},
)


@hookimpl
def register_providers() -> list[FactsProvider]:
    return [FactsProvider(FACTS)]


@hookimpl
def register_transports(settings: Settings) -> list[DemoTransport]:
    return [DemoTransport(slow_delay_s=settings.plugin("provider-demo", Options).slow_delay_s)]
