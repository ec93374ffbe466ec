"""FactsProvider: an upstream made only of facts. Subclass it for the quirks that are not data."""

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from omniroute.contracts import (
    Account,
    AuthStep,
    Call,
    Credential,
    CredentialPlace,
    HttpRequest,
    HttpResponse,
    ModelFacts,
    ModelListing,
    Probe,
    ProviderFacts,
    QuotaWindow,
)
from omniroute.errors import (
    AccountBlocked,
    ContextTooLong,
    CredentialRejected,
    InvalidRequest,
    OutOfCredit,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    SignatureRejected,
    UpstreamError,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamModelMissing,
    UpstreamRefused,
)
from omniroute.model import ChatRequest, Loss
from omniroute.reasoning_text import without_reasoning
from omniroute.refusal import Refusal, read_refusal, retry_after_s, wait_s
from omniroute.system_text import as_user_text

__all__ = ["FactsProvider", "retry_after_s"]

STATUS: Mapping[int, type[UpstreamError]] = {
    401: CredentialRejected,
    402: OutOfCredit,
    403: AccountBlocked,
    404: UpstreamModelMissing,
    408: UpstreamFailed,
    425: UpstreamFailed,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}
QUOTA_CODES = frozenset(
    {"insufficient_quota", "quota_exceeded", "quota_exhausted", "billing_hard_limit_reached", "usage_limit_reached"}
)
TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
SIGNATURE_CODES = frozenset({"invalid_encrypted_content"})
TOO_LONG = re.compile(
    r"context.length.exceeded|maximum context length|context window|exceeds? (the available )?context"
    r"|(prompt|input) is too long|too many tokens|exceeds the maximum number of tokens",
    re.IGNORECASE,
)
SIGNATURE = re.compile(
    r"invalid .?signature.? in .?thinking|thought.?signature.{0,20}(not valid|invalid)|corrupted thought", re.IGNORECASE
)
REASONING_REFUSED = re.compile(
    r"(unsupported|unknown|unrecogni[sz]ed|unexpected|extra|remove)\b.{0,60}\breasoning_content"
    r"|\breasoning_content\b.{0,40}(unsupported|unexpected|not (supported|allowed|permitted))",
    re.IGNORECASE,
)
"""Said of plain reasoning of earlier turns, which some servers want back and others refuse."""
MAX_KNOWN = 256
"""Accounts and paths of which is kept what their requests have in common."""
KEY_LIKE = re.compile(r"[\w-]*\*{3,}[\w*-]*|(?=[\w-]*\d)[\w-]{16,}")
"""Upstreams name the key they refuse, in part or whole."""


class _Prepared(msgspec.Struct, frozen=True, kw_only=True):
    account: Account
    place: CredentialPlace
    url: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"_Prepared({self.account.id}, {self.url})"  # headers hold the credential


