import json
import time
from types import SimpleNamespace

import pytest
from msgspec import Raw

from omniroute.affinity import Affinity, Bindings, SavedAffinity, SessionKeys, Side, Threads, weigh
from omniroute.affinity.keys import LONGEST_TURNS_BYTES, asks_for_an_hour
from omniroute.api import (
    Account,
    FactsProvider,
    ModelFacts,
    Price,
    ProviderFacts,
    QuotaExhausted,
    RateLimited,
    RequestHead,
    RouteContext,
    Target,
    UpstreamFailed,
)
from omniroute.contracts import AttemptRecord
from omniroute.health import Health
from omniroute.routing import Router, Terms

SECRET = b"k" * 32
KEYS = SessionKeys(SECRET)
HI = {"role": "user", "content": "hi"}
HELLO = {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "be brief"}
A, B = (Target(provider="p", model="m", account=name) for name in "ab")


def raw(value):
    return Raw(json.dumps(value).encode())


def head(*turns, session=None, opening=(), **fields):
    return RequestHead(
        model="m",
        session=session,
        turns=raw(list(turns)) if turns else None,
        opening=tuple(map(raw, opening)),
        **fields,
    )


# --- keys -------------------------------------------------------------------------------------------------------------


def key(*turns, key_id="k1", route="m", secret=SECRET, **fields):
    return SessionKeys(secret).of(key_id, route, head(*turns, **fields)).key


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: key(SYSTEM, HI, HELLO, HI), id="a later turn"),
        pytest.param(lambda: key(SYSTEM, HI, {"role": "assistant", "content": "else"}), id="another answer"),
    ],
)
def test_a_conversation_keeps_its_key(other):
    assert other() == key(SYSTEM, HI)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: key(SYSTEM, {"role": "user", "content": "ho"}), id="another first message"),
        pytest.param(lambda: key(HI), id="no system text"),
        pytest.param(lambda: key(SYSTEM, HI, key_id="k2"), id="another client key"),
        pytest.param(lambda: key(SYSTEM, HI, route="other"), id="another model"),
        pytest.param(lambda: key(SYSTEM, HI, opening=[[{"name": "t"}]]), id="tools"),
        pytest.param(lambda: key(SYSTEM, HI, session="s"), id="a name"),
        pytest.param(lambda: key(SYSTEM, HI, secret=b"q" * 32), id="another secret"),
    ],
)
def test_other_conversations_have_other_keys(other):
    assert other() != key(SYSTEM, HI)


def test_the_client_s_name_for_it_counts_before_how_it_begins():
    assert key(HI, session="s") == key({"role": "user", "content": "ho"}, session="s")
    assert key(HI, session="s") != key(HI, session="t")


def test_long_values_count_by_length_beginning_and_end():
    long = "x" * 5000
    found = {key({"role": "user", "content": text}) for text in (long, long + "x", "y" + long[1:], long[1:] + "y")}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("fields", "is_new"),
    [
        pytest.param({"turns": raw([HI])}, True, id="the first message"),
        pytest.param({"turns": raw([SYSTEM, HI])}, True, id="with system text"),
        pytest.param({"turns": raw([SYSTEM, HI, HELLO])}, False, id="an answer is there"),
        pytest.param({"turns": raw([HI, HI])}, False, id="two messages"),
        pytest.param({"turns": raw("hi")}, True, id="a lone text"),
        pytest.param({"turns": raw([HI]), "session": "s"}, False, id="what has a name was perhaps begun elsewhere"),
        pytest.param({"turns": Raw(b'[{"content": 1e999}]')}, True, id="whatever stands in it"),
        pytest.param({"turns": raw([{"role": "user", "content": "x" * LONGEST_TURNS_BYTES}])}, False, id="very long"),
    ],
)
def test_only_what_is_told_by_its_beginning_can_be_new(fields, is_new):
    assert KEYS.of("k", "m", RequestHead(model="m", **fields)).is_new is is_new


