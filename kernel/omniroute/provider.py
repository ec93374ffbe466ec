"""FactsProvider: an upstream made only of facts. Subclass it for the quirks that are not data."""

import email.utils
import re
from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from omniroute.contracts import (
    Account,
    Call,
    CredentialPlace,
    HttpRequest,
    HttpResponse,
    ModelFacts,
    ModelListing,
    Probe,
    ProviderFacts,
)
from omniroute.errors import (
    AccountBlocked,
    ContextTooLong,
    CredentialRejected,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    UpstreamError,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamModelMissing,
    UpstreamRefused,
)
from omniroute.model import ChatRequest

__all__ = ["FactsProvider", "retry_after_s"]

STATUS: Mapping[int, type[UpstreamError]] = {
    401: CredentialRejected,
    402: AccountBlocked,
    403: AccountBlocked,
    404: UpstreamModelMissing,
    408: UpstreamFailed,
    425: UpstreamFailed,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}
QUOTA_CODES = frozenset({"insufficient_quota", "quota_exceeded", "quota_exhausted", "billing_hard_limit_reached"})
TOO_LONG = re.compile(
    r"context.length.exceeded|maximum context length|prompt is too long|context window|too many tokens", re.IGNORECASE
)


class FactsProvider:
    """Everything a plain provider does follows from its facts.

    `adapt` takes out what the model refuses, `prepare` puts URL, headers and credential together, `classify` reads the
    status. All are pure, and each may be overridden alone.
    """

    def __init__(self, facts: ProviderFacts) -> None:
        self.facts = facts
        self._static_headers = {name.lower(): value for name, value in facts.headers.items()}

    def adapts(self, model: ModelFacts) -> bool:
        return type(self).adapt is not FactsProvider.adapt or bool(self.facts.drops or model.drops)

    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        present = {
            name: () if name == "stop" else None
            for name in (*self.facts.drops, *model.drops)
            if getattr(request.sampling, name) not in (None, ())
        }
        if not present:
            return request
        return msgspec.structs.replace(request, sampling=msgspec.structs.replace(request.sampling, **present))

    def prepare(self, call: Call) -> HttpRequest:
        operation = call.operation
        path = operation.stream_path if call.stream and operation.stream_path else operation.path
        if "{model}" in path:
            path = path.replace("{model}", call.model)
        url = f"{call.account.base_url}/{path}"
        if self.facts.query:
            url = f"{url}{'&' if '?' in url else '?'}{self.facts.query}"
        headers = {
            **call.headers,
            **self._static_headers,
            **self.credential_headers(call.account, call.credential_place),
        }
        return HttpRequest(method=operation.method, url=url, headers=headers, body=call.body)

    def credential_headers(self, account: Account, place: CredentialPlace) -> Mapping[str, str]:
        """The header that carries the account's credential; empty for keyless accounts."""
        if account.credential is None:
            return {}
        place = self.facts.credential or place
        return {place.header: place.prefix + account.credential.access.reveal()}

    def classify(self, response: HttpResponse) -> UpstreamError | None:
        status = response.status
        if status < 300:
            return None
        if status < 400:
            return UpstreamGarbled(f"the upstream answered {status}, a redirect", why="redirects are never followed")
        code, message = error_text(response.body)
        kind = STATUS.get(status) or (UpstreamRefused if status < 500 else UpstreamFailed)
        if kind is RateLimited and code in QUOTA_CODES:
            kind = QuotaExhausted
        elif kind is UpstreamRefused and (code == "context_length_exceeded" or TOO_LONG.search(message or "")):
            kind = ContextTooLong
        return kind(
            message or f"the upstream answered {status}", status=status, retry_after_s=retry_after_s(response.headers)
        )

    def list_models(self, account: Account, place: CredentialPlace) -> ModelListing | None:
        headers = {**self._static_headers, **self.credential_headers(account, place)}
        return ModelListing(request=HttpRequest(method="GET", url=f"{account.base_url}/models", headers=headers))

    def probe(self) -> tuple[Probe, ...]:
        return ()


class _Problem(msgspec.Struct):
    message: str | UnsetType | None = UNSET
    code: str | int | UnsetType | None = UNSET
    type: str | UnsetType | None = UNSET
    status: str | int | UnsetType | None = UNSET


class _Envelope(msgspec.Struct):
    error: _Problem | str | UnsetType | None = UNSET
    message: str | UnsetType | None = UNSET
    detail: str | UnsetType | None = UNSET


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def error_text(body: bytes) -> tuple[str | None, str | None]:
    """(code, message) of an error body in any of the usual shapes; (None, None) when it is in none of them."""
    try:
        found = _ENVELOPE.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None, None
    if isinstance(found.error, _Problem):
        names = (found.error.code, found.error.type, found.error.status)
        code = next((name for name in names if isinstance(name, str) and name), None)
        return code, found.error.message or None
    return None, found.error or found.message or found.detail or None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (seconds, or a date read against the answer's own `Date`).

    None when there is no hint, or it is negative or unreadable.
    """
    try:
        if milliseconds := headers.get("retry-after-ms"):
            seconds = float(milliseconds) / 1000
        elif not (value := headers.get("retry-after")):
            return None
        elif value.strip().replace(".", "", 1).isdigit():
            seconds = float(value)
        else:
            due = email.utils.parsedate_to_datetime(value)
            seconds = (due - email.utils.parsedate_to_datetime(headers["date"])).total_seconds()
    except (ValueError, TypeError, KeyError):
        return None
    return seconds if 0 <= seconds < float("inf") else None
