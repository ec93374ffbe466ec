"""What of a find is taken along, and what stays with the program that it is from.

A refresh token that works once must not be with two programs: the first to renew makes the other's worthless, and some vendors
then end the whole sign-in. So it stays where it is, and the account lasts as long as the access token does; unless the person
says that it is to move, or the program is an OmniRoute that this one replaces. Where a refresh token works again and again, both
may have it.
"""

import datetime

import msgspec

from omniroute.importing.values import Candidate, Found, ImportProvider, TakeOver
from omniroute.secret import Secret

__all__ = ["Prepared", "prepared"]

NEARLY_S = 60.0
"""A token that ends so soon has ended."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    found: Found
    wanted: TakeOver | None = None
    """None: there is a problem."""
    notes: tuple[str, ...] = ()

    @property
    def candidate(self) -> Candidate | None:
        """Without secrets."""
        if self.wanted is None:
            return None
        return Candidate(**{name: getattr(self.wanted, name) for name in Candidate.__struct_fields__})


def prepared(found: Found, provider: ImportProvider | None, *, move: bool, now_s: float) -> Prepared:
    """`provider` is None where none of that name is installed."""
    if found.problem is not None:
        return Prepared(found=found, notes=found.notes)
    tokens, notes = found.tokens, found.notes
    rotates = provider is None or provider.rotates
    takes_refresh = tokens.refresh is not None and (not rotates or move or found.moves)
    has_ended = tokens.access is None or (found.expires_at_s is not None and found.expires_at_s <= now_s + NEARLY_S)
    access = tokens.access
    if found.kind == "login" and rotates and tokens.refresh is not None:
        if not takes_refresh and has_ended:
            return Prepared(found=msgspec.structs.replace(found, problem=_ended(found)), notes=notes)
        notes = (*notes, _stays(found) if not takes_refresh else _moves(found))
    elif found.kind == "login" and has_ended and not takes_refresh:
        return Prepared(
            found=msgspec.structs.replace(found, problem="its token has ended: sign in there again"), notes=notes
        )
    if has_ended and takes_refresh and not rotates:
        access = None  # renewed before anything else, which harms nobody
    wanted = TakeOver(
        provider=found.provider,
        name=found.name,
        origin=found.origin,
        kind=found.kind,
        token_ids=tokens.ids,
        expires_at_s=found.expires_at_s,
        metadata=found.metadata,
        api_key=_text(tokens.key),
        access=_text(access),
        refresh=_text(tokens.refresh) if takes_refresh else None,
        id_token=_text(tokens.id_token),
        base_url=found.base_url,
        priority=50 if found.priority is None else found.priority,
        paused=found.paused,
        proxy=_text(found.proxy),
    )
    return Prepared(found=found, wanted=wanted, notes=notes)


def _ended(found: Found) -> str:
    program = found.source.partition(",")[0]
    return (
        f"its token has ended, and its refresh token stays with {program}: start {program} once and import again, "
        f"or sign in: omniroute account add {found.provider}"
    )


def _stays(found: Found) -> str:
    until = "while its token lasts" if found.expires_at_s is None else f"until {_time(found.expires_at_s)}"
    return (
        f"works {until}, and then after another import: the refresh token stays with {found.source.partition(',')[0]}, "
        f"which stays signed in (--move takes it; `omniroute account add {found.provider}` makes a sign-in of its own)"
    )


def _moves(found: Found) -> str:
    return f"its refresh token moves here: {found.source.partition(',')[0]} will have to sign in again"


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _time(unix_s: float) -> str:
    return datetime.datetime.fromtimestamp(unix_s).astimezone().isoformat(sep=" ", timespec="minutes")