class FactsProvider:
    """Everything a plain provider does follows from its facts.

    `adapt` takes out what `dropped` names, `prepare` puts URL, headers and credential together, `classify` reads status and
    body. All are pure, and each may be overridden alone.
    """

    means: ClassVar[Mapping[str, type[UpstreamError]]] = {}
    """What this upstream's own error words mean, whatever the status: code, type, status or reason, in lower case."""

    def __init__(self, facts: ProviderFacts) -> None:
        self.facts = facts
        own = type(self)
        self._keeps = own.url is FactsProvider.url and own.credential_headers is FactsProvider.credential_headers
        self._known: dict[tuple[int, str], _Prepared] = {}
        self._static_headers = {name.lower(): value for name, value in facts.headers.items()}

    # --- requests

    def dropped(self, model: ModelFacts) -> tuple[str, ...]:
        """The sampling fields this upstream refuses for the model."""
        return (*self.facts.drops, *model.drops)

    def adapts(self, model: ModelFacts) -> bool:
        changes = self.facts.refuses_reasoning or model.refuses_system or bool(self.dropped(model))
        return changes or type(self).adapt is not FactsProvider.adapt

    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        if model.refuses_system:
            request = as_user_text(request)
        if self.facts.refuses_reasoning:
            request = without_reasoning(request)
        sampling = request.sampling
        refused = [name for name in self.dropped(model) if getattr(sampling, name) not in (None, ())]
        if not refused:
            return request
        nothing = {name: () if name == "stop" else None for name in refused}
        losses = (Loss(pointer=f"/{name}", kind="dropped", reason=f"{model.id} does not take it") for name in refused)
        return msgspec.structs.replace(
            request, sampling=msgspec.structs.replace(sampling, **nothing), losses=(*request.losses, *losses)
        )

    def prepare(self, call: Call) -> HttpRequest:
        operation = call.operation
        path = operation.stream_path if call.stream and operation.stream_path else operation.path
        if "{model}" in path:
            path = path.replace("{model}", in_path(call.model))
        account, place = call.account, call.credential_place
        known = self._known.get((id(account), path))
        if known is None or known.place is not place:
            known = self._prepared(account, place, path)
        headers = {**call.headers, **known.headers}
        return HttpRequest(method=operation.method, url=known.url, headers=headers, body=call.body)

    def _prepared(self, account: Account, place: CredentialPlace, path: str) -> "_Prepared":
        """What is the same in each request of an account to a path. Kept, unless a subclass has a way of its own."""
        headers = {**self._static_headers, **self.credential_headers(account, place)}
        made = _Prepared(account=account, place=place, url=self.url(account, path), headers=headers)
        if self._keeps:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[id(account), path] = made  # which holds the account, so that no other has its id
        return made

    def credential_headers(self, account: Account, place: CredentialPlace) -> Mapping[str, str]:
        """The header that carries the account's credential; empty for keyless accounts."""
        if account.credential is None:
            return {}
        place = self.facts.credential or place
        return {place.header: place.prefix + account.credential.access.reveal()}

    def beside(self, account: Account, url: str, *, home: str) -> str:
        """`url` of the vendor, which is not below the API root `home` that a plugin ships: on the account's own host, where
        settings or account have another root. A credential goes nowhere its owner does not send it."""
        own, stated = urlsplit(account.base_url), urlsplit(url)
        hosts = () if self.facts.oauth is None else self.facts.oauth.base_url_hosts
        if account.base_url == home or any(f".{own.hostname}".endswith(f".{host}") for host in hosts):
            return url
        return urlunsplit((own.scheme, own.netloc, stated.path, stated.query, ""))

    def url(self, account: Account, path: str) -> str:
        url = f"{account.base_url}/{path}"
        if not self.facts.query:
            return url
        return f"{url}{'&' if '?' in path else '?'}{self.facts.query}"

    # --- answers

    def classify(self, response: HttpResponse) -> UpstreamError | None:
        status = response.status
        if status < 300:
            return None
        if status < 400:
            return UpstreamGarbled(f"the upstream answered {status}, a redirect", why="redirects are never followed")
        refusal = read_refusal(response)
        kind = next((self.means[word] for word in refusal.codes if word in self.means), None) or kind_of(
            status, refusal
        )
        message = refusal.message or f"the upstream answered {status}"
        if kind is CredentialRejected:
            message = KEY_LIKE.sub("***", message)
        return kind(message, status=status, retry_after_s=refusal.retry_after_s)

    @staticmethod
    def wait_s(until_s: float, headers: Mapping[str, str]) -> float | None:
        """Seconds from an answer's own `Date` to a Unix time; None where it has no date, and for a time that is past."""
        return wait_s(until_s, headers)

    def bucket(self, model: ModelFacts) -> str:
        """Each model has limits of its own."""
        return model.id

    # --- what there is

    def list_models(self, account: Account, place: CredentialPlace) -> ModelListing | None:
        """None when the facts say that the upstream does not offer the operation `models`."""
        if self.facts.operations is not None and "models" not in self.facts.operations:
            return None
        headers = {**self._static_headers, **self.credential_headers(account, place)}
        return ModelListing(request=HttpRequest(method="GET", url=self.url(account, "models"), headers=headers))

    def probe(self) -> tuple[Probe, ...]:
        return ()

    def quota(self, account: Account) -> HttpRequest | None:
        return None

    def read_quota(self, response: HttpResponse) -> Sequence[QuotaWindow]:
        return ()

    def read_rate_headers(self, headers: Mapping[str, str]) -> Sequence[QuotaWindow]:
        return ()

    def finish_sign_in(self, credential: Credential) -> Generator[AuthStep, Any, Credential]:
        """Nothing more to do after a sign-in."""
        yield from ()
        return credential


def kind_of(status: int, refusal: Refusal) -> type[UpstreamError]:
    """What a status means, unless the body is more exact. `status` is 400 or above."""
    kind = STATUS.get(status) or (UpstreamRefused if status < 500 else UpstreamFailed)
    message = refusal.message or ""
    if kind is RateLimited and refusal.codes & QUOTA_CODES:
        return QuotaExhausted
    if kind is UpstreamRefused:
        if "model_not_found" in refusal.codes:
            return UpstreamModelMissing
        if refusal.codes & TOO_LONG_CODES or TOO_LONG.search(message):
            return ContextTooLong
        if refusal.codes & SIGNATURE_CODES or SIGNATURE.search(message) or REASONING_REFUSED.search(message):
            return SignatureRejected
    return kind


def in_path(model: str) -> str:
    """A model's id as part of a URL's path. Slashes stay; an id that would lead elsewhere raises `InvalidRequest`."""
    if not all(part.strip(".") for part in model.split("/")):
        raise InvalidRequest(f"the model id {model[:80]!r} cannot be part of a path", param="model")
    return quote(model, safe="/@")
