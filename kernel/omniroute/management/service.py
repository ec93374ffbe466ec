"""What can be managed: values in, values out. The handlers of `/api` and commands without a server call the same methods.

Raises `GatewayError`s. Nothing that leaves here holds a credential, but for the one answer that gives a new key away.
"""

import asyncio
import time
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from omniroute import __version__
from omniroute.combos import ComboMetrics, ComboTest, ComboView
from omniroute.combos.watching import combo_metrics, combo_view, combo_views
from omniroute.contracts import ClientKey, Limits, ListedModel
from omniroute.drilling import Drill, DrillOrder
from omniroute.errors import NotFound
from omniroute.explaining import Explanation, Question
from omniroute.loop_watch import Lag
from omniroute.management.account_values import AccountView, AddAccount, Reset
from omniroute.management.decisions import RequestView, explanation, request_view
from omniroute.management.importing import ImportManagement
from omniroute.management.providers import ProviderManagement
from omniroute.plugins import InstalledPlugin, Plugins
from omniroute.settings import PluginSettings, Row, effective
from omniroute.sharing import Shared

__all__ = [
    "AccountView",
    "AddAccount",
    "CreateKey",
    "CreatedKey",
    "KeyView",
    "Management",
    "PluginView",
    "ProviderView",
    "Reset",
    "Status",
    "plugin_views",
]

PluginState: TypeAlias = Literal["loaded", "disabled", "withheld", "failed"]
Name = Annotated[str, Meta(min_length=1, max_length=64)]


class CreateKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    expires_in_s: Annotated[float, Meta(gt=0, le=315_360_000)] | None = None
    """None does not expire."""
    limits: Limits = Limits()
    """What it may ask for."""


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    created_s: float | None
    """Unix time; None for keys of the settings."""
    expires_at_s: float | None
    state: Literal["live", "expired", "revoked"]
    origin: Literal["database", "settings"]
    limits: Limits = Limits()


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    """The key itself, which is never shown again."""
    id: str
    name: str
    expires_at_s: float | None


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    aliases: tuple[str, ...]
    display_name: str | None
    dialect: str
    base_url: str
    auth: str
    tier: str
    status: str
    docs_url: str | None
    accounts: int
    terms_url: str | None = None
    auth_also: tuple[str, ...] = ()
    """Further ways to sign in."""
    own_clients: tuple[str, ...] = ()
    """How the vendor's own client calls itself."""


