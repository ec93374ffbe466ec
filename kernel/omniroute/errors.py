"""Every error the gateway raises, in one tree.

GatewayError                      what a client can be told: status, code, why, what to do
├── RequestError                  the caller sent something wrong; nothing went upstream
│   ├── InvalidRequest            400  body or parameter breaks a rule; `param` is its JSON pointer
│   │   └── TranslationRefused    400  the target dialect cannot carry it and the loss policy is strict
│   ├── AuthenticationFailed      401  no usable client key
│   ├── PermissionDenied          403  a good key that may not do this
│   ├── ModelNotFound             404  nobody serves this model; names the closest
│   ├── RouteNotFound             404  no such path
│   ├── NotFound                  404  what is to be changed or removed does not exist
│   ├── MethodNotAllowed          405
│   ├── RequestTooSlow            408  headers or body did not arrive in time
│   ├── Conflict                  409  the thing exists, or changed meanwhile
│   ├── IdempotencyConflict       409  the key was used for another request, or that one is still running
│   ├── PayloadTooLarge           413
│   ├── UnsupportedMediaType      415
│   ├── TooManyRequests           429  a limit of the client's key or of the gateway; nothing went upstream
│   └── MisdirectedRequest        421  a Host this gateway does not answer to
├── UpstreamError                 an upstream failed; says what to cool and whether another target may help
│   ├── UpstreamRefused           4xx  the upstream calls the request wrong: passed on, cools nothing, tries nobody else
│   │   ├── ContextTooLong        400  only a larger window may help
│   │   └── SignatureRejected     400  echoed reasoning was not accepted; strip it and try the same account once
│   ├── UpstreamModelMissing      404  this account or provider does not have the model
│   ├── CredentialRejected        401  cools the account
│   │   └── SignInRequired        401  the vendor will not renew the tokens: only a person can, by signing in again
│   ├── AccountBlocked            402/403 plan, balance or ban; cools the account
│   │   └── OutOfCredit           402  there is no money left: a status that no client repeats by itself
│   ├── RateLimited               429  throttled; cools the account's bucket until `retry_after_s`
│   │   └── QuotaExhausted        429  the plan is used up until it resets
│   ├── Overloaded                503/529 the provider, not the account; cools the model
│   ├── UpstreamFailed            5xx  counts for the breaker
│   ├── UpstreamUnreachable       502  DNS, connect, TLS: nothing was sent
│   │   └── ProxyUnreachable      502  the account's own proxy is not there or refuses; cools the account
│   │   └── TlsFailed             502  no secure connection; never tried without
│   │       ├── TlsExpired        502  the certificate's time is over, or has not come
│   │       ├── TlsWrongHost      502  the certificate is somebody else's
│   │       └── TlsUntrusted      502  nobody this machine trusts has signed it
│   ├── UpstreamTimeout           504  no content in time, or the whole took too long
│   │   └── UpstreamStalled       504  it had begun to answer, and fell silent
│   ├── UpstreamGarbled           502  an answer that is not the dialect it should be
│   │   └── UnexpectedContentType 502  a page, an image: something else answers at that address
│   ├── PluginFailed              502  a plugin's own code broke on this request; counts for the breaker
│   ├── RefreshFailed             503  the account's tokens could not be renewed this time; cools nothing
│   └── StreamBroken              502  the stream ended without its terminal marker
├── NoCandidate                   503  every candidate is out; `candidates` says why and until when
├── Draining                      503  shutting down
├── CredentialLocked              503  a stored credential cannot be decrypted
└── InternalError                 500  our fault; the log has the rest under the request id
StartError                        the gateway cannot start (exit code 2); one clear message
├── SettingsError                 findings in the settings, all at once
├── PluginError                   a plugin cannot be loaded
│   └── PluginConflict            two plugins want the same name
└── StoreError                    the data directory or its database cannot be used
    └── StoreLocked               another gateway uses it
VersionConflict                   a row changed since it was read
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

__all__ = [
    "AccountBlocked",
    "AuthenticationFailed",
    "Conflict",
    "ContextTooLong",
    "Cools",
    "CredentialLocked",
    "CredentialRejected",
    "Draining",
    "GatewayError",
    "IdempotencyConflict",
    "InternalError",
    "InvalidRequest",
    "MethodNotAllowed",
    "MisdirectedRequest",
    "ModelNotFound",
    "NoCandidate",
    "NotFound",
    "OutOfCredit",
    "Overloaded",
    "PayloadTooLarge",
    "PermissionDenied",
    "PluginConflict",
    "PluginError",
    "PluginFailed",
    "ProxyUnreachable",
    "QuotaExhausted",
    "RateLimited",
    "RefreshFailed",
    "RequestError",
    "RequestTooSlow",
    "RouteNotFound",
    "SettingsError",
    "SignInRequired",
    "SignatureRejected",
    "StartError",
    "StoreError",
    "StoreLocked",
    "StreamBroken",
    "TlsExpired",
    "TlsFailed",
    "TlsUntrusted",
    "TlsWrongHost",
    "TooManyRequests",
    "TranslationRefused",
    "UnexpectedContentType",
    "UnsupportedMediaType",
    "UpstreamError",
    "UpstreamFailed",
    "UpstreamGarbled",
    "UpstreamModelMissing",
    "UpstreamRefused",
    "UpstreamStalled",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "VersionConflict",
]

Cools: TypeAlias = Literal["nothing", "model", "bucket", "account"]
"""What a failure takes out of selection: nothing, (provider, model), (account, quota bucket) or the whole account."""


class GatewayError(Exception):
    """What a client is told. `message` says what happened, `why` the cause, `fix` what to do; none holds a credential."""

    http_status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        why: str | None = None,
        fix: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.fix = fix
        self.param = param
        """JSON pointer or name of the offending field."""
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status for the client."""
        return self.http_status

    @property
    def text(self) -> str:
        """`message`, `why` and `fix` as one paragraph, for dialects that have room for one string only."""
        return " · ".join(part for part in (self.message, self.why, self.fix) if part)


