"""Renewing tokens. There is this one way to do it, for every reason there is: the end is near, an upstream said 401, a person
asked.

What it promises: one refresh of an account at a time, over all tasks and all processes on the store, and one at a time of all
accounts of one OAuth client (its *lane*), for vendors revoke everything when a refresh token comes twice, and take bursts for
theft. The row is read again once the right to refresh is there, so whoever waited takes what the other got. New tokens are on
the disk before anything is done with them; only token columns are written, and only while the lease holds; an old refresh
token is never given up because something failed. A refresh that was cut short is known from a mark in the row: the token
that is there is tried again. Only a vendor that refused the newest tokens for good, twice and a minute apart, makes an account
need a new sign-in.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec

from omniroute.accounts import Accounts, Login
from omniroute.contracts import Account, AuthScheme, Credential, Lease, Provider, Store
from omniroute.credentials.clients import with_own_client
from omniroute.credentials.driver import Driver
from omniroute.credentials.pauses import Pauses
from omniroute.errors import (
    GatewayError,
    NotFound,
    RefreshFailed,
    SignInRequired,
    StoreError,
    UpstreamError,
    UpstreamGarbled,
    UpstreamTimeout,
    VersionConflict,
)
from omniroute.logs import get_logger
from omniroute.secret import Secret

__all__ = ["Refresher"]

MARGIN_S = 30.0
"""A token that ends within this time is refreshed before a request is sent with it."""
JITTER_S = 60.0
"""What is due at once is spread over this time: after a laptop's sleep, everything is."""
PATROL_S = 15.0
LEASE_S = 60.0
PATIENCE_S = 20.0
"""How long a request waits for a refresh, which goes on without it."""
REFRESH_S = 45.0
"""For all of a refresh's requests; shorter than the lease."""
LEASE_POLL_S = 0.2
AGAIN_S = 60.0
"""Between the two refusals that make an account need a sign-in."""
UNKNOWN_OUTCOME = (UpstreamTimeout, UpstreamGarbled)
"""The vendor may have renewed the tokens, and nobody has the answer."""

log = get_logger(__name__)


