"""The dry run: read, route, order, screen and shape as for a request that is served, then say what was found."""

import itertools
import math
import random
from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from omniroute.attempts import AT_LIMIT
from omniroute.contracts import AffinityRecord, Principal, Standing, Target, Translator
from omniroute.errors import GatewayError, InvalidRequest
from omniroute.exchange import Exchange
from omniroute.explaining.costs import predicted
from omniroute.explaining.question import asked
from omniroute.explaining.views import Choice, Explanation, Question, Refusal
from omniroute.health import Health
from omniroute.model import Loss
from omniroute.passport import Passports
from omniroute.planning import Planner
from omniroute.routing import Candidate, Route, Router, dead_ends
from omniroute.screening import Screening, Skip, needs_of
from omniroute.settings import Settings
from omniroute.shaping import shape
from omniroute.tries import Tries, beyond, insistent, verdict

__all__ = ["Explainer"]


class Explainer:
    """One per gateway."""

    def __init__(
        self,
        settings: Settings,
        *,
        translators: Mapping[str, Translator],
        router: Router,
        planner: Planner,
        screening: Screening,
        health: Health,
        passports: Passports,
    ) -> None:
        self._max_json_depth = settings.limits.max_json_depth
        self._translators = translators
        self._router = router
        self._planner = planner
        self._screening = screening
        self._health = health
        self._passports = passports

    def explain(
        self,
        question: Question,
        principal: Principal | None,
        now_s: float,
        *,
        draw: Callable[[], float] = random.random,
    ) -> Explanation:
        """`principal` is whose request it would be; `now_s` is the event loop's time.

        Raises `InvalidRequest` and `ModelNotFound`, as serving it would.
        """
        exchange = asked(question, self._translators, principal, max_depth=self._max_json_depth)
        route = self._planner.read(exchange)
        most = route.terms.max_attempts
        tries = Tries(limit=most, left=most, started_s=self._health.clock(), deadline_s=0.0, needs=needs_of(exchange))
        dice = _Dice(draw)
        ways = _Ways(exchange, self._passports)
        choices = [self._choice(ways, each, tries) for each in self._planner.rehearsed(exchange, now_s, dice)]
        choices = self._in_turn(choices, tries)
        choices = self._with_last_resort(ways, route, choices, tries)
        choices += [_dead_end(name, reason) for name, reason in dead_ends(route)]
        first = next((choice for choice in choices if choice.turn == 1), None)
        refusal = None if first else _refusal(verdict(tries, self._health))
        affinity = exchange.following.record if exchange.following is not None else None
        assert exchange.head is not None
        return Explanation(
            dialect=exchange.translator.dialect,
            dialect_guessed=question.dialect is None,
            requested_model=exchange.head.model,
            key=principal.name if principal else None,
            combo=route.name if route.is_combo else None,
            strategy=_strategy(route),
            by_chance=dice.thrown,
            affinity=affinity,
            input_tokens_estimate=tries.needs.input_tokens_estimate,
            max_output_tokens=tries.needs.max_output_tokens,
            loss_policy=exchange.loss_policy,
            first=first.name if first else None,
            decision=_decision(choices, first, refusal, affinity, by_chance=dice.thrown),
            refusal=refusal,
            choices=tuple(choices),
        )

    def _choice(self, ways: "_Ways", candidate: Candidate, tries: Tries) -> Choice:
        skip = self._screening.skip(candidate, tries.needs)
        if skip is not None:
            tries.skip(candidate, skip)
        else:
            tries.seen += 1
        return self._shaped(ways, candidate, tries, skip)

    def _shaped(self, ways: "_Ways", candidate: Candidate, tries: Tries, skip: Skip | None) -> Choice:
        """With what the translation comes to, also for one that is not asked now."""
        target = candidate.target
        choice = Choice(
            name=self._router.name_of(target),
            provider=target.provider,
            model=target.model,
            account=target.account,
            tier=candidate.provider.facts.tier,
            verdict="skip" if skip else "pass",
            cost=predicted(candidate.model.price, tries.needs.input_tokens_estimate, tries.needs.max_output_tokens),
            standing=self._since(self._router.standing.seen[target]),
        )
        if skip is not None:
            wait_s = None if skip.due_s is None else max(0.0, skip.due_s - self._health.clock())
            choice = replace(choice, reason=skip.reason, detail=skip.detail, again_in_s=wait_s)
        way = ways[candidate]
        if way.error is None:
            return replace(choice, relayed=way.relayed, losses=way.losses)
        if skip is not None:
            return choice
        tries.unable.append(way.error)
        return replace(choice, verdict="skip", reason=way.error.code, detail=way.error.text)

    def _in_turn(self, choices: list[Choice], tries: Tries) -> list[Choice]:
        """Who would be asked, one after the other; with nobody left, the one that is tried all the same."""
        turns = itertools.count(1)
        found = [
            each if each.verdict == "skip" else _with_turn(each, next(turns), limit=tries.limit) for each in choices
        ]
        if any(each.turn for each in found) or (last := _last(tries, self._health)) is None:
            return found
        return [
            replace(each, turn=1) if _target(each) == last.target and each.relayed is not None else each
            for each in found
        ]

    def _with_last_resort(self, ways: "_Ways", route: Route, choices: list[Choice], tries: Tries) -> list[Choice]:
        """Who is asked when everything else has failed."""
        asked = {_target(each) for each in choices if each.turn}
        if route.last_resort is None or not tries.needs.cools:
            return choices
        candidates = self._router.candidates(route.last_resort, None)
        if (found := beyond(tries, asked, candidates, self._screening)) is None:
            return choices
        choice = self._shaped(ways, found, tries, None)
        if choice.verdict == "pass":
            choice = replace(choice, turn=len(asked) + 1, is_last_resort=True)
        return [*(each for each in choices if _target(each) != found.target), choice]

    def _since(self, standing: Standing) -> Standing:
        """With times that mean something to others: seconds from now, past ones negative."""
        now = self._health.clock()
        return replace(
            standing,
            last_used_s=None if standing.last_used_s is None else standing.last_used_s - now,
            quota_resets_s=None if standing.quota_resets_s is None else standing.quota_resets_s - now,
        )


