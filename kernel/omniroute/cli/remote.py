"""The way to a running gateway, over its own HTTP with the standard library: quick to import, no proxies, no redirects."""

import http.client
import socket
from collections.abc import Iterator
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from omniroute.cli.output import Exit, Problem
from omniroute.combos import ComboMetrics, ComboTest, ComboView
from omniroute.contracts import ListedModel
from omniroute.drilling import Drill, DrillOrder
from omniroute.explaining import Explanation, Question
from omniroute.importing.values import ImportSources, LocalServer, Planned, TakeOver
from omniroute.management.account_values import (
    AccountView,
    AddAccount,
    BeginSignIn,
    EditAccount,
    Paste,
    RenameAccount,
    Reset,
    SignInView,
    VaultView,
)
from omniroute.management.decisions import RequestView
from omniroute.management.importing import Imported, PlanImport
from omniroute.management.providers import ProviderDetails
from omniroute.management.service import CreatedKey, CreateKey, KeyView, ProviderView, Status
from omniroute.management.trial import AccountTrial
from omniroute.quota import QuotaReading
from omniroute.secret import Secret

__all__ = ["RemoteManagement", "lines_of", "send"]

T = TypeVar("T")
TIMEOUT_S = 30.0
SLOW_S = 120.0
"""For what asks an upstream first."""
PATIENCE_S = 600.0
"""Between two lines of an answer; the gateway sends signs of life more often."""


