"""Sign-ins that are going on: each a task that waits for a person, who may sit at another process or in a browser.

Whoever began one knows its id, which nobody can guess, and with it sees what is to be shown, hands in what was pasted, and
gets the result. The account exists once the credential is on the disk, and not before.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

from omniroute.contracts import (
    Account,
    AuthScheme,
    AwaitRedirect,
    Credential,
    OpenRedirect,
    Provider,
    ProviderFacts,
    ShowUser,
)
from omniroute.credentials.driver import Desk, Driver
from omniroute.credentials.redirects import Listener, read_pasted, uri_of
from omniroute.errors import Conflict, GatewayError, InternalError, InvalidRequest, NotFound
from omniroute.logs import get_logger
from omniroute.secret import Secret

__all__ = ["Finish", "SignIn", "SignInState", "SignIns", "signed_in"]

SignInState: TypeAlias = Literal["working", "waiting", "done", "failed"]
Finish: TypeAlias = Callable[[Credential], Awaitable[Account]]
"""Puts the credential on the disk."""
LONGEST_S = 1200.0
KEPT_S = 300.0
"""How long the end of a sign-in can be asked for."""
MOST = 16
NOBODYS_PORT = 54545
"""In a redirect that only leads to an address for pasting, where no listener could be opened."""

log = get_logger(__name__)


async def signed_in(
    driver: Driver,
    provider: Provider,
    scheme: AuthScheme,
    facts: ProviderFacts,
    given: Mapping[str, Secret],
    *,
    desk: Desk | None = None,
    proxy: Secret | None = None,
) -> Credential:
    """The whole of a sign-in: the scheme's part, then the provider's."""
    credential = await driver.run(scheme.sign_in(facts, given), desk=desk, proxy=proxy)
    return await driver.run(provider.finish_sign_in(credential), desk=desk, proxy=proxy)


class SignIn:
    """One that is going on, or has ended. Attributes are for reading; `changed` rises with each change."""

    def __init__(self, provider: str, *, paste: bool) -> None:
        self.id = secrets.token_urlsafe(24)
        self.provider = provider
        self.state: SignInState = "working"
        self.changed = 1
        self.shown: ShowUser | None = None
        self.redirect_uri: str | None = None
        self.is_listening = False
        """The browser can come back by itself; pasting works all the same."""
        self.note: str | None = None
        self.account: Account | None = None
        self.error: GatewayError | None = None
        self.ended_s: float | None = None
        """Monotonic."""
        self._paste = paste
        self._state: str | None = None
        self._listener: Listener | None = None
        self._pasted: asyncio.Future[Mapping[str, str]] | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"SignIn({self.provider}, {self.state})"

    # --- for whoever looks

    async def news(self, after: int, timeout_s: float) -> None:
        """Return when `changed` is beyond `after`, or the time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.changed <= after:
                    wake = self._wake
                    await wake.wait()
        except TimeoutError:
            pass

    def paste(self, text: str) -> None:
        """Hand in what the person pasted. Raises `InvalidRequest` when it is not this sign-in's redirect: try again."""
        if self._pasted is None or self._state is None or self.redirect_uri is None or self._pasted.done():
            raise InvalidRequest("this sign-in waits for nothing to be pasted", param="text")
        self._pasted.set_result(read_pasted(text, self.redirect_uri, self._state))

    # --- the desk

    async def show(self, step: ShowUser) -> None:
        self.shown = step
        self._tell("waiting")

    async def open_redirect(self, step: OpenRedirect) -> str:
        wants_page = step.paste_url is not None and (self._paste or step.always_paste)
        if wants_page:
            self.redirect_uri = step.paste_url
        else:
            self._listener = await Listener.open(step)
            if self._listener is None:
                taken = ", ".join(map(str, step.ports))
                self.note = f"The port {taken} is taken by another program, so the browser cannot come back by itself."
            port = step.ports[0] if step.ports else NOBODYS_PORT
            self.redirect_uri = uri_of(step, port) if self._listener is None else self._listener.uri
        self.is_listening = self._listener is not None and not self._paste
        assert self.redirect_uri is not None
        return self.redirect_uri

    async def await_redirect(self, step: AwaitRedirect) -> Mapping[str, str]:
        self._state = step.state
        self._pasted = asyncio.get_running_loop().create_future()
        ways = {self._pasted}
        if self._listener is not None:
            ways.add(self._listener.expect(step.state))
        self._tell("waiting")
        try:
            done, _ = await asyncio.wait(ways, timeout=step.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pasted.cancel()
            self._state = None
        if not done:
            raise InvalidRequest("nobody came back from the browser in time", fix="begin again")
        self.shown = None
        self._tell("working")
        return done.pop().result()

    # --- its life

    def begin(self, work: Awaitable[Account]) -> None:
        self._task = asyncio.create_task(self._run(work))

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, work: Awaitable[Account]) -> None:
        try:
            async with asyncio.timeout(LONGEST_S):
                self.account = await work
        except GatewayError as error:
            self.error = error
        except TimeoutError:
            self.error = InvalidRequest("the sign-in took too long", fix="begin again")
        except asyncio.CancelledError:
            self.error = InvalidRequest("the sign-in was called off")
        except Exception as error:
            log.exception("sign-in failed", provider=self.provider)
            self.error = InternalError("the sign-in failed", why=type(error).__name__, fix="the log says more")
        finally:
            if self._listener is not None:
                await self._listener.close()
            self.shown, self.is_listening = None, False
            self.ended_s = time.monotonic()
            self._tell("failed" if self.account is None else "done")

    def _tell(self, state: SignInState) -> None:
        self.state = state
        self.changed += 1
        self._wake.set()
        self._wake = asyncio.Event()


class SignIns:
    """All of one gateway."""

    def __init__(self) -> None:
        self._by_id: dict[str, SignIn] = {}

    def begin(self, provider: str, work: Callable[[SignIn], Awaitable[Account]], *, paste: bool) -> SignIn:
        """Raises `Conflict` when too many are going on."""
        self._forget_old()
        if len(self._by_id) >= MOST:
            raise Conflict(f"{MOST} sign-ins are going on", fix="finish or call off one of them")
        sign_in = SignIn(provider, paste=paste)
        self._by_id[sign_in.id] = sign_in
        sign_in.begin(work(sign_in))
        return sign_in

    def get(self, sign_in_id: str) -> SignIn:
        """Raises `NotFound`."""
        self._forget_old()
        found = self._by_id.get(sign_in_id)
        if found is None:
            raise NotFound("there is no such sign-in", why="it ended a while ago, or the gateway was restarted")
        return found

    async def close(self) -> None:
        for sign_in in list(self._by_id.values()):
            await sign_in.stop()

    def _forget_old(self) -> None:
        now = time.monotonic()
        for sign_in in list(self._by_id.values()):
            if sign_in.ended_s is not None and now - sign_in.ended_s > KEPT_S:
                del self._by_id[sign_in.id]