class PluginView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    distribution: str
    version: str
    sha256: str | None
    """What `[plugins.allowed]` would hold."""
    state: PluginState
    hooks: tuple[str, ...]
    reason: str | None
    """Why it is not loaded."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    ready: bool
    problem: str | None
    """Why it is not ready."""
    draining: bool
    started_at_s: float
    """Unix time."""
    data_dir: str
    providers: int
    accounts: int
    models: int
    keys: int
    """Those that work."""
    requires_client_key: bool
    tasks: int
    """Of the event loop, the one that answers this included. A gateway at rest always has about as many."""
    loop: Lag
    sharing: Shared = Shared()
    """Of counts, with other gateways."""


class Management(ImportManagement, ProviderManagement):
    # --- looking

    async def status(self) -> Status:
        gateway = self._gateway
        problem = await gateway.problem()
        return Status(
            version=__version__,
            ready=problem is None,
            problem=problem,
            draining=gateway.draining,
            started_at_s=gateway.started_at_s,
            data_dir=str(gateway.data_dir.path),
            providers=len(gateway.registry.providers),
            accounts=len(gateway.accounts.all()),
            models=len(gateway.router.listed()),
            keys=sum(view.state == "live" for view in await self.keys()),
            requires_client_key=gateway.settings.auth.require_client_key,
            tasks=len(asyncio.all_tasks()),
            loop=gateway.loop_watch.lag,
            sharing=gateway.sharing.state,
        )

    async def models(self) -> list[ListedModel]:
        return list(self._gateway.router.listed())

    async def providers(self) -> list[ProviderView]:
        accounts = self._gateway.accounts
        return [
            ProviderView(
                name=name,
                aliases=facts.aliases,
                display_name=facts.display_name,
                dialect=facts.dialect,
                base_url=facts.base_url,
                auth=facts.auth,
                tier=facts.tier,
                status=facts.status,
                docs_url=facts.docs_url,
                accounts=len(accounts.of(name)),
                terms_url=facts.terms_url,
                auth_also=facts.auth_also,
                own_clients=facts.own_clients,
            )
            for name, provider in sorted(self._gateway.registry.providers.items())
            if (facts := provider.facts)
        ]

    async def plugins(self) -> list[PluginView]:
        return plugin_views(self._gateway.plugins, self._gateway.settings.plugins)

    async def config(self) -> list[Row]:
        return effective(self._gateway.loaded)

    # --- routing

    async def explain(self, question: Question) -> Explanation:
        """Raises `InvalidRequest`, `ModelNotFound`, and `NotFound` for a key there is not."""
        return explanation(self._gateway, question)

    async def request(self, request_id: str) -> RequestView:
        """Raises `NotFound`."""
        return await request_view(self._gateway, request_id)

    async def combos(self) -> list[ComboView]:
        return combo_views(self._gateway)

    async def combo(self, name: str) -> ComboView:
        """Raises `NotFound`."""
        return combo_view(self._gateway, name)

    async def combo_metrics(self, name: str) -> ComboMetrics:
        """Raises `NotFound`."""
        return combo_metrics(self._gateway, name)

    async def test_combo(self, name: str) -> ComboTest:
        """Raises `NotFound`."""
        from omniroute.combos.trying import try_combo  # the whole way of a request, which no other command needs

        return await try_combo(self._gateway, name)

    async def drill(self, order: DrillOrder) -> Drill:
        """Raises `ModelNotFound`, `InvalidRequest`, and `NotFound` for a fault nobody can play."""
        from omniroute.drilling.stage import drill  # the whole way of a request, which no other command needs

        return await drill(self._gateway, order)

    # --- client keys

    async def keys(self) -> list[KeyView]:
        now = time.time()
        return [_key_view(key, now) for key in self._gateway.keys.list()]

    async def create_key(self, wanted: CreateKey) -> CreatedKey:
        """Raises `InvalidRequest` and `Conflict`."""
        expires = None if wanted.expires_in_s is None else time.time() + wanted.expires_in_s
        key, text = await self._gateway.keys.create(wanted.name, expires, limits=wanted.limits)
        return CreatedKey(key=text.reveal(), id=key.id, name=key.name, expires_at_s=key.expires_at_s)

    async def revoke_key(self, id_or_name: str) -> None:
        """Raises `NotFound` when no live key is called that, `Conflict` for one of the settings."""
        if not await self._gateway.keys.revoke(id_or_name):
            raise NotFound(f"no client key has the id or name {id_or_name!a}", fix="omniroute key list")


def _key_view(key: ClientKey, now_s: float) -> KeyView:
    expired = key.expires_at_s is not None and key.expires_at_s <= now_s
    from_settings = key.created_s == 0.0
    return KeyView(
        id=key.id,
        name=key.name,
        created_s=None if from_settings else key.created_s,
        expires_at_s=key.expires_at_s,
        state="revoked" if key.revoked else "expired" if expired else "live",
        origin="settings" if from_settings else "database",
        limits=key.limits or Limits(),
    )


def plugin_views(plugins: Plugins, settings: PluginSettings) -> list[PluginView]:
    """Everything installed, and what became of it."""
    return [_plugin_view(installed, plugins, settings) for installed in plugins.installed]


def _plugin_view(installed: InstalledPlugin, plugins: Plugins, settings: PluginSettings) -> PluginView:
    name = installed.name
    state: PluginState = "loaded"
    hooks: tuple[str, ...] = ()
    reason = None
    if name in plugins.failed:
        state, reason = "failed", plugins.failed[name]
    elif name in plugins.withheld:
        state, reason = "withheld", plugins.withheld[name]
    elif name in plugins.names:
        hooks = plugins.hooks(name)
    else:
        state = "disabled"
        reason = "[plugins] disabled" if name in settings.disabled else "not in [plugins] only (OMNIROUTE_PLUGINS)"
    return PluginView(
        name=name,
        distribution=installed.distribution,
        version=installed.version,
        sha256=installed.sha256,
        state=state,
        hooks=hooks,
        reason=reason,
    )