class Refresher:
    """One per gateway. `owner` names whoever may hold the leases: the same after a restart on the same data directory, so
    that a process which died blocks nobody, and never that of another process that may be alive."""

    def __init__(
        self,
        accounts: Accounts,
        providers: Mapping[str, Provider],
        schemes: Mapping[str, AuthScheme],
        store: Store,
        driver: Driver,
        *,
        owner: str,
        environ: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._accounts = accounts
        self._providers = providers
        self._schemes = schemes
        self._store = store
        self._driver = driver
        self._owner = owner
        self.environ: Mapping[str, str] = environ or {}
        """Where OAuth clients of one's own may be."""
        self._monotonic = monotonic
        self._draw = draw
        self._running: dict[str, asyncio.Task[Account]] = {}
        self._lanes: dict[str, asyncio.Lock] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._pauses = Pauses(monotonic, after_refusal_s=AGAIN_S)
        self._unsaved: dict[str, Credential] = {}
        """Tokens that came and could not be written yet."""
        self._planned: dict[str, asyncio.Task[None]] = {}

    # --- for requests

    def is_due(self, account: Account) -> bool:
        """Nothing should be sent with this account before `current`. Asked per request."""
        credential = account.credential
        return (
            credential is not None
            and credential.expires_at_s is not None
            and credential.expires_at_s - MARGIN_S < self._driver.clock()
            and _can_be_renewed(account)
        )

    def is_out(self, account: Account) -> float | None:
        """Monotonic time until which nothing can be sent with this account, as its token has ended and cannot be renewed."""
        pause = self._pauses.of(account.id)
        return pause.until_s if pause is not None and self._has_ended(account) else None

    async def current(self, account: Account) -> Account:
        """The account with a token that is good for this request. Raises `RefreshFailed` or `SignInRequired`."""
        known = self._accounts.get(account.id) or account
        if not self.is_due(known):
            return known
        if self._pauses.of(known.id) is not None and not self._has_ended(known):
            return known
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._refreshed(known)
        except (UpstreamError, TimeoutError) as error:
            newest = self._accounts.get(account.id)
            if newest is None or self._has_ended(newest):
                if isinstance(error, UpstreamError):
                    raise
                raise RefreshFailed(f"renewing the tokens of {account.id} takes too long") from error
            return newest  # it was to end soon; until then it works

    async def renewed(self, account: Account) -> Account | None:
        """After an upstream refused it: the account with other tokens than these, None when there are none to be had."""
        if account.credential is None or not _can_be_renewed(account):
            return None
        known = self._accounts.get(account.id)
        if known is None or known.credential is None:
            return None
        if known.credential.access == account.credential.access:
            if self._pauses.of(known.id) is not None:
                return None
            try:
                known = await self._refreshed(known)
            except UpstreamError:
                return None
        changed = known.credential is not None and known.credential.access != account.credential.access
        return known if changed else None

    # --- for people, and by itself

    async def refresh(self, account_id: str) -> Account:
        """Refresh now, whatever the time. Raises `NotFound`, `RefreshFailed`, `SignInRequired`."""
        account = self._accounts.get(account_id)
        if account is None:
            raise NotFound(f"no account is called {account_id!a}", fix="omniroute account list")
        if not _can_be_renewed(account):
            raise RefreshFailed(f"{account_id} has nothing to renew its tokens with", why="no sign-in brought them")
        self._pauses.end(account_id)
        return await self._refreshed(account)

    def start(self) -> Callable[[], Awaitable[None]]:
        """Patrol until what is returned is called."""
        task = asyncio.create_task(self.patrol())

        async def stop() -> None:
            task.cancel()
            await asyncio.wait([task])

        return stop

    async def patrol(self) -> None:
        """Refresh what ends soon, until cancelled. What is due at once is spread out."""
        try:
            while True:
                self.look()
                await self._driver.sleep(PATROL_S)
        finally:
            for task in self._planned.values():
                task.cancel()

    def look(self) -> None:
        """Plan a refresh for each account that is due, up to a minute from now."""
        now = self._driver.clock()
        for account in self._accounts.all():
            if account.id in self._planned or not self._is_ahead(account, now):
                continue
            task = asyncio.create_task(self._later(account.id, JITTER_S * self._draw()))
            self._planned[account.id] = task
            task.add_done_callback(lambda _, account_id=account.id: self._planned.pop(account_id, None))  # type: ignore[misc]

    def _is_ahead(self, account: Account, now: float) -> bool:
        credential = account.credential
        if credential is None or credential.expires_at_s is None or account.paused or not _can_be_renewed(account):
            return False
        if self._accounts.login(account.id).is_needed or self._pauses.of(account.id) is not None:
            return False
        oauth = self._providers[account.provider].facts.oauth
        return oauth is not None and credential.expires_at_s - oauth.refresh_lead_s - JITTER_S < now

    async def _later(self, account_id: str, after_s: float) -> None:
        await self._driver.sleep(after_s)
        account = self._accounts.get(account_id)
        if account is None or not self._is_ahead(account, self._driver.clock()):
            return  # a request was faster
        try:
            await self._refreshed(account)
        except GatewayError as error:
            log.info("not refreshed", account=account_id, code=error.code)

    @asynccontextmanager
    async def alone(self, account_id: str) -> AsyncIterator[None]:
        """Nobody refreshes the account meanwhile: for renaming it, or signing in again."""
        task = self._running.get(account_id)
        if task is not None:
            await asyncio.wait([task])
        async with self._lock(account_id), self._leased(f"account/{account_id}"):
            yield
        self._pauses.end(account_id)
        self._unsaved.pop(account_id, None)

    async def close(self) -> None:
        """Let refreshes that run come to their end: tokens may be on their way."""
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=REFRESH_S)

    # --- the one way

    async def _refreshed(self, account: Account) -> Account:
        """All who want this account refreshed wait for the same refresh; one that leaves does not end it."""
        task = self._running.get(account.id)
        if task is None:
            task = asyncio.create_task(self._refresh(account))
            self._running[account.id] = task
            task.add_done_callback(lambda _: self._running.pop(account.id, None))
        try:
            return await asyncio.shield(task)
        except SignInRequired as error:
            raise SignInRequired(error.message, why=error.why, fix=f"omniroute account login {account.id}") from error
        except GatewayError as error:
            left_s = self._pauses.left_s(account.id)
            raise RefreshFailed(
                f"the tokens of {account.id} could not be renewed", why=error.text, retry_after_s=left_s
            ) from error

    async def _refresh(self, account: Account) -> Account:
        seen = None if account.credential is None else account.credential.access
        if (pause := self._pauses.of(account.id)) is not None:
            raise pause.error
        lane = self._lanes.setdefault(self._lane(account), asyncio.Lock())
        try:
            async with (
                lane,
                self._lock(account.id),
                self._leased(f"lane/{self._lane(account)}"),
                self._leased(f"account/{account.id}") as lease,
            ):
                refreshed = await self._with_the_right_to(account.id, seen, lease)
        except GatewayError as error:
            self._pauses.begin(account.id, error)
            raise
        except (StoreError, VersionConflict) as error:
            failed = RefreshFailed("the new tokens could not be kept", why=str(error))
            self._pauses.begin(account.id, failed)
            raise failed from error
        self._pauses.end(account.id)
        return refreshed

    async def _with_the_right_to(self, account_id: str, seen: Secret | None, lease: Lease) -> Account:
        account = await self._accounts.reread(account_id)
        if account is None or account.credential is None:
            raise NotFound(f"the account {account_id} is gone")
        if account.credential.access != seen:
            return account  # somebody else was faster
        login = self._accounts.login(account_id)
        if login.is_needed:
            raise SignInRequired(f"{account_id} needs a new sign-in", why=login.problem)
        if account_id in self._unsaved:
            return await self._keep(account_id, self._unsaved[account_id], lease)
        if login.begun_at_s is not None:
            log.warning("a refresh was cut short; the token that is left is tried again", account=account_id)
        begun = msgspec.structs.replace(login, begun_at_s=self._driver.clock())
        await self._accounts.write_login(account_id, begun, lease)
        try:
            return await self._ask(account, lease)
        except SignInRequired as error:
            await self._refused(account_id, login, error, lease)
            raise
        except GatewayError as error:
            is_unknown = isinstance(error, UNKNOWN_OUTCOME)
            mark = begun.begun_at_s if is_unknown else None
            failed = msgspec.structs.replace(self._accounts.login(account_id), begun_at_s=mark, problem=error.code)
            await self._accounts.write_login(account_id, failed, lease)
            raise

    async def _ask(self, account: Account, lease: Lease) -> Account:
        assert account.credential is not None
        facts = with_own_client(self._providers[account.provider].facts, self.environ)
        scheme = self._schemes.get(facts.auth)
        if scheme is None:
            raise RefreshFailed(f"nothing installed can renew tokens of {account.provider}")
        kept: list[Credential] = []

        async def keep(credential: Credential) -> None:
            await self._keep(account.id, credential, lease)
            kept.append(credential)

        try:
            async with asyncio.timeout(REFRESH_S):
                flow = scheme.refresh(facts, account.credential)
                credential = await self._driver.run(flow, keep=keep, proxy=account.proxy)
        except TimeoutError as error:
            raise UpstreamTimeout(f"{account.provider} did not renew the tokens within {REFRESH_S:g} s") from error
        if kept and kept[-1] == credential:
            return self._accounts.get(account.id) or account
        if credential == account.credential:
            raise RefreshFailed(
                f"{account.id} has nothing to renew its tokens with", why="no refresh token came with them"
            )
        return await self._keep(account.id, credential, lease)

    async def _keep(self, account_id: str, credential: Credential, lease: Lease) -> Account:
        self._unsaved[account_id] = credential
        login = Login(refreshed_at_s=self._driver.clock())
        account = await self._accounts.write_tokens(account_id, credential, login, lease)
        del self._unsaved[account_id]
        log.info("tokens renewed", account=account_id)
        return account

    async def _refused(self, account_id: str, login: Login, error: SignInRequired, lease: Lease) -> None:
        now = self._driver.clock()
        is_another = login.refused_at_s is None or now - login.refused_at_s >= AGAIN_S
        refused = Login(
            refusals=login.refusals + is_another,
            refused_at_s=now if is_another else login.refused_at_s,
            problem=error.code if login.begun_at_s is None else "refresh_unknown",
            refreshed_at_s=login.refreshed_at_s,
        )
        await self._accounts.write_login(account_id, refused, lease)
        if refused.is_needed:
            log.warning("account needs a new sign-in", account=account_id, reason=refused.problem)

    # --- leases and pauses

    def _lock(self, account_id: str) -> asyncio.Lock:
        """In this process; a lease is for the others."""
        return self._locks.setdefault(account_id, asyncio.Lock())

    @asynccontextmanager
    async def _leased(self, what: str) -> AsyncIterator[Lease]:
        """Raises `UpstreamTimeout` when somebody else does not let go of it."""
        name = f"refresh/{what}"
        give_up_s = self._monotonic() + 2 * LEASE_S
        while (lease := await self._store.acquire(name, self._owner, LEASE_S)) is None:
            if self._monotonic() > give_up_s:
                raise UpstreamTimeout("another process does not finish refreshing", why=f"it holds {name}")
            await self._driver.sleep(LEASE_POLL_S * (1 + self._draw()))
        try:
            yield lease
        finally:
            await self._store.release(lease)

    def _lane(self, account: Account) -> str:
        oauth = self._providers[account.provider].facts.oauth
        if oauth is None:
            return account.provider
        client_id = None if account.credential is None else account.credential.metadata.get("client_id")
        return oauth.lane or client_id or oauth.client_id

    def _has_ended(self, account: Account) -> bool:
        credential = account.credential
        ends_s = None if credential is None else credential.expires_at_s
        return ends_s is not None and ends_s <= self._driver.clock()


def _can_be_renewed(account: Account) -> bool:
    """It came by a sign-in, and with something to renew it by."""
    credential = account.credential
    return account.origin == "database" and credential is not None and bool(credential.refresh or credential.secrets)