# --- the caller -------------------------------------------------------------------------------------------------------


class RequestError(GatewayError):
    http_status = 400
    code = "invalid_request"


class InvalidRequest(RequestError):
    pass


class TranslationRefused(InvalidRequest):
    code = "translation_refused"


class AuthenticationFailed(RequestError):
    """Says the same of a missing, unknown, revoked and expired key: the answer must not tell which keys exist."""

    http_status = 401
    code = "invalid_api_key"

    def __init__(
        self,
        message: str = "a client key is required",
        *,
        why: str | None = "the request carries none, or one that is unknown, revoked or expired",
        fix: str | None = "send `Authorization: Bearer KEY`; make one with `omniroute key create NAME`",
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, why=why, fix=fix, param=param, retry_after_s=retry_after_s)


class PermissionDenied(RequestError):
    http_status = 403
    code = "permission_denied"


class ModelNotFound(RequestError):
    http_status = 404
    code = "model_not_found"


class RouteNotFound(RequestError):
    http_status = 404
    code = "route_not_found"


class NotFound(RequestError):
    http_status = 404
    code = "not_found"


class MethodNotAllowed(RequestError):
    http_status = 405
    code = "method_not_allowed"


class RequestTooSlow(RequestError):
    http_status = 408
    code = "request_timeout"


class Conflict(RequestError):
    http_status = 409
    code = "conflict"


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"


class PayloadTooLarge(RequestError):
    http_status = 413
    code = "payload_too_large"


class UnsupportedMediaType(RequestError):
    http_status = 415
    code = "unsupported_media_type"


class TooManyRequests(RequestError):
    """`headers` say how much of the limits is left."""

    http_status = 429
    code = "rate_limit_exceeded"
    headers: Mapping[str, str] = {}


class MisdirectedRequest(RequestError):
    http_status = 421
    code = "misdirected_request"


# --- the upstream -----------------------------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    """An upstream failed. A plugin raises or returns one without knowing the target; the attempt loop fills that in.

    `upstream_status` is the upstream's own HTTP status (None when there was no answer), `retry_after_s` its hint.
    """

    http_status = 502
    code = "upstream_error"
    cools: ClassVar[Cools] = "nothing"
    try_next: ClassVar[bool] = True
    """Another candidate may succeed where this one failed."""
    try_same: ClassVar[bool] = False
    """The same candidate may succeed at once (a hiccup)."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        why: str | None = None,
        fix: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, why=why, fix=fix, param=param, retry_after_s=retry_after_s)
        self.upstream_status = status
        self.provider: str | None = None
        self.model: str | None = None
        self.account: str | None = None

    @property
    def status(self) -> int:
        """The upstream's own where it gave an error status, else `http_status`."""
        if self.upstream_status is not None and self.upstream_status >= 400:
            return self.upstream_status
        return self.http_status


