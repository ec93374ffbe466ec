"""May this candidate be asked for this request, now? One question, for the attempt loop and for whoever explains it.

A screen is a function of a candidate and of what the request needs; the first that objects is the answer. What a candidate can
never do for the request is asked before what it cannot do now, so that nobody waits for what will not come. Screens look and
change nothing: no I/O, no clock but their own state's, well below a microsecond.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from omniroute.contracts import Target
from omniroute.cooling import Hold, Reason
from omniroute.errors import InvalidRequest
from omniroute.exchange import Exchange
from omniroute.health import Health
from omniroute.routing import Candidate, Route, lacks
from omniroute.tokens import FOUR_CHARACTERS, count_input_tokens

__all__ = [
    "OTHER_CLIENT",
    "PINNED",
    "TOO_SMALL",
    "Needs",
    "Screen",
    "Screening",
    "Skip",
    "incapable",
    "needs_of",
    "resting",
]

BYTES_PER_TOKEN = 4
MAX_KNOWN = 10_000
PINNED, TOO_SMALL = "pinned", "window_too_small"
OTHER_CLIENT = "other_client"

WORDS: dict[Reason, str] = {"breaker_open": "breaker_open", "quota_exhausted": "quota_exhausted"}
"""What `Skip.reason` calls a hold; any other is `cooling`, with the hold's own reason as the detail."""


class Needs(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a request asks of whoever serves it. Made once per request."""

    has_tools: bool = False
    has_images: bool = False
    input_tokens_estimate: int = 0
    """Rough: a quarter of the body's bytes."""
    max_output_tokens: int | None = None
    """None when the client left it to the upstream."""
    cools: bool = True
    """Not for token counts: they have limits of their own, and a missing endpoint says nothing of the model."""
    skips_incapable: bool = False
    """Somebody in the route may be unable to serve it, and is to be left out."""
    user_agent: str = ""
    """What the client calls itself; empty when it does not say."""
    pinned: tuple[str, str] | None = None
    """Provider and account that alone keep what the request goes on from."""
    larger_than: int | None = None
    """Tokens: an upstream with such a window has called the prompt too long."""


class Skip(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a candidate is not asked."""

    reason: str
    """A stable word: `cooling`, `breaker_open`, `quota_exhausted`, …"""
    detail: str = ""
    """The reason's own reason, for people."""
    due_s: float | None = None
    """Monotonic: when it may be asked. None: never for this request."""
    hold: Hold | None = None
    """What lets a request that has nothing else insist; None, and it cannot."""


Screen: TypeAlias = Callable[[Candidate, Needs], Skip | None]


class Screening:
    """One per gateway."""

    __slots__ = ("_screens",)

    def __init__(self, screens: Sequence[Screen]) -> None:
        """`screens` are asked in this order."""
        self._screens = tuple(screens)

    def skip(self, candidate: Candidate, needs: Needs) -> Skip | None:
        """None when the candidate may be asked."""
        for screen in self._screens:
            skip = screen(candidate, needs)
            if skip is not None:
                return skip
        return None


def needs_of(exchange: Exchange) -> Needs:
    """`exchange.head`, `body` and `route` are known by now."""
    head, route = exchange.head, exchange.route
    assert head is not None
    chat = exchange.operation == "chat"
    skips = chat and route is not None and route.terms.skip_incapable and route.overview.is_choosy
    estimate = len(exchange.body) // BYTES_PER_TOKEN
    tight = skips and _is_tight(exchange, estimate)
    has_images = skips and _has_images(exchange)
    return Needs(
        has_tools=head.has_tools,
        has_images=has_images,
        input_tokens_estimate=_closer(exchange, estimate) if tight else estimate,
        max_output_tokens=head.max_output_tokens,
        cools=chat,
        skips_incapable=tight or has_images or (skips and head.has_tools and _lacks_tools(route)),
        user_agent=exchange.headers.get("user-agent") or "",
        pinned=exchange.pinned,
    )


def _lacks_tools(route: Route | None) -> bool:
    return route is not None and "tools" in route.overview.lacking


def _has_images(exchange: Exchange) -> bool:
    """Looked for only where it matters to somebody; False then too."""
    assert exchange.route is not None
    pattern = exchange.translator.image_pattern
    return (
        bool(pattern) and "vision" in exchange.route.overview.lacking and re.search(pattern, exchange.body) is not None
    )


def _is_tight(exchange: Exchange, estimate: int) -> bool:
    """Whether the rough estimate would leave somebody out."""
    assert exchange.head is not None
    assert exchange.route is not None
    window = exchange.route.overview.smallest_window
    return window is not None and estimate + (exchange.head.max_output_tokens or 0) > window


def _closer(exchange: Exchange, estimate: int) -> int:
    """The body's bytes say too much where it holds an image or much escaped text: read it, now that it matters."""
    try:
        return count_input_tokens(exchange.request(), "", FOUR_CHARACTERS)
    except InvalidRequest:
        return estimate  # it may be relayed all the same


def incapable(candidate: Candidate, needs: Needs) -> Skip | None:
    """Leaves out what is known to be unable to serve the request; what nobody knows leaves out nobody."""
    if needs.pinned is not None and needs.pinned != (candidate.target.provider, candidate.target.account):
        return Skip(reason=PINNED, detail="the conversation is kept at {}/{}".format(*needs.pinned))
    model = candidate.model
    if needs.larger_than is not None and (model.context_tokens or 0) <= needs.larger_than:
        detail = f"the prompt was too long for {needs.larger_than} tokens, and it is not known to take more"
        return Skip(reason=TOO_SMALL, detail=detail)
    if not needs.skips_incapable:
        return None
    if needs.has_tools and lacks(model, "tools"):
        return Skip(reason="no_tools", detail="the model takes no tools")
    if needs.has_images and lacks(model, "vision"):
        return Skip(reason="no_vision", detail="the model sees no images")
    if model.context_tokens is not None:
        tokens = needs.input_tokens_estimate + (needs.max_output_tokens or 0)
        if tokens > model.context_tokens:
            detail = f"about {tokens} tokens with the answer, and room for {model.context_tokens}"
            return Skip(reason=TOO_SMALL, detail=detail)
    return None


def resting(health: Health) -> Screen:
    """Leaves out what cools down, and what is behind an open circuit."""
    cooling, breaker = health.cooling, health.breaker
    known: dict[Target, Skip] = {}
    """As long as a hold is the same, so is what it means: two hundred that are out cost a quarter less."""

    def screen(candidate: Candidate, needs: Needs) -> Skip | None:
        if not (cooling.marks or breaker.circuits):  # mostly: asked for every candidate of every request
            return None
        if not needs.cools or (hold := health.hold(candidate)) is None:
            return None
        skip = known.get(candidate.target)
        if skip is None or skip.hold is not hold:
            if len(known) >= MAX_KNOWN:
                known.clear()
            reason = WORDS.get(hold.reason, "cooling")
            skip = known[candidate.target] = Skip(reason=reason, detail=hold.reason, due_s=hold.due_s, hold=hold)
        return skip

    return screen
