"""How many requests of a month are left, of each kind."""

from datetime import UTC, datetime

import msgspec

from omniroute.api import HttpResponse, QuotaWindow, UpstreamGarbled

__all__ = ["BASIC", "PREMIUM", "windows_in"]

PREMIUM, BASIC = "premium", "chat"
"""Two pools: a paid plan counts premium requests, a free one counts chats as well. Completions in an editor are no model calls."""
KINDS = {"premium_interactions": PREMIUM, "chat": BASIC}


class Snapshot(msgspec.Struct):
    entitlement: float | None = None
    remaining: float | None = None
    percent_remaining: float | None = None
    unlimited: bool = False


class Answer(msgspec.Struct):
    """A paid plan's first three fields, a free one's last three."""

    copilot_plan: str | None = None
    quota_reset_date: str | None = None
    quota_snapshots: dict[str, Snapshot] | None = None
    monthly_quotas: dict[str, float] | None = None
    limited_user_quotas: dict[str, float] | None = None
    limited_user_reset_date: str | None = None


ANSWER = msgspec.json.Decoder(Answer)


def windows_in(response: HttpResponse) -> tuple[QuotaWindow, ...]:
    try:
        answer = ANSWER.decode(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamGarbled("the usage answer cannot be read", why=str(error)) from error
    resets_at_s = _midnight(answer.quota_reset_date or answer.limited_user_reset_date)
    return tuple(
        _window(bucket, snapshots[kind], resets_at_s)
        for snapshots in [answer.quota_snapshots or _of_free_plan(answer)]
        for kind, bucket in KINDS.items()
        if kind in snapshots
    )


def _of_free_plan(answer: Answer) -> dict[str, Snapshot]:
    left = answer.limited_user_quotas or {}
    return {
        kind: Snapshot(entitlement=all_of_it, remaining=left.get(kind))
        for kind, all_of_it in (answer.monthly_quotas or {}).items()
    }


def _window(bucket: str, snapshot: Snapshot, resets_at_s: float | None) -> QuotaWindow:
    name = f"monthly {bucket}"
    if snapshot.unlimited:
        return QuotaWindow(name=name, period="monthly", bucket=bucket, share_left=1.0)
    limit, left = snapshot.entitlement, snapshot.remaining
    share = None if snapshot.percent_remaining is None else snapshot.percent_remaining / 100
    if share is None and limit and left is not None:
        share = left / limit
    return QuotaWindow(
        name=name,
        period="monthly",
        bucket=bucket,
        share_left=None if share is None else min(max(share, 0.0), 1.0),
        used=None if limit is None or left is None else max(limit - left, 0.0),
        limit=limit,
        resets_at_s=resets_at_s,
    )


def _midnight(date: str | None) -> float | None:
    try:
        found = datetime.fromisoformat(date or "")
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
