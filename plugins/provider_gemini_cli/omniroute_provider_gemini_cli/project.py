"""The Google Cloud project every request is made for: found or made once, after the sign-in.

Pure: a generator that asks for requests and pauses, and is sent the answers.
"""

from collections.abc import Generator
from typing import Any

import msgspec

from omniroute.api import AccountBlocked, AuthStep, HttpRequest, HttpResponse, Secret, Sleep

__all__ = ["PROJECT", "find_project"]

PROJECT = "project"
"""Its name in `Credential.metadata`."""
METADATA = {"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"}
LEGACY_TIER = "legacy-tier"
"""For accounts that are offered none."""
TRIES, PAUSE_S = 10, 5.0
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Project(msgspec.Struct):
    id: str


class Tier(msgspec.Struct, rename="camel"):
    id: str
    is_default: bool = False


class Loaded(msgspec.Struct, rename="camel"):
    cloudaicompanion_project: Project | str | None = None
    allowed_tiers: list[Tier] = []


class Made(msgspec.Struct, rename="camel"):
    cloudaicompanion_project: Project | None = None


class Operation(msgspec.Struct):
    done: bool = False
    response: Made | None = None


LOADED = msgspec.json.Decoder(Loaded)
OPERATION = msgspec.json.Decoder(Operation)


def find_project(root: str, access: Secret) -> Generator[AuthStep, Any, str]:
    """Raises `UpstreamError` when the account has none and gets none."""
    loaded = LOADED.decode(_whole((yield _request(root, access, "loadCodeAssist", {"metadata": METADATA}))))
    project = loaded.cloudaicompanion_project
    if isinstance(project, Project):
        return project.id
    if project:
        return project
    tier = next((tier.id for tier in loaded.allowed_tiers if tier.is_default), LEGACY_TIER)
    return (yield from _onboard(root, access, tier))


def _onboard(root: str, access: Secret, tier: str) -> Generator[AuthStep, Any, str]:
    """A long-running operation, asked for again until it is done."""
    for _ in range(TRIES):
        answer = yield _request(root, access, "onboardUser", {"tierId": tier, "metadata": METADATA})
        operation = OPERATION.decode(_whole(answer))
        if operation.done:
            made = operation.response and operation.response.cloudaicompanion_project
            if made:
                return made.id
            break
        yield Sleep(seconds_s=PAUSE_S)
    raise AccountBlocked(
        "Google gave the account no project",
        fix="set up Code Assist for it in the Google Cloud console, then sign in again",
    )


def _request(root: str, access: Secret, method: str, body: dict[str, Any]) -> HttpRequest:
    headers = {"authorization": f"Bearer {access.reveal()}", "content-type": "application/json"}
    return HttpRequest(url=f"{root}:{method}", headers=headers, body=msgspec.json.encode(body))


def _whole(response: HttpResponse) -> bytes:
    if response.status != 200:
        raise AccountBlocked("Code Assist did not let the account in", status=response.status)
    return response.body
