"""Every hook. Hooks run once, at start, and return objects; a request never meets pluggy. See docs/hooks.md."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from omniroute.contracts import (
        Authenticator,
        AuthScheme,
        ClientKeys,
        Fast,
        Provider,
        Store,
        Strategy,
        TelemetrySink,
        TokenCounter,
        Translator,
        Transport,
    )
    from omniroute.settings import Settings

__all__ = ["ENTRY_POINT_GROUP", "hookimpl", "hookspec"]

ENTRY_POINT_GROUP = "omniroute"

hookspec = pluggy.HookspecMarker(ENTRY_POINT_GROUP)
hookimpl = pluggy.HookimplMarker(ENTRY_POINT_GROUP)


@hookspec
def register_translators() -> "Iterable[Translator]":
    """Return the wire dialects this plugin speaks.

    Called once, before the server listens; must not do I/O. Two translators of one dialect, or two that claim one
    path and method, raise `PluginConflict`, naming both plugins.
    """
    raise NotImplementedError


@hookspec
def register_providers(settings: "Settings") -> "Iterable[Provider]":
    """Return the upstream providers this plugin adds.

    Called once, before the server listens; must not do I/O. `settings.plugin(name, Type)` gives this plugin's own
    section of the configuration as a typed Struct. An empty result is fine. Two providers with one name or alias raise
    `PluginConflict`, naming both plugins; a dialect, auth scheme or transport nobody registers is reported by name.
    """
    raise NotImplementedError


@hookspec
def register_strategies() -> "Iterable[type[Strategy]]":
    """Return strategy classes: ways to order candidates, named in combos.

    Called once. The kernel builds one instance per combo from the options in its settings table. Two with one name
    raise `PluginConflict`.
    """
    raise NotImplementedError


@hookspec
def register_auth_schemes() -> "Iterable[AuthScheme]":
    """Return ways to get and renew an upstream credential, named in a provider's `auth` fact.

    Called once. Two with one name raise `PluginConflict`.
    """
    raise NotImplementedError


@hookspec
def register_authenticators(settings: "Settings", keys: "ClientKeys") -> "Iterable[Authenticator]":
    """Return ways to tell who is calling the model API.

    Called once. `keys` is the live table of client keys. Authenticators are asked in the order of registration until
    one knows the caller; with none installed every call is refused.
    """
    raise NotImplementedError


@hookspec
def register_telemetry_sinks(settings: "Settings") -> "Iterable[TelemetrySink]":
    """Return receivers of request records.

    Called once; a sink opens its files or connections in `start`. A sink that fails is counted and shown, and never
    fails a request. Two with one name raise `PluginConflict`.
    """
    raise NotImplementedError


@hookspec
def register_transports(settings: "Settings") -> "Iterable[Transport]":
    """Return clients for the data path: one is named in `[server] transport`, others in a provider's `transport` fact.

    Called once; connections are opened after `start`. Two with one name raise `PluginConflict`.
    """
    raise NotImplementedError


@hookspec
def register_token_counters(settings: "Settings") -> "Iterable[TokenCounter]":
    """Return offline tokenizers, for token counts where the upstream has none of its own.

    Called once; must not load a vocabulary yet. Counters are asked in the order of the plugins' names, and the first that
    knows the model counts. Two with one name raise `PluginConflict`.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def open_store(settings: "Settings") -> "Store | None":
    """Return the durable store, or None to leave it to the next plugin.

    Called once; the kernel awaits `open()`. Its own SQLite store is the last resort.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def open_fast(settings: "Settings") -> "Fast | None":
    """Return the store for shared, short-lived state, or None to leave it to the next plugin.

    Called once. The kernel's own, in this process, is the last resort.
    """
    raise NotImplementedError
