"""Gemini Code Assist by Google sign-in: Gemini's dialect inside an envelope that names model and project.

Facts are in `facts`, how an account gets its project in `project`. Answers are opened by the kernel (`envelope`); requests are
put into theirs here, the body untouched.
"""

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from omniroute.api import (
    Account,
    AccountBlocked,
    AuthStep,
    Call,
    Credential,
    FactsProvider,
    HttpRequest,
    HttpResponse,
    Overloaded,
    QuotaWindow,
    UpstreamError,
    UpstreamGarbled,
    hookimpl,
)
from omniroute_provider_gemini_cli.facts import FACTS
from omniroute_provider_gemini_cli.project import PROJECT, find_project

__all__ = ["FACTS", "GeminiCli", "register_providers"]

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
MEANS: Mapping[str, type[UpstreamError]] = {"model_capacity_exhausted": Overloaded}


class Bucket(msgspec.Struct, rename="camel"):
    model_id: str
    remaining_fraction: float | None = None
    reset_time: datetime | None = None


class Buckets(msgspec.Struct):
    buckets: list[Bucket] = []


BUCKETS = msgspec.json.Decoder(Buckets)


class GeminiCli(FactsProvider):
    means = MEANS

    def finish_sign_in(self, credential: Credential) -> Generator[AuthStep, Any, Credential]:
        if PROJECT in credential.metadata:
            return credential
        try:
            project = yield from find_project(self.facts.base_url, credential.access)
        except UNREADABLE as error:
            raise UpstreamGarbled("the answer about the account's project cannot be read", why=str(error)) from error
        return msgspec.structs.replace(credential, metadata={**credential.metadata, PROJECT: project})

    def prepare(self, call: Call) -> HttpRequest:
        request = super().prepare(call)
        verb = request.url.rpartition(":")[2]
        head = msgspec.json.encode(
            {"model": call.model, "project": project_of(call.account), "user_prompt_id": call.request_id}
        )
        return msgspec.structs.replace(
            request, url=f"{call.account.base_url}:{verb}", body=head[:-1] + b',"request":' + request.body + b"}"
        )

    def quota(self, account: Account) -> HttpRequest | None:
        if account.credential is None or PROJECT not in account.credential.metadata:
            return None
        headers = {
            "authorization": f"Bearer {account.credential.access.reveal()}",
            "content-type": "application/json",
        }
        body = msgspec.json.encode({"project": project_of(account)})
        return HttpRequest(url=f"{account.base_url}:retrieveUserQuota", headers=headers, body=body)

    def read_quota(self, response: HttpResponse) -> Sequence[QuotaWindow]:
        try:
            buckets = BUCKETS.decode(response.body).buckets
        except UNREADABLE as error:
            raise UpstreamGarbled("the quota answer cannot be read", why=str(error)) from error
        return tuple(
            QuotaWindow(
                name=f"daily {bucket.model_id}",
                period="daily",
                bucket=bucket.model_id,
                share_left=min(max(bucket.remaining_fraction, 0.0), 1.0),
                resets_at_s=None if bucket.reset_time is None else bucket.reset_time.timestamp(),
            )
            for bucket in buckets
            if bucket.remaining_fraction is not None
        )


def project_of(account: Account) -> str:
    """A request without one is refused in ways that say something else."""
    project = account.credential.metadata.get(PROJECT) if account.credential is not None else None
    if project is None:
        raise AccountBlocked("the account has no project", fix=f"sign in again: omniroute account login {account.id}")
    return project


@hookimpl
def register_providers() -> list[GeminiCli]:
    return [GeminiCli(FACTS)]
