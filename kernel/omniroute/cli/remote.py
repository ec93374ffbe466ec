"""The way to a running gateway, over its own HTTP with the standard library: quick to import, no proxies, no redirects."""

import http.client
import socket
from collections.abc import Iterator
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from omniroute.cli.output import Exit, Problem
from omniroute.contracts import ListedModel
from omniroute.management.service import (
    AccountView,
    AddAccount,
    CreatedKey,
    CreateKey,
    KeyView,
    Status,
)
from omniroute.secret import Secret

__all__ = ["RemoteManagement", "lines_of", "send"]

T = TypeVar("T")
TIMEOUT_S = 30.0
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

    async def remove_account(self, provider: str, name: str) -> None:
        self._send("DELETE", f"/accounts/{quote(provider, safe='')}/{quote(name, safe='')}")

    def _call(self, method: str, path: str, kind: type[T], body: msgspec.Struct | None = None) -> T:
        try:
            return msgspec.json.decode(self._send(method, path, body), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Problem(
                code="garbled",
                message=f"the gateway at {self._url} answered something unexpected",
                why=str(error),
                fix="this command and the running gateway may be of different versions: restart the gateway",
            ) from error

    def _send(self, method: str, path: str, body: msgspec.Struct | None = None) -> bytes:
        encoded = None if body is None else msgspec.json.encode(body)
        with send(self._url, method, f"/api{path}", key=self._key, body=encoded) as response:
            content = response.read()
        if response.status >= 400:
            raise refusal(response.status, content)
        return content


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
    if body is not None:
        headers["content-type"] = "application/json"
    try:
        connection.request(method, path, body, headers)
        return Answer(connection, connection.getresponse())
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise _gone(url, error) from error


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
