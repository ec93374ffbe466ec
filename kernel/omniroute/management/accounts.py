"""Accounts: signing in, looking, testing, renewing, changing. Values in, values out, as all of `Management`."""

import time
from typing import TYPE_CHECKING

from omniroute.accounts import identity_of, unknown_provider
from omniroute.contracts import Account, AuthScheme, Credential, Provider
from omniroute.credentials.clients import with_own_client
from omniroute.credentials.driver import Desk
from omniroute.credentials.sign_ins import SignIn, signed_in
from omniroute.errors import Conflict, InvalidRequest, NotFound
from omniroute.management.account_values import (
    AccountView,
    AddAccount,
    BeginSignIn,
    EditAccount,
    Paste,
    RenameAccount,
    Reset,
    SignInView,
    State,
    VaultView,
)
from omniroute.management.trial import AccountTrial, try_account
from omniroute.proxies import check_proxy, shown_proxy
from omniroute.secret import Secret

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = ["AccountManagement"]

KEYLESS = "none"
LONGEST_WAIT_S = 25.0


class AccountManagement:
    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    # --- looking

    async def accounts(self) -> list[AccountView]:
        return [self._view(account) for account in self._gateway.accounts.all()]

    async def account(self, provider: str, name: str) -> AccountView:
        """Raises `NotFound`."""
        return self._view(self._found(provider, name))

    async def test_account(self, provider: str, name: str) -> AccountTrial:
        """Whether the upstream takes its credential: by its list of models, else by an answer of one token."""
        return await try_account(self._gateway, self._found(provider, name))

    # --- adding

    async def add_account(self, wanted: AddAccount) -> AccountView:
        """Raises `InvalidRequest` and `Conflict`, and `UpstreamError` when signing in failed."""
        provider = self._provider(wanted.provider)
        return self._view(await self._added(provider, wanted, await self._signed_in(provider, wanted)))

    async def begin_sign_in(self, wanted: BeginSignIn) -> SignInView:
        """Begin; what the person must see and do is in the view, and in those after it. Raises as `add_account`."""
        provider = self._provider(wanted.provider)
        name = provider.facts.name
        account = self._gateway.accounts.get(f"{name}/{wanted.name}")
        if wanted.again and account is None:
            raise NotFound(f"no account is called {name}/{wanted.name}", fix="omniroute account list")
        if not wanted.again and account is not None and account.origin != "discovered":
            raise Conflict(
                f"the account {account.id} exists already",
                fix=f"choose another name, or sign in again: omniroute account login {account.id}",
            )
        self._scheme(provider, wanted)

        async def work(sign_in: SignIn) -> Account:
            credential = await self._signed_in(provider, wanted, sign_in)
            if wanted.again:
                return await self._again(f"{name}/{wanted.name}", credential, replace=wanted.replace)
            return await self._added(provider, wanted, credential)

        return self._sign_in_view(self._gateway.sign_ins.begin(name, work, paste=wanted.paste))

    async def sign_in(self, sign_in_id: str, *, after: int = 0, wait_s: float = 0.0) -> SignInView:
        """How it stands; with `after`, once it stands otherwise or the time is up. Raises `NotFound`."""
        sign_in = self._gateway.sign_ins.get(sign_in_id)
        await sign_in.news(after, min(wait_s, LONGEST_WAIT_S))
        return self._sign_in_view(sign_in)

    async def paste_redirect(self, sign_in_id: str, pasted: Paste) -> SignInView:
        """Raises `NotFound`, and `InvalidRequest` for what is not this sign-in's: it goes on waiting."""
        sign_in = self._gateway.sign_ins.get(sign_in_id)
        sign_in.paste(pasted.text)
        return self._sign_in_view(sign_in)

    async def stop_sign_in(self, sign_in_id: str) -> None:
        await self._gateway.sign_ins.get(sign_in_id).stop()

    # --- changing

    async def refresh_account(self, provider: str, name: str) -> AccountView:
        """Renew its tokens now. Raises `NotFound`, `RefreshFailed`, `SignInRequired`."""
        return self._view(await self._gateway.refresher.refresh(self._found(provider, name).id))

    async def edit_account(self, provider: str, name: str, changes: EditAccount) -> AccountView:
        """Raises `NotFound`, and `Conflict` for an account that is not the database's."""
        edited = await self._gateway.accounts.edit(
            self._found(provider, name).id,
            priority=changes.priority,
            paused=changes.paused,
            other_clients=changes.other_clients,
            proxy=None if changes.proxy is None else Secret(changes.proxy),
        )
        return self._view(edited)

    async def rename_account(self, provider: str, name: str, wanted: RenameAccount) -> AccountView:
        """Raises `NotFound`, `Conflict`, `InvalidRequest`."""
        account_id = self._found(provider, name).id
        async with self._gateway.refresher.alone(account_id):
            return self._view(await self._gateway.accounts.rename(account_id, wanted.name))

    async def remove_account(self, provider: str, name: str) -> None:
        """Raises `NotFound` when there is none, `Conflict` for one of the settings."""
        found = self._gateway.registry.prefixes.get(provider, provider)
        async with self._gateway.refresher.alone(f"{found}/{name}"):
            if not await self._gateway.accounts.remove(found, name):
                raise NotFound(f"no account is called {provider!a} / {name!a}", fix="omniroute account list")

    async def reset_account(self, provider: str, name: str) -> Reset:
        """Forget what failures took out of selection: a person says that it is well. Raises `NotFound`."""
        account = self._found(provider, name)
        cleared = self._gateway.health.forget(account.provider, account.name)
        await self._gateway.keeper.save()
        return Reset(id=account.id, cleared=cleared)

    async def rotate_vault(self) -> VaultView:
        """Seal everything with a new key."""
        gateway = self._gateway
        await gateway.vault_key.rotate(gateway.vault, gateway.accounts.reseal)
        return VaultView(key_id=gateway.vault.key_id)

    # --- signing in

    async def _signed_in(self, provider: Provider, wanted: AddAccount, desk: Desk | None = None) -> Credential | None:
        scheme = self._scheme(provider, wanted)
        if scheme is None:
            return None
        gateway = self._gateway
        facts = with_own_client(provider.facts, gateway.refresher.environ)
        given = {} if wanted.api_key is None else {"api_key": Secret(wanted.api_key)}
        proxy = None if wanted.proxy is None else check_proxy(Secret(wanted.proxy))
        return await signed_in(gateway.driver, provider, scheme, facts, given, desk=desk, proxy=proxy)

    def _scheme(self, provider: Provider, wanted: AddAccount) -> AuthScheme | None:
        """The one that was named, else the first that can begin with what was given. None: the provider is keyless."""
        facts = provider.facts
        names = (facts.auth, *facts.auth_also)
        if wanted.scheme is not None:
            if wanted.scheme not in names:
                raise InvalidRequest(
                    f"{facts.name} has no sign-in called {wanted.scheme!a}",
                    fix=f"it has {', '.join(names)}",
                    param="scheme",
                )
            names = (wanted.scheme,)
        if names == (KEYLESS,):
            if wanted.api_key is not None:
                raise InvalidRequest(f"{facts.name} takes no key", param="api_key")
            return None
        schemes = [self._gateway.registry.auth_schemes[name] for name in names if name != KEYLESS]
        fitting = (scheme for scheme in schemes if _is_interactive(scheme) == (wanted.api_key is None))
        return next(fitting, schemes[0])

    async def _added(self, provider: Provider, wanted: AddAccount, credential: Credential | None) -> Account:
        return await self._gateway.accounts.add(
            provider.facts.name,
            wanted.name,
            credential,
            base_url=wanted.base_url,
            priority=wanted.priority,
            limits=wanted.limits,
            proxy=None if wanted.proxy is None else Secret(wanted.proxy),
            other_clients=wanted.other_clients,
        )

    async def _again(self, account_id: str, credential: Credential | None, *, replace: bool) -> Account:
        if credential is None:
            raise InvalidRequest(f"{account_id} needs no credential")
        async with self._gateway.refresher.alone(account_id):
            account = await self._gateway.accounts.sign_in_again(account_id, credential, replace=replace)
        self._gateway.health.forget(account.provider, account.name)
        return account

    # --- values

    def _provider(self, name: str) -> Provider:
        registry = self._gateway.registry
        found = registry.providers.get(registry.prefixes.get(name, name))
        if found is None:
            raise unknown_provider(name, registry.prefixes)
        return found

    def _found(self, provider: str, name: str) -> Account:
        found = self._gateway.registry.prefixes.get(provider, provider)
        account = self._gateway.accounts.get(f"{found}/{name}")
        if account is None:
            raise NotFound(f"no account is called {provider!a} / {name!a}", fix="omniroute account list")
        return account

    def _view(self, account: Account) -> AccountView:
        accounts = self._gateway.accounts
        login, locked = accounts.login(account.id), accounts.locked.get(account.id)
        state: State = "usable"
        reason = locked
        if locked is not None:
            state = "locked"
        elif login.is_needed:
            state, reason = "needs_login", f"{login.problem}; omniroute account login {account.id}"
        elif account.paused:
            state = "paused"
        elif login.begun_at_s is not None and login.begun_at_s < time.time() - LONGEST_WAIT_S:
            reason = "refresh_unknown: its last refresh was cut short; the token that is left will be tried again"
        elif login.problem is not None:
            reason = f"its last refresh failed: {login.problem}"
        credential = account.credential
        return AccountView(
            id=account.id,
            provider=account.provider,
            name=account.name,
            base_url=account.base_url,
            priority=account.priority,
            origin=account.origin,
            credential=credential is not None,
            state=state,
            reason=reason,
            models=None if account.models is None else len(account.models),
            limits=account.limits,
            proxy=shown_proxy(account.proxy),
            other_clients=account.other_clients,
            identity=identity_of(credential),
            plan=None if credential is None else credential.metadata.get("plan"),
            expires_at_s=None if credential is None else credential.expires_at_s,
            refreshed_at_s=login.refreshed_at_s,
        )

    def _sign_in_view(self, sign_in: SignIn) -> SignInView:
        shown, error = sign_in.shown, sign_in.error
        return SignInView(
            id=sign_in.id,
            provider=sign_in.provider,
            state=sign_in.state,
            changed=sign_in.changed,
            message=None if shown is None else shown.message,
            url=None if shown is None else shown.url,
            code=None if shown is None else shown.code,
            expires_in_s=None if shown is None else shown.expires_in_s,
            redirect_uri=sign_in.redirect_uri,
            is_listening=sign_in.is_listening,
            note=sign_in.note,
            account=None if sign_in.account is None else self._view(sign_in.account),
            error=None
            if error is None
            else {"code": error.code, "message": error.message, "why": error.why, "fix": error.fix},
        )


def _is_interactive(scheme: AuthScheme) -> bool:
    return getattr(scheme, "interactive", False)  # schemes of before there were others need not say so
