"""Which accounts may not be asked for a request: those whose tokens have ended, and subscriptions not meant for its client."""

from omniroute.credentials.refresh import Refresher
from omniroute.routing import Candidate
from omniroute.screening import OTHER_CLIENT, Needs, Screen, Skip

__all__ = ["for_own_clients", "renewable"]


def for_own_clients(candidate: Candidate, needs: Needs) -> Skip | None:
    """A subscription serves the vendor's own client; others only where the account's owner allowed it."""
    facts = candidate.provider.facts
    if facts.tier != "subscription" or candidate.account.other_clients:
        return None
    client = needs.user_agent
    if client.startswith(facts.own_clients) and not client.startswith(facts.imitators):
        return None
    return Skip(reason=OTHER_CLIENT, detail="its owner lets the vendor's own client use it only")


def renewable(refresher: Refresher) -> Screen:
    """Leaves out what has no valid token and could not get one just now."""

    def screen(candidate: Candidate, needs: Needs) -> Skip | None:
        due_s = refresher.is_out(candidate.account)
        return None if due_s is None else Skip(reason="refresh_failed", due_s=due_s)

    return screen