class UpstreamRefused(UpstreamError):
    http_status = 400
    code = "upstream_refused"
    try_next = False


class ContextTooLong(UpstreamRefused):
    code = "context_length_exceeded"


class SignatureRejected(UpstreamRefused):
    code = "signature_rejected"


class UpstreamModelMissing(UpstreamError):
    http_status = 404
    code = "model_not_found"
    cools = "model"


class CredentialRejected(UpstreamError):
    http_status = 401
    code = "upstream_credential_rejected"
    cools = "account"


class SignInRequired(CredentialRejected):
    code = "sign_in_required"


class RefreshFailed(UpstreamError):
    http_status = 503
    code = "refresh_failed"


class AccountBlocked(UpstreamError):
    http_status = 403
    code = "upstream_account_blocked"
    cools = "account"


class OutOfCredit(AccountBlocked):
    http_status = 402
    code = "insufficient_quota"


class RateLimited(UpstreamError):
    http_status = 429
    code = "rate_limit_exceeded"
    cools: ClassVar[Cools] = "bucket"

    @property
    def status(self) -> int:
        """429 also where the upstream put it as 402: waiting helps, and that is what clients understand by 429 alone."""
        return self.http_status if self.upstream_status == 402 else super().status


class QuotaExhausted(RateLimited):
    code = "quota_exhausted"


class Overloaded(UpstreamError):
    http_status = 503
    code = "overloaded"
    cools = "model"


class UpstreamFailed(UpstreamError):
    code = "upstream_failed"
    try_same = True


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"


class TlsFailed(UpstreamUnreachable):
    code = "tls_handshake_failed"


class TlsExpired(TlsFailed):
    code = "tls_certificate_expired"


class TlsWrongHost(TlsFailed):
    code = "tls_wrong_host"


class TlsUntrusted(TlsFailed):
    code = "tls_untrusted"


class ProxyUnreachable(UpstreamUnreachable):
    code = "proxy_unreachable"
    cools = "account"


class UpstreamTimeout(UpstreamError):
    http_status = 504
    code = "upstream_timeout"


class UpstreamStalled(UpstreamTimeout):
    code = "upstream_stalled"


class UpstreamGarbled(UpstreamError):
    code = "upstream_garbled"


class UnexpectedContentType(UpstreamGarbled):
    code = "unexpected_content_type"


class PluginFailed(UpstreamError):
    code = "plugin_failed"


class StreamBroken(UpstreamError):
    code = "stream_truncated"


# --- the gateway itself -----------------------------------------------------------------------------------------------


class NoCandidate(GatewayError):
    """Nothing can serve the request now. `candidates` lists what was considered, one readable line each."""

    http_status = 503
    code = "no_candidate"

    def __init__(
        self,
        message: str,
        *,
        candidates: Sequence[str] = (),
        why: str | None = None,
        fix: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, why=why, fix=fix, retry_after_s=retry_after_s)
        self.candidates = tuple(candidates)


class Draining(GatewayError):
    http_status = 503
    code = "draining"


class CredentialLocked(GatewayError):
    http_status = 503
    code = "credential_locked"


class InternalError(GatewayError):
    pass


# --- start and store --------------------------------------------------------------------------------------------------


class StartError(Exception):
    """The gateway cannot start. Printed as `error[code]: message` with `why:` and `fix:` lines; exit code 2."""

    code: ClassVar[str] = "start"

    def __init__(self, message: str, *, why: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.fix = fix


class SettingsError(StartError):
    """Findings in the settings; `findings` has one line each, with file line or variable, and the closest good name."""

    code = "settings"

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("; ".join(findings))
        self.findings = tuple(findings)


class PluginError(StartError):
    """`findings` has one line for each thing that is wrong, when several were found at once."""

    code = "plugin"

    def __init__(
        self, message: str, *, why: str | None = None, fix: str | None = None, findings: Sequence[str] = ()
    ) -> None:
        super().__init__(message, why=why, fix=fix)
        self.findings = tuple(findings) or (message,)


class PluginConflict(PluginError):
    code = "plugin-conflict"


class StoreError(StartError):
    code = "store"


class StoreLocked(StoreError):
    code = "store-locked"


class VersionConflict(Exception):
    """A row changed since it was read; read it again and decide anew."""