def test_without_a_name_and_without_turns_there_is_no_conversation():
    assert KEYS.of("k", "m", head()) is None


@pytest.mark.parametrize(
    ("opening", "turns", "asks"),
    [
        ([[{"text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]], [HI], True),
        ([[{"text": "x", "cache_control": {"type": "ephemeral"}}]], [HI], False),
        ([], [HI, {**HI, "cache_control": {"ttl": "1h"}}], True),
        ([], [], False),
    ],
)
def test_an_hour_of_cache_is_seen_by_its_mark(opening, turns, asks):
    assert asks_for_an_hour(head(*turns, opening=opening), b'"1h"') is asks
    assert asks_for_an_hour(head(*turns, opening=opening), b"") is False


def test_a_key_costs_microseconds_whatever_the_body_s_size():
    big = [{"role": "system", "content": "s" * 20_000}, HI, *([HELLO, {"role": "user", "content": "x" * 1000}] * 80)]
    for request, limit_s in ((head(SYSTEM, HI), 50e-6), (head(*big), 1e-3)):
        best_s = min(_timed(lambda request=request: KEYS.of("k", "m", request)) for _ in range(20))
        assert best_s < limit_s


def _timed(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


# --- price ------------------------------------------------------------------------------------------------------------

OPUS = Price(input_usd=5, cached_usd=0.5, cache_write_usd=6.25)
HAIKU = Price(input_usd=0.25, cached_usd=0.025)
GPT = Price(input_usd=4, cached_usd=1)


@pytest.mark.parametrize(
    ("here", "there", "tokens", "stays", "warm_usd", "cold_usd"),
    [
        pytest.param(Side(price=OPUS), Side(price=OPUS), (100_000, 90_000), True, 0.1075, 0.625, id="the same model"),
        pytest.param(Side(price=OPUS), Side(price=HAIKU), (100_000, 90_000), False, 0.1075, 0.025, id="far cheaper"),
        pytest.param(Side(price=OPUS), Side(price=GPT), (100_000, 90_000), True, 0.1075, 0.4, id="cheaper, but cold"),
        pytest.param(Side(price=OPUS), Side(price=GPT), (100_000, 0), False, 0.625, 0.4, id="cheaper, and both cold"),
        pytest.param(Side(price=OPUS), Side(price=OPUS), (10, 90), True, 5e-6, 62.5e-6, id="never more warm than all"),
        pytest.param(Side(price=None), Side(price=HAIKU), (100_000, 0), True, None, 0.025, id="unknown here"),
        pytest.param(Side(price=OPUS), Side(price=None), (100_000, 0), True, 0.625, None, id="unknown there"),
        pytest.param(Side(price=Price(input_usd=5)), Side(price=HAIKU), (100_000, 1), True, None, 0.025, id="no cached price"),
        pytest.param(Side(price=Price(input_usd=0, cached_usd=0)), Side(price=Price(input_usd=0)), (9, 9), True, 0, 0, id="free"),
        pytest.param(
            Side(price=OPUS, error_rate=0.9), Side(price=OPUS), (100_000, 100_000), True, 0.5, 0.625, id="fails mostly"
        ),
        pytest.param(
            Side(price=OPUS, error_rate=0.95), Side(price=OPUS), (100_000, 100_000), False, 1, 0.625, id="hardly works"
        ),
        pytest.param(
            Side(price=OPUS), Side(price=HAIKU, error_rate=0.9), (100_000, 90_000), True, 0.1075, 0.25, id="no bargain"
        ),
        pytest.param(
            Side(price=OPUS, quota_left=0.002), Side(price=OPUS), (100_000, 100_000), False, 1.25, 0.625, id="nearly out"
        ),
        pytest.param(
            Side(price=OPUS, quota_left=0.5), Side(price=OPUS), (100_000, 100_000), True, 0.05, 0.625, id="quota enough"
        ),
        pytest.param(
            Side(price=OPUS, quota_left=0.0), Side(price=OPUS), (100_000, 100_000), False, 5, 0.625, id="out of quota"
        ),
    ],
)  # fmt: skip
def test_the_switch_is_arithmetic(here, there, tokens, stays, warm_usd, cold_usd):
    weighed = weigh(here, there, input_tokens=tokens[0], warm_tokens=tokens[1])
    assert weighed.stays is stays
    assert weighed.warm_usd == (None if warm_usd is None else pytest.approx(warm_usd))
    assert weighed.cold_usd == (None if cold_usd is None else pytest.approx(cold_usd))
    assert ("unknown" in weighed.reason) is (warm_usd is None or cold_usd is None)


# --- bindings ---------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(("long", "lasts_s"), [(False, 300), (True, 3600)])
def test_a_binding_lasts_from_its_last_use(long, lasts_s):
    clock = Clock()
    bindings = Bindings(clock=clock)
    bindings.bind(b"k", A, tokens=5, long=long)
    clock.now += lasts_s - 1
    assert bindings.of(b"k").target == A
    bindings.bind(b"k", A, tokens=5, long=long)
    clock.now += lasts_s - 1
    assert bindings.of(b"k").target == A
    clock.now += 1
    assert bindings.of(b"k") is None
    assert len(bindings) == 0


def test_what_was_used_longest_ago_makes_room():
    bindings = Bindings(clock=Clock(), limit=2)
    for name in (b"1", b"2", b"1", b"3"):
        bindings.bind(name, A, tokens=0, long=False)
    assert [bindings.of(name) is not None for name in (b"1", b"2", b"3")] == [True, False, True]
    bindings.bind(b"3", A, tokens=0, long=False)
    assert len(bindings) == 2


def test_another_target_begins_anew():
    bindings = Bindings(clock=Clock())
    bindings.bind(b"k", A, tokens=5, long=False)
    bindings.escape(b"k", bindings.of(b"k"), long=False)
    assert (bindings.of(b"k").target, bindings.of(b"k").escapes) == (A, 1)
    bindings.bind(b"k", B, tokens=7, long=False)
    assert (bindings.of(b"k").target, bindings.of(b"k").escapes, bindings.of(b"k").tokens) == (B, 0, 7)


def test_p31_affinity_survives_a_restart():
    clock, later = Clock(), Clock()
    before, after = Affinity(Health(cap_s=60, clock=clock)), Affinity(Health(cap_s=60, clock=later))
    found = before._keys.of("k", "m", head(HI, HELLO))
    before.bindings.bind(found.key, A, tokens=5, long=False)
    before.bindings.bind(b"old", B, tokens=5, long=False)
    saved = before.dump(5_000.0)
    assert isinstance(saved, SavedAffinity)
    assert b"hi" not in repr(saved).encode()
    later.now = 7.0
    after.load(saved, 5_100.0)
    assert after._keys.of("k", "m", head(HI, HELLO)).key == found.key
    assert after.bindings.of(found.key).target == A
    later.now += 201
    assert after.bindings.of(found.key) is None
    with pytest.raises(ValueError, match="length"):
        after.load(SavedAffinity(secret=b"short", bindings=[]), 0.0)


def test_a_busy_conversation_is_written_down_once_a_minute():
    clock = Clock()
    bindings = Bindings(clock=clock)
    for _ in range(121):
        bindings.bind(b"k", A, tokens=0, long=False)
        clock.now += 1
    assert bindings.changes == 2


def test_a_thread_s_owner_is_known_until_there_are_too_many():
    threads = Threads(limit=2)
    for name in (b"1", b"2", b"3"):
        threads.stored(name, "p", "a")
    assert (threads.owner(b"1"), threads.owner(b"3"), len(threads)) == (None, ("p", "a"), 2)


# --- following --------------------------------------------------------------------------------------------------------


class RoundRobin:
    name = "round-robin"
    options_type = None

    def __init__(self):
        self.turn = 0

    def order(self, targets, context):
        first = self.turn % len(targets)
        self.turn += 1
        return [*targets[first:], *targets[:first]]

    def observe(self, outcome):
        pass


class World:
    """Two accounts of one provider and one of another, a router without HTTP, and requests of one conversation."""

    def __init__(self, *, price=None, other_price=None, terms=None):
        self.clock = Clock()
        self.health = Health(cap_s=3600, clock=self.clock)
        self.affinity = Affinity(self.health)
        self.strategy, self.pool = RoundRobin(), RoundRobin()
        self.accounts = [Account(provider=p, name=n, base_url=f"http://{p}.invalid/v1") for p, n in ("pa", "pb", "qc")]
        providers = [provider("p", price), provider("q", other_price)]
        combo = SimpleNamespace(
            name="both", models=("p/m", "q/m"), strategy=self.strategy, loss=None, terms=terms or Terms()
        )
        self.router = Router(
            SimpleNamespace(
                providers={each.facts.name: each for each in providers},
                prefixes={"p": "p", "q": "q"},
                combos={"both": combo},
                translators={"openai-chat": SimpleNamespace(dialect="openai-chat")},
                account_strategies={"p": self.pool},
                origin_of={},
                prices={},
            ),
            SimpleNamespace(of=lambda name: [each for each in self.accounts if each.provider == name]),
            aliases={},
            transports={"t": None},
            default_transport="t",
        )

    def ask(self, *, model="both", fails=None, session="s", size=4000, key_id="k", reader=None):
        """One request; `fails` are errors by account, raised by each in turn. Returns its record and who served it."""
        exchange = SimpleNamespace(
            head=RequestHead(model=model, session=session),
            principal=SimpleNamespace(key_id=key_id),
            operation="chat",
            body=b"x" * size,
            translator=SimpleNamespace(hour_mark=b""),
        )
        route = self.router.resolve(model)
        standing = self.router.standing.view
        context = RouteContext(combo="", session=session, now_s=self.clock(), standing=standing)
        following = self.affinity.follow(exchange, route, standing, reader=reader)
        candidates = self.router.candidates(route, context)
        attempts = []
        for candidate in candidates if following is None else following.order(candidates):
            hold = self.health.hold(candidate)
            error = hold.reason if hold else (fails or {}).get(candidate.account.name)
            if error is not None and hold is None:
                with self.health.visit(candidate) as visit:
                    self.health.failed(visit, error)
                error = error.code
            if error is None:
                if following is not None:
                    following.served(candidate, attempts)
                return following and following.record, candidate.account.name
            target = candidate.target
            attempts.append(
                AttemptRecord(provider=target.provider, model=target.model, account=target.account, error=error)
            )
        raise AssertionError("nobody served it")

    def turns(self, count, **fields):
        found = [self.ask(**fields) for _ in range(count)]
        return [record.decision for record, _ in found], "".join(name for _, name in found)


def provider(name, price):
    models = (ModelFacts(id="m", price=price),)
    return FactsProvider(
        ProviderFacts(name=name, dialect="openai-chat", base_url=f"http://{name}.invalid/v1", models=models)
    )


def test_p31_a_conversation_stays_with_one_account_and_others_take_their_turns():
    world = World()
    assert world.turns(20) == (["new", *["stay"] * 19], "a" * 20)
    assert world.turns(3, session="t")[1] == "ccc"
    assert world.turns(3, session="u")[1] == "bbb"
    assert world.strategy.turn == 3


def test_another_client_key_is_another_conversation():
    world = World()
    assert world.ask()[1] != world.ask(key_id="k2")[1]


def test_it_can_be_switched_off_and_is_no_matter_where_there_is_no_choice():
    world = World(terms=Terms(session_affinity=False))
    assert [world.ask() for _ in range(3)] == [(None, "a"), (None, "c"), (None, "b")]
    assert world.ask(model="q/m") == (None, "c")
    assert len(world.affinity.bindings) == 0


def test_p32_it_escapes_once_and_comes_back_and_moves_after_the_second_time():
    world = World()
    world.ask()
    record, served = world.ask(fails={"a": RateLimited("slow", retry_after_s=10)})
    assert (record.decision, record.reason, served) == ("escape", "throttled", "c")
    world.clock.now += 10
    assert world.ask()[1] == "a"
    world.ask(fails={"a": RateLimited("slow", retry_after_s=10)})
    record, served = world.ask()
    assert (record.decision, record.reason) == ("rebind", "throttled")
    assert served != "a"
    world.clock.now += 10
    assert [world.ask()[1] for _ in range(3)] == [served] * 3


@pytest.mark.parametrize(
    ("error", "decision"),
    [
        (RateLimited("slow", retry_after_s=10), "escape"),
        (UpstreamFailed("oops", status=500), "escape"),
        (QuotaExhausted("empty", retry_after_s=10), "rebind"),
    ],
)
def test_p32_what_lasts_moves_it_at_once(error, decision):
    world = World()
    world.ask()
    assert world.ask(fails={"a": error})[0].decision == decision


def test_p32_an_account_that_is_gone_or_paused_is_followed_no_more():
    world = World()
    assert world.ask()[1] == "a"
    world.accounts = world.accounts[1:]
    world.router.forget()
    record, served = world.ask()
    assert (record.decision, record.reason) == ("rebind", "gone")
    assert world.ask()[0].decision == "stay"
    assert world.ask()[1] == served


def test_a_far_cheaper_choice_of_the_strategy_is_taken_and_both_numbers_are_told():
    world = World(price=OPUS, other_price=HAIKU)
    assert world.ask(size=400_000)[1] == "a"
    record, served = world.ask(size=400_000)
    assert (record.decision, served) == ("switch", "c")
    assert record.warm_usd == pytest.approx(0.05)
    assert record.cold_usd == pytest.approx(0.025)
    record, served = world.ask(size=400_000)
    assert (record.decision, served) == ("stay", "c")
    assert record.warm_usd < record.cold_usd


def test_where_no_price_could_make_leaving_worth_it_no_strategy_is_asked():
    world = World(price=OPUS, other_price=GPT)
    world.ask(size=400_000)
    record, served = world.ask(size=400_000)
    assert (record.decision, served, world.strategy.turn) == ("stay", "a", 1)
    assert record.warm_usd == pytest.approx(0.05)
    assert record.cold_usd == pytest.approx(0.4)


def test_an_account_about_to_run_out_is_left_for_one_that_is_not():
    world = World(price=OPUS, other_price=OPUS)
    world.ask(size=400_000)
    world.router.standing.set_quota(A, 0.001, None)
    record, served = world.ask(size=400_000)
    assert (record.decision, served) == ("switch", "c")


@pytest.mark.parametrize("terms", [Terms(), Terms(session_affinity=False)], ids=["on", "off"])
def test_p08_what_one_account_alone_can_read_goes_there_whatever_it_costs(terms):
    world = World(price=OPUS, other_price=HAIKU, terms=terms)
    for _ in range(3):
        record, served = world.ask(reader=("p", "b"))
        assert (record.decision, served) == ("pin", "b")
    record, served = world.ask(reader=("p", "b"), fails={"b": QuotaExhausted("empty", retry_after_s=10)})
    assert (record.decision, record.reason, served != "b") == ("rebind", "quota_exhausted", True)
    assert len(world.affinity.bindings) == 0, "the request itself says where it belongs"
    assert world.ask(reader=("p", "unheard-of"))[1] != "b"


def test_asking_without_being_served_changes_nothing():
    world = World()
    world.ask()
    exchange = SimpleNamespace(
        head=RequestHead(model="both", session="s"),
        principal=SimpleNamespace(key_id="k"),
        operation="chat",
        body=b"",
        translator=SimpleNamespace(hour_mark=b""),
    )
    changes = world.affinity.bindings.changes
    route = world.router.resolve("both")
    following = world.affinity.follow(exchange, route, world.router.standing.seen)
    assert next(following.order(iter(world.router.candidates(route, None)))).account.name == "a"
    assert world.affinity.bindings.changes == changes