class RemoteManagement:
    """As `omniroute.management.service.Management`, in another process. Raises `Problem`."""

    def __init__(self, url: str, key: Secret | None) -> None:
        self._url = url
        self._key = key

    async def status(self) -> Status:
        return self._call("GET", "/status", Status)

    async def models(self) -> list[ListedModel]:
        return self._call("GET", "/models", list[ListedModel])

    async def explain(self, question: Question) -> Explanation:
        asked = {name: value for name, value in msgspec.structs.asdict(question).items() if name != "body" and value}
        path = f"/route/explain?{urlencode(asked)}"
        return self._call("POST", path, Explanation, msgspec.Raw(question.body))

    async def request(self, request_id: str) -> RequestView:
        return self._call("GET", f"/requests/{quote(request_id, safe='')}", RequestView)

    async def combos(self) -> list[ComboView]:
        return self._call("GET", "/combos", list[ComboView])

    async def combo(self, name: str) -> ComboView:
        return self._call("GET", _combo_path(name), ComboView)

    async def combo_metrics(self, name: str) -> ComboMetrics:
        return self._call("GET", f"{_combo_path(name)}/metrics", ComboMetrics)

    async def test_combo(self, name: str) -> ComboTest:
        return self._call("POST", f"{_combo_path(name)}/test", ComboTest, timeout_s=PATIENCE_S)

    async def drill(self, order: DrillOrder) -> Drill:
        return self._call("POST", "/drill", Drill, order)

    async def provider(self, name: str) -> ProviderDetails:
        return self._call("GET", f"/providers/{quote(name, safe='')}", ProviderDetails)

    async def quota(self) -> list[QuotaReading]:
        return self._call("GET", "/quota", list[QuotaReading])

    async def keys(self) -> list[KeyView]:
        return self._call("GET", "/keys", list[KeyView])

    async def create_key(self, wanted: CreateKey) -> CreatedKey:
        return self._call("POST", "/keys", CreatedKey, wanted)

    async def revoke_key(self, id_or_name: str) -> None:
        self._send("DELETE", f"/keys/{quote(id_or_name, safe='')}")

    async def accounts(self) -> list[AccountView]:
        return self._call("GET", "/accounts", list[AccountView])

    async def add_account(self, wanted: AddAccount) -> AccountView:
        return self._call("POST", "/accounts", AccountView, wanted)

    async def providers(self) -> list[ProviderView]:
        return self._call("GET", "/providers", list[ProviderView])

    async def account(self, provider: str, name: str) -> AccountView:
        return self._call("GET", _account(provider, name), AccountView)

    async def edit_account(self, provider: str, name: str, changes: EditAccount) -> AccountView:
        return self._call("PATCH", _account(provider, name), AccountView, changes)

    async def rename_account(self, provider: str, name: str, wanted: RenameAccount) -> AccountView:
        return self._call("POST", f"{_account(provider, name)}/name", AccountView, wanted)

    async def test_account(self, provider: str, name: str) -> AccountTrial:
        return self._call("POST", f"{_account(provider, name)}/test", AccountTrial, timeout_s=SLOW_S)

    async def refresh_account(self, provider: str, name: str) -> AccountView:
        return self._call("POST", f"{_account(provider, name)}/refresh", AccountView, timeout_s=SLOW_S)

    async def begin_sign_in(self, wanted: BeginSignIn) -> SignInView:
        return self._call("POST", "/sign-ins", SignInView, wanted)

    async def sign_in(self, sign_in_id: str, *, after: int = 0, wait_s: float = 0.0) -> SignInView:
        query = urlencode({"after": after, "wait_s": wait_s})
        return self._call("GET", f"/sign-ins/{quote(sign_in_id, safe='')}?{query}", SignInView)

    async def paste_redirect(self, sign_in_id: str, pasted: Paste) -> SignInView:
        return self._call("POST", f"/sign-ins/{quote(sign_in_id, safe='')}/redirect", SignInView, pasted)

    async def stop_sign_in(self, sign_in_id: str) -> None:
        self._send("DELETE", f"/sign-ins/{quote(sign_in_id, safe='')}")

    async def import_sources(self) -> ImportSources:
        return self._call("GET", "/import", ImportSources)

    async def local_servers(self) -> list[LocalServer]:
        return self._call("GET", "/import/local", list[LocalServer])

    async def plan_import(self, wanted: PlanImport) -> list[Planned]:
        return self._call("POST", "/import/plan", list[Planned], wanted)

    async def import_login(self, wanted: TakeOver) -> Imported:
        return self._call("POST", "/import", Imported, wanted, timeout_s=SLOW_S)

    async def rotate_vault(self) -> VaultView:
        return self._call("POST", "/vault/rotate", VaultView)

    async def remove_account(self, provider: str, name: str) -> None:
        self._send("DELETE", f"/accounts/{quote(provider, safe='')}/{quote(name, safe='')}")

    async def reset_account(self, provider: str, name: str) -> Reset:
        return self._call("POST", f"/accounts/{quote(provider, safe='')}/{quote(name, safe='')}/reset", Reset)

    def _call(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: msgspec.Struct | msgspec.Raw | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> T:
        try:
            return msgspec.json.decode(self._send(method, path, body, timeout_s=timeout_s), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Problem(
                code="garbled",
                message=f"the gateway at {self._url} answered something unexpected",
                why=str(error),
                fix="this command and the running gateway may be of different versions: restart the gateway",
            ) from error

    def _send(
        self, method: str, path: str, body: msgspec.Struct | msgspec.Raw | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> bytes:
        encoded = None if body is None else msgspec.json.encode(body)
        with send(self._url, method, f"/api{path}", key=self._key, body=encoded, timeout_s=timeout_s) as response:
            content = response.read()
        if response.status >= 400:
            raise refusal(response.status, content)
        return content


def _account(provider: str, name: str) -> str:
    return f"/accounts/{quote(provider, safe='')}/{quote(name, safe='')}"


class Answer:
    """A response with its connection, closed together."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self.status = response.status
        self.read = response.read
        self.readline = response.readline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._connection.close()


def send(
    url: str, method: str, path: str, *, key: Secret | None, body: bytes | None, timeout_s: float = TIMEOUT_S
) -> Answer:
    """Return when the head of the answer is here. Raises `Problem` when nobody answers."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
    headers = {"accept": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key.reveal()}"
    if body is not None or method == "POST":
        headers["content-type"] = "application/json"
    try:
        connection.request(method, path, body, headers)
        return Answer(connection, connection.getresponse())
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise _gone(url, error) from error


def _combo_path(name: str) -> str:
    """Twice quoted: once for the wire, and once for a slash to stay part of the name."""
    return f"/combos/{quote(quote(name, safe=''), safe='')}"


def lines_of(answer: Answer, url: str) -> Iterator[bytes]:
    """The lines of a streamed body, without their ends."""
    try:
        while line := answer.readline():
            yield line.rstrip(b"\r\n")
    except (OSError, http.client.HTTPException) as error:
        raise _gone(url, error) from error


def refusal(status: int, content: bytes) -> Problem:
    """The gateway's own words, of `/api` or in OpenAI's form."""
    found: Any = None
    try:
        found = msgspec.json.decode(content)["error"]
        texts = {name: found.get(name) for name in ("code", "message", "why", "fix")}
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        texts = {}
    return Problem(
        code=str(texts.get("code") or status),
        message=str(texts.get("message") or f"the gateway answered {status}"),
        why=texts.get("why"),
        fix=texts.get("fix"),
        leave=_exit(status),
    )


def _exit(status: int) -> Exit:
    if status == 401:
        return Exit.AUTH
    return Exit.UPSTREAM if status == 429 or status >= 500 else Exit.FAILURE


def _gone(url: str, error: Exception) -> Problem:
    if isinstance(error, socket.timeout):
        return Problem(code="timeout", message=f"the gateway at {url} did not answer in time")
    return Problem(
        code="not-running",
        message=f"the gateway at {url} cannot be reached",
        why=str(error) or type(error).__name__,
        fix="omniroute serve",
        leave=Exit.NOT_RUNNING,
    )
