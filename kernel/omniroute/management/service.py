"""What can be managed: values in, values out. The handlers of `/api` and commands without a server call the same methods.

Raises `GatewayError`s. Nothing that leaves here holds a credential, but for the one answer that gives a new key away.
"""

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from omniroute import __version__
from omniroute.accounts import unknown_provider
from omniroute.contracts import Account, AuthStep, ClientKey, Credential, HttpRequest, ListedModel, Provider
from omniroute.errors import InvalidRequest, NotFound
from omniroute.plugins import InstalledPlugin, Plugins
from omniroute.secret import Secret
from omniroute.settings import PluginSettings, Row, effective

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = [
    "AccountView",
    "AddAccount",
    "CreateKey",
    "CreatedKey",
    "KeyView",
    "Management",
    "PluginView",
    "ProviderView",
    "Status",
    "plugin_views",
]

PluginState: TypeAlias = Literal["loaded", "disabled", "withheld", "failed"]
Name = Annotated[str, Meta(min_length=1, max_length=64)]


class CreateKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    expires_in_s: Annotated[float, Meta(gt=0, le=315_360_000)] | None = None
    """None does not expire."""


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    created_s: float | None
    """Unix time; None for keys of the settings."""
    expires_at_s: float | None
    state: Literal["live", "expired", "revoked"]
    origin: Literal["database", "settings"]


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    """The key itself, which is never shown again."""
    id: str
    name: str
    expires_at_s: float | None


class AddAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str
    name: Name = "default"
    api_key: str | None = None
    """None for keyless providers."""
    base_url: str | None = None
    """Instead of the provider's own API root."""
    priority: Annotated[int, Meta(ge=1, le=100)] = 50

    def __repr__(self) -> str:
        return f"AddAccount({self.provider}/{self.name})"


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    provider: str
    name: str
    base_url: str
    priority: int
    origin: Literal["settings", "database", "discovered", "builtin"]
    credential: bool
    """Whether it has one."""
    state: Literal["usable", "paused", "locked"]
    reason: str | None = None
    """Why it is locked."""
    models: int | None = None
    """How many its live list has; None where none was read."""


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


class Management:
    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

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
            )
            for name, provider in sorted(self._gateway.registry.providers.items())
            if (facts := provider.facts)
        ]

    async def plugins(self) -> list[PluginView]:
        return plugin_views(self._gateway.plugins, self._gateway.settings.plugins)

    async def config(self) -> list[Row]:
        return effective(self._gateway.loaded)

    # --- client keys

    async def keys(self) -> list[KeyView]:
        now = time.time()
        return [_key_view(key, now) for key in self._gateway.keys.list()]

    async def create_key(self, wanted: CreateKey) -> CreatedKey:
        """Raises `InvalidRequest` and `Conflict`."""
        expires = None if wanted.expires_in_s is None else time.time() + wanted.expires_in_s
        key, text = await self._gateway.keys.create(wanted.name, expires)
        return CreatedKey(key=text.reveal(), id=key.id, name=key.name, expires_at_s=key.expires_at_s)

    async def revoke_key(self, id_or_name: str) -> None:
        """Raises `NotFound` when no live key is called that, `Conflict` for one of the settings."""
        if not await self._gateway.keys.revoke(id_or_name):
            raise NotFound(f"no client key has the id or name {id_or_name!a}", fix="omniroute key list")

    # --- accounts

    async def accounts(self) -> list[AccountView]:
        accounts = self._gateway.accounts
        return [_account_view(account, accounts.locked.get(account.id)) for account in accounts.all()]

    async def add_account(self, wanted: AddAccount) -> AccountView:
        """Raises `InvalidRequest` and `Conflict`, and `UpstreamError` when signing in failed."""
        provider = self._provider(wanted.provider)
        credential = await self._sign_in(provider, wanted.api_key)
        account = await self._gateway.accounts.add(
            provider.facts.name, wanted.name, credential, base_url=wanted.base_url, priority=wanted.priority
        )
        return _account_view(account, None)

    async def remove_account(self, provider: str, name: str) -> None:
        """Raises `NotFound` when there is none, `Conflict` for one of the settings."""
        found = self._gateway.registry.prefixes.get(provider, provider)
        if not await self._gateway.accounts.remove(found, name):
            raise NotFound(f"no account is called {provider!a} / {name!a}", fix="omniroute account list")

    def _provider(self, name: str) -> Provider:
        registry = self._gateway.registry
        found = registry.providers.get(registry.prefixes.get(name, name))
        if found is None:
            raise unknown_provider(name, registry.prefixes)
        return found

    async def _sign_in(self, provider: Provider, api_key: str | None) -> Credential | None:
        facts = provider.facts
        if facts.auth == "none":
            if api_key is not None:
                raise InvalidRequest(f"{facts.name} takes no key", param="api_key")
            return None
        scheme = self._gateway.registry.auth_schemes[facts.auth]
        given = {} if api_key is None else {"api_key": Secret(api_key)}
        return await self._drive(scheme.sign_in(facts, given), facts.name)

    async def _drive(self, flow: Generator[AuthStep, Any, Credential], name: str) -> Credential:
        """Do what a sign-in asks for. Steps that need a person have no place here: nobody is looking."""
        answer: object = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as done:
                credential: Credential = done.value
                return credential
            if not isinstance(step, HttpRequest):
                flow.close()
                raise InvalidRequest(f"signing in to {name} needs a person and a browser", param="provider")
            answer = await self._gateway.control.send(step)


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
    )


def _account_view(account: Account, locked: str | None) -> AccountView:
    return AccountView(
        id=account.id,
        provider=account.provider,
        name=account.name,
        base_url=account.base_url,
        priority=account.priority,
        origin=account.origin,
        credential=account.credential is not None,
        state="locked" if locked else "paused" if account.paused else "usable",
        reason=locked,
        models=None if account.models is None else len(account.models),
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