def _last(tries: Tries, health: Health) -> Candidate | None:
    """Who is asked when nobody can be: one that is merely at its limit, once there is room, else one that is out for a while."""
    at_limit = [(candidate, skip.due_s or 0.0) for candidate, skip in tries.skipped if skip.reason in AT_LIMIT]
    if at_limit:
        return min(at_limit, key=lambda pair: pair[1])[0]
    return insistent(tries, health)


class _Way(msgspec.Struct, frozen=True, kw_only=True):
    """How the request would go upstream."""

    relayed: bool = False
    losses: tuple[Loss, ...] = ()
    error: InvalidRequest | None = None
    """This dialect cannot say it; another candidate's may."""


class _Ways:
    """Found once for all accounts of a model at a provider: a long request takes milliseconds to translate."""

    def __init__(self, exchange: Exchange, passports: Passports) -> None:
        self._exchange = exchange
        self._passports = passports
        self._found: dict[Target, _Way] = {}

    def __getitem__(self, candidate: Candidate) -> _Way:
        found = self._found.get(candidate.leg)
        if found is None:
            found = self._found[candidate.leg] = self._look(candidate)
        return found

    def _look(self, candidate: Candidate) -> _Way:
        operation = candidate.translator.operations[self._exchange.operation]
        try:
            shaped = shape(self._exchange, candidate, operation, {}, self._passports)
        except InvalidRequest as error:
            return _Way(error=error)
        return _Way(relayed=shaped.request is None, losses=shaped.outgoing.losses)


class _Dice:
    """Chance, and whether it was asked."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.thrown = False
        self._draw = draw

    def __call__(self) -> float:
        self.thrown = True
        return self._draw()


def _target(choice: Choice) -> Target:
    return Target(provider=choice.provider, model=choice.model, account=choice.account)


def _with_turn(choice: Choice, turn: int, *, limit: int) -> Choice:
    if turn <= limit:
        return replace(choice, turn=turn)
    return replace(choice, reason="attempts", detail=f"no more than {limit} are asked, and as many come before it")


def _dead_end(name: str, reason: str) -> Choice:
    provider, _, model = name.rpartition("/")
    return Choice(
        name=name, provider=provider, model=model, account="", verdict="skip", reason="unavailable", detail=reason
    )


def _strategy(route: Route) -> str | None:
    strategy = route.strategy
    if strategy is None and not route.is_combo:
        strategy = next((entry.strategy for entry in route.entries if not isinstance(entry, Route)), None)
    return None if strategy is None else strategy.name


def _refusal(error: GatewayError) -> Refusal:
    return Refusal(
        status=error.status, code=error.code, message=error.message, why=error.why, retry_after_s=error.retry_after_s
    )


def _decision(
    choices: list[Choice],
    first: Choice | None,
    refusal: Refusal | None,
    affinity: AffinityRecord | None,
    *,
    by_chance: bool,
) -> str:
    if first is None:
        assert refusal is not None
        wait = "" if refusal.retry_after_s is None else f", to be tried again in {math.ceil(refusal.retry_after_s)} s"
        return f"Nobody is asked: the client gets {refusal.status} {refusal.code}{wait}."
    way = "its bytes as they are" if first.relayed else "translated"
    named = f"{first.name} ({first.account})"
    if first.reason in AT_LIMIT:
        return (
            f"Everybody is at a limit ({first.reason}), so the request waits in line, most likely for {named}, {way}."
        )
    if first.is_last_resort:
        return f"Nobody else can be asked, so the last resort is: {named}, {way}."
    if first.verdict == "skip":
        return f"Nothing else is left, so {named} is asked all the same though it is out ({first.reason}), {way}."
    others = [f"{each.name} ({each.account})" for each in choices if (each.turn or 0) > 1]
    then = f"; if it fails, {', then '.join(others)}" if others else "; there is nobody to fall back to"
    chance = " The order was drawn by chance, and the next request may find another." if by_chance else ""
    stays = affinity is not None and affinity.decision == "stay" and first is choices[0]
    stay = " Its conversation was served there before." if stays else ""
    return f"{named} is asked first, {way}{then}.{stay}{chance}"
