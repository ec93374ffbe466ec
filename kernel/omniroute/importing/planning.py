"""Which of the candidates are new, which are there already, and which must not be taken. Pure.

No account is ever lost by it: an account gets new tokens only from a login that is known to be the same person's, or when it has
none that work and comes from the very same place. Everything else becomes an account of its own, or nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from omniroute.accounts.rows import IDENTITY
from omniroute.contracts import Account
from omniroute.importing.values import IMPORTED_FROM, IMPORTED_IDS, Candidate, Planned, token_id

__all__ = ["planned", "taken_from"]

UNFIT = re.compile(r"[/\x00-\x1f\x7f]+")
LONGEST_NAME = 64
GRANT = "grant"


def planned(
    candidates: Sequence[Candidate], accounts: Iterable[Account], prefixes: Mapping[str, str], now_s: float
) -> list[Planned]:
    """One for each candidate, in their order. `prefixes` are the names and aliases of installed providers."""
    known = list(accounts)
    taken = {account.id for account in known if account.origin != "discovered"}
    before: list[tuple[Candidate, Planned]] = []
    for candidate in candidates:
        plan = _twice(candidate, before, prefixes) or _planned(candidate, known, prefixes, taken, now_s)
        if plan.state == "new":
            taken.add(plan.account)
        before.append((candidate, plan))
    return [plan for _, plan in before]


def _twice(
    candidate: Candidate, before: Iterable[tuple[Candidate, Planned]], prefixes: Mapping[str, str]
) -> Planned | None:
    """The same login was found somewhere else, a moment ago."""
    for other, plan in before:
        if plan.state == "blocked" or prefixes.get(other.provider) != prefixes.get(candidate.provider):
            continue
        is_person = "key" not in {candidate.kind, other.kind} and _same_person(candidate.metadata, other.metadata)
        if is_person or not set(candidate.token_ids).isdisjoint(other.token_ids):
            return Planned(account=plan.account, state="same", why="it was found twice")
    return None


def _planned(
    candidate: Candidate, accounts: list[Account], prefixes: Mapping[str, str], taken: set[str], now_s: float
) -> Planned:
    provider = prefixes.get(candidate.provider)
    if provider is None:
        return Planned(
            account=f"{candidate.provider}/{candidate.name}",
            state="blocked",
            why=f"no installed plugin provides {candidate.provider!a}",
        )
    of_provider = [account for account in accounts if account.provider == provider]
    for is_it in (_has_token, _is_same_person):
        for account in of_provider:
            if is_it(candidate, account):
                return _there(candidate, account, now_s)
    account_id, why = f"{provider}/{_free_name(provider, candidate.name, taken)}", None
    for account in of_provider:
        if not _is_from_there(candidate, account):
            continue
        if not _works(account, now_s):
            return _there(candidate, account, now_s)
        if not _is_somebodys(account):
            return Planned(account=account.id, state="same", why="the login that came from there still works")
        why = f"newer tokens of {account.id}, if the vendor says that it is the same person"
    return Planned(account=account_id, state="new", why=why)


def _has_token(candidate: Candidate, account: Account) -> bool:
    return not taken_from(account).isdisjoint(candidate.token_ids)


def taken_from(account: Account) -> set[str]:
    """The ids of the account's tokens, and of those that it was imported with."""
    credential = account.credential
    if credential is None:
        return set()
    tokens = [credential.access, credential.refresh, credential.secrets.get(GRANT)]
    return {token_id(token) for token in tokens if token} | set(credential.metadata.get(IMPORTED_IDS, "").split())


def _is_same_person(candidate: Candidate, account: Account) -> bool:
    if account.credential is None or candidate.kind == "key":
        return False  # a key says nothing of anybody
    return _same_person(candidate.metadata, account.credential.metadata)


def _same_person(theirs: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """All that both say is the same, and both say something."""
    both = [name for name in IDENTITY if theirs.get(name) and ours.get(name)]
    return bool(both) and all(theirs[name] == ours[name] for name in both)


def _is_from_there(candidate: Candidate, account: Account) -> bool:
    """It came from the same file before, and nobody knows whose login either is."""
    if account.credential is None or candidate.kind == "key":
        return False
    ours = account.credential.metadata
    both = any(candidate.metadata.get(name) and ours.get(name) for name in IDENTITY)
    return not both and ours.get(IMPORTED_FROM) == candidate.origin


def _is_somebodys(account: Account) -> bool:
    return account.credential is not None and any(account.credential.metadata.get(name) for name in IDENTITY)


def _there(candidate: Candidate, account: Account, now_s: float) -> Planned:
    credential = account.credential
    if account.origin != "database" or credential is None or credential.refresh or credential.secrets:
        return Planned(account=account.id, state="same")  # it looks after itself
    ends_s, theirs_s = credential.expires_at_s, candidate.expires_at_s
    if ends_s is None or token_id(credential.access) in candidate.token_ids:
        return Planned(account=account.id, state="same")
    if theirs_s is not None and theirs_s > ends_s and theirs_s > now_s:
        return Planned(account=account.id, state="renew", why="its token there is newer")
    return Planned(account=account.id, state="same")


def _works(account: Account, now_s: float) -> bool:
    credential = account.credential
    if credential is None:
        return False
    lasts = credential.expires_at_s is None or credential.expires_at_s > now_s
    return lasts or bool(credential.refresh or credential.secrets)


def _free_name(provider: str, wanted: str, taken: set[str]) -> str:
    name = UNFIT.sub("-", wanted).strip()[: LONGEST_NAME - 4].strip() or "imported"
    number, free = 1, name
    while f"{provider}/{free}" in taken:
        number += 1
        free = f"{name}-{number}"
    return free
