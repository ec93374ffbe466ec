"""The registry as the rest of the kernel reads it."""

import msgspec

from omniroute.contracts import (
    Authenticator,
    AuthScheme,
    Framing,
    Ingress,
    LossPolicy,
    Price,
    Provider,
    Strategy,
    TelemetrySink,
    TokenCounter,
    Translator,
    Transport,
)
from omniroute.routing.terms import Terms

__all__ = ["KERNEL", "SETTINGS", "Combo", "Entrance", "Registry"]

KERNEL, SETTINGS = "kernel", "settings"
"""Where a thing is from, when it is from no plugin."""


class Combo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    models: tuple[str, ...]
    """As written: `prefix/model`, aliases, bare names, other combos."""
    strategy: Strategy
    """This combo's own instance."""
    loss: LossPolicy | None = None
    """None leaves it to the settings."""
    label: str
    """For people."""
    terms: Terms = Terms()


class Entrance(msgspec.Struct, frozen=True, kw_only=True):
    """A path of the model API, and who speaks there."""

    translator: Translator
    ingress: Ingress


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """Everything by its name. Nothing changes after the start."""

    translators: dict[str, Translator]
    """By dialect."""
    ingress: dict[tuple[str, str], Entrance]
    """By method and path."""
    providers: dict[str, Provider]
    prefixes: dict[str, str]
    """What may stand before the first slash of a model string (names and aliases) → provider name."""
    strategies: dict[str, type[Strategy]]
    combos: dict[str, Combo]
    account_strategies: dict[str, Strategy]
    """Provider name → what chooses among its accounts, its own instance. Without one they are asked by priority."""
    prices: dict[tuple[str, str], Price]
    """(provider name, model id) → what the settings say; None in a field leaves it to the facts."""
    auth_schemes: dict[str, AuthScheme]
    authenticators: tuple[Authenticator, ...]
    """In the order they are asked."""
    sinks: dict[str, TelemetrySink]
    token_counters: dict[str, TokenCounter]
    """In the order they are asked."""
    transports: dict[str, Transport]
    framings: dict[str, Framing]
    origin_of: dict[tuple[str, str], str]
    """(kind, name) → the plugin it is from, or `kernel`, or `settings`. Kinds: `translator`, `provider`, `strategy`,
    `auth scheme`, `telemetry sink`, `token counter`, `transport`, `framing`."""
