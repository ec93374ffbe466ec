"""What a gateway has learned, over a restart: what comes back, what does not, and what a broken store means."""

import asyncio

import pytest

from omniroute.api import (
    Account,
    AccountBlocked,
    Credential,
    FactsProvider,
    Limits,
    ModelFacts,
    Principal,
    ProviderFacts,
    QuotaExhausted,
    RateLimited,
    Secret,
    StoreError,
    Target,
    UpstreamFailed,
)
from omniroute.gates import Gates, Pass
from omniroute.health import Health
from omniroute.keeping import TABLE, Identities, Keeper, Part, parts_of
from omniroute.routing import Candidate
from omniroute.screening import Needs
from omniroute.standing import Standings
from omniroute.store import SqliteStore
from omniroute.testing import FakeClock

FACTS = ProviderFacts(name="p", dialect="openai-chat", base_url="http://127.0.0.1:1/v1")
NEEDS = Needs(input_tokens_estimate=100, max_output_tokens=0)
HERE = Target(provider="p", account="a", model="m")


def account(name="a", key="test-key-1", *, refresh=None, base_url=FACTS.base_url, limits=Limits(rpm=3)):  # noqa: B008
    credential = Credential(access=Secret(key), refresh=None if refresh is None else Secret(refresh))
    return Account(provider="p", name=name, base_url=base_url, credential=credential, limits=limits)


def candidate(of=None, model="m"):
    of = of or account()
    target = Target(provider="p", model=model, account=of.name)
    return Candidate(
        target=target,
        leg=target,
        provider=FactsProvider(FACTS),
        account=of,
        model=ModelFacts(id=model),
        translator=None,
        transport=None,
        adapts=False,
    )


class Gateway:
    """The state that is kept, on one clock. `boot` moves the monotonic one, which begins anew with each boot."""

    def __init__(self, store, accounts, clock):
        self.clock, self.accounts = clock, accounts
        self.health = Health(cap_s=3600, clock=clock.monotonic, draw=lambda: 0.5)
        self.gates = Gates(clock=clock.monotonic)
        self.gates.set_accounts(accounts, lambda _: Limits())
        self.standings = Standings(lambda _: None)
        self.identities = Identities()
        parts = parts_of(self.health, self.gates, self.standings, self.identities, lambda: self.accounts)
        self.keeper = Keeper(store, parts, wall=clock.wall, sleep=clock.sleep)

    async def start(self):
        await self.keeper.load()
        self.set_accounts(self.accounts)

    def set_accounts(self, accounts):
        self.accounts = accounts
        for provider, name in self.identities.changed(accounts):
            self.health.cooling.forget(provider, name)

    def fail(self, error, at=None):
        with self.health.visit(at or candidate()) as visit:
            return self.health.failed(visit, error)

    def succeed(self, at=None):
        with self.health.visit(at or candidate()) as visit:
            self.health.succeeded(visit)

    def hold(self, at=None):
        hold = self.health.hold(at or candidate())
        return None if hold is None else (hold.reason, round(hold.due_s - self.clock.monotonic()))


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "state.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def restart(store):
    """`await restart(after_s=…)`: the next gateway, so long after the last one was killed."""
    clocks = [FakeClock()]

    async def restarted(*accounts, after_s=0.0, wall_jump_s=0.0):
        wall_s = clocks[-1].wall() + after_s + wall_jump_s
        clocks.append(FakeClock(monotonic_s=len(clocks) * 77_777.0, wall_s=wall_s))
        gateway = Gateway(store, accounts or (account(),), clocks[-1])
        await gateway.start()
        return gateway

    return restarted


# --- cooldowns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "after_s", "expected"),
    [
        pytest.param(RateLimited("no", retry_after_s=600), 100, ("throttled", 500), id="throttled"),
        pytest.param(QuotaExhausted("no"), 100, ("quota_exhausted", 3500), id="quota"),
        pytest.param(AccountBlocked("no"), 100, ("account_blocked", 3500), id="blocked"),
        pytest.param(RateLimited("no", retry_after_s=600), 700, None, id="over meanwhile"),
        pytest.param(RateLimited("no", retry_after_s=1_587_827), 100, ("throttled", 3500), id="beyond the cap"),
    ],
)
async def test_p30_a_cooldown_goes_on_where_it_was(restart, error, after_s, expected):
    before = await restart()
    before.fail(error)
    await before.keeper.save()
    after = await restart(after_s=after_s)
    assert after.hold() == expected


@pytest.mark.parametrize(
    ("jump_s", "expected"),
    [(-86_400, ("throttled", 3600)), (-3600, ("throttled", 3600)), (3600, None), (86_400, None)],
    ids=["a day back", "an hour back", "an hour on", "a day on"],
)
async def test_c6_a_clock_that_jumps_meanwhile_keeps_nothing_out_for_longer_than_the_cap(restart, jump_s, expected):
    before = await restart()
    before.fail(RateLimited("no", retry_after_s=600))
    await before.keeper.save()
    assert (await restart(wall_jump_s=jump_s)).hold() == expected


async def test_c6_a_clock_that_jumps_while_it_runs_changes_nothing(restart):
    gateway = await restart()
    gateway.fail(RateLimited("no", retry_after_s=600))
    for jump_s in (-86_400, 172_800):
        gateway.clock.jump_wall(jump_s)
        assert gateway.hold() == ("throttled", 600)


async def test_p26_failures_in_a_row_are_counted_over_restarts_and_cleared_by_a_success(restart):
    waits = []
    for _ in range(4):
        gateway = await restart(after_s=5)
        gateway.fail(RateLimited("no"))
        waits.append(gateway.hold()[1])
        await gateway.keeper.save()
    assert waits == [1, 2, 4, 8]
    gateway = await restart(after_s=60)
    gateway.succeed()
    await gateway.keeper.save()
    gateway = await restart()
    gateway.fail(RateLimited("no"))
    assert gateway.hold() == ("throttled", 1)


async def test_when_it_is_over_meanwhile_one_request_probes_it(restart):
    before = await restart()
    before.fail(RateLimited("no", retry_after_s=60))
    await before.keeper.save()
    after = await restart(after_s=100)
    assert after.hold() is None
    with after.health.visit(candidate()):
        assert after.hold() is not None
    assert after.hold() is None


# --- whose they are ---------------------------------------------------------------------------------------------------

SAME = pytest.param(account(), ("throttled", 600), id="the same")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        SAME,
        pytest.param(account(key="test-key-2"), None, id="another key"),
        pytest.param(account(base_url="http://127.0.0.1:2/v1"), None, id="another base URL"),
        pytest.param(account(limits=Limits()), ("throttled", 600), id="other limits"),
        pytest.param(account("b"), None, id="another name"),
    ],
)
@pytest.mark.parametrize("live", [True, False], ids=["while it runs", "over a restart"])
async def test_an_account_that_is_another_now_has_done_nothing_wrong_yet(restart, now, expected, live):
    gateway = await restart()
    gateway.fail(RateLimited("no", retry_after_s=600))
    await gateway.keeper.save()
    if live:
        gateway.set_accounts((now,))
    else:
        gateway = await restart(now)
    assert gateway.hold() == expected


async def test_tokens_that_are_renewed_are_no_other_account(restart):
    before = await restart(account(key="token-1", refresh="refresh-1"))
    before.fail(RateLimited("no", retry_after_s=600))
    before.set_accounts((account(key="token-2", refresh="refresh-2"),))
    assert before.hold() == ("throttled", 600)
    await before.keeper.save()
    assert (await restart(account(key="token-3", refresh="refresh-3"))).hold() == ("throttled", 600)


async def test_an_account_that_was_removed_and_added_again_begins_anew(restart):
    gateway = await restart()
    gateway.fail(RateLimited("no", retry_after_s=600))
    gateway.set_accounts(())
    gateway.set_accounts((account(),))
    assert gateway.hold() is None
    await gateway.keeper.save()
    assert (await restart()).hold() is None


async def test_no_key_is_written_down(restart, store):
    gateway = await restart()
    gateway.fail(RateLimited("no", retry_after_s=600))
    await gateway.keeper.save()
    rows = await store.scan(TABLE)
    assert rows
    assert [row.key for row in rows if b"test-key-1" in row.value] == []


# --- circuits, limits, numbers ----------------------------------------------------------------------------------------


async def test_an_open_circuit_stays_open_and_waits_longer_the_next_time(restart):
    before = await restart()
    for _ in range(5):
        before.fail(UpstreamFailed("no"))
    assert before.hold() == ("breaker_open", 30)
    await before.keeper.save()
    after = await restart(after_s=10)
    assert after.hold() == ("breaker_open", 20)
    after.clock.advance(20)
    assert after.hold() is None
    after.fail(UpstreamFailed("no"))
    assert after.hold() == ("breaker_open", 60)


async def test_four_failures_before_a_restart_and_one_after_open_a_circuit(restart):
    before = await restart()
    for _ in range(4):
        before.fail(UpstreamFailed("no"))
    await before.keeper.save()
    after = await restart()
    assert after.hold() is None
    after.fail(UpstreamFailed("no"))
    assert after.hold() == ("breaker_open", 30)


@pytest.mark.parametrize(("after_s", "left"), [(10, 1), (70, 3)])
async def test_requests_of_the_last_minute_count_after_a_restart(restart, after_s, left):
    before = await restart()
    for _ in range(2):
        assert isinstance(before.gates.enter(candidate(), NEEDS), Pass)
    await before.keeper.save()
    after = await restart(after_s=after_s)
    assert [isinstance(after.gates.enter(candidate(), NEEDS), Pass) for _ in range(4)].count(True) == left


async def test_a_client_key_s_count_waits_for_its_first_request_after_a_restart(restart):
    limited = Principal(key_id="k", name="k", limits=Limits(rpm=2))
    before = await restart()
    before.gates.lines.enter((before.gates.of_key(limited),), 0)
    await before.keeper.save()
    between = await restart(after_s=10)
    between.gates.lines.changes += 1  # a write before the key was seen again
    await between.keeper.save()
    after = await restart(after_s=10)
    key = (after.gates.of_key(limited),)
    assert [isinstance(after.gates.lines.enter(key, 0), Pass) for _ in range(2)] == [True, False]


async def test_how_targets_are_doing_comes_back_and_a_quota_that_was_reset_does_not(restart):
    before = await restart()
    other = Target(provider="p", account="b", model="m")
    now_s = before.clock.monotonic()
    running = before.standings.begin([HERE], now_s)
    running.answered(0.5)
    running.end(ok=False, error="x")
    before.standings.set_quota(HERE, 0.25, now_s + 600)
    before.standings.set_quota(other, 0.25, now_s + 60)
    await before.keeper.save()
    after = await restart(after_s=100)
    seen = after.standings.view[HERE]
    assert (seen.requests, seen.failures, seen.in_flight, seen.latency_s) == (1, 1, 0, 0.5)
    assert seen.last_used_s == after.clock.monotonic() - 100
    assert (seen.quota_left, seen.quota_resets_s) == (0.25, after.clock.monotonic() + 500)
    assert after.standings.view[other].quota_left is None


# --- the writing ------------------------------------------------------------------------------------------------------


class Counted:
    """A store that counts what is written, and fails while it is told to."""

    def __init__(self, store):
        self.store, self.puts, self.broken = store, 0, False

    async def get(self, table, key):
        return await self.store.get(table, key)

    async def put(self, table, key, value):
        self.puts += 1
        if self.broken:
            raise StoreError("the database refused", why="database or disk is full")
        return await self.store.put(table, key, value)


async def seconds(gateway, count):
    for _ in range(count):
        await gateway.clock.sleepers(1)
        gateway.clock.advance(1)
    await gateway.clock.sleepers(1)


async def test_it_is_written_once_a_second_and_only_when_something_changed(store):
    counted = Counted(store)
    gateway = Gateway(counted, (account(),), FakeClock())
    await gateway.start()
    gateway.keeper.start()
    await seconds(gateway, 5)
    assert counted.puts == 0
    for _ in range(100):
        gateway.fail(RateLimited("no", retry_after_s=600))
    await seconds(gateway, 5)
    assert counted.puts == 1
    await gateway.keeper.close()
    assert counted.puts == 1


async def test_what_changed_last_is_written_at_the_end(store):
    counted = Counted(store)
    gateway = Gateway(counted, (account(),), FakeClock())
    await gateway.start()
    gateway.keeper.start()
    await seconds(gateway, 1)
    gateway.fail(RateLimited("no", retry_after_s=600))
    await gateway.keeper.close()
    assert counted.puts == 1


async def test_c3_a_store_that_fails_costs_nothing_and_is_tried_again(store, restart):
    counted = Counted(store)
    gateway = Gateway(counted, (account(),), FakeClock())
    await gateway.start()
    gateway.keeper.start()
    counted.broken = True
    gateway.fail(RateLimited("no", retry_after_s=600))
    await seconds(gateway, 3)
    assert (gateway.keeper.failures, gateway.hold()) == (3, ("throttled", 597))
    counted.broken = False
    await seconds(gateway, 1)
    assert gateway.keeper.failures == 0
    assert await store.get(TABLE, "cooling") is not None
    await gateway.keeper.close()


async def test_what_is_done_at_the_same_beat_waits_for_no_store_and_ends_no_beat(store):
    counted, beats = Counted(store), []

    async def beside():
        beats.append(len(beats))
        raise RuntimeError("a mistake")

    clock = FakeClock()
    part = Part(name="p", changes=lambda: len(beats), dump=lambda _: beats, load=lambda _, __: None, type=list[int])
    keeper = Keeper(counted, [part], beside=[beside], wall=clock.wall, sleep=clock.sleep)
    keeper.start()
    for second in range(3):
        counted.broken = second == 1
        await clock.sleepers(1)
        clock.advance(1)
    await clock.sleepers(1)
    assert (beats, keeper.failures) == ([0, 1, 2], 0)
    await keeper.close()


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"{}", b'{"salt":5}', b"[[[", b'[{"key":["x"]}]', b"[" * 100_000])
async def test_what_cannot_be_read_is_forgotten_and_nothing_else(restart, store, garbage):
    before = await restart()
    for _ in range(5):
        before.fail(UpstreamFailed("no"))
    await before.keeper.save()
    for part in ("cooling", "limits", "standing"):
        await store.put(TABLE, part, garbage)
    after = await restart()
    assert after.hold() == ("breaker_open", 30)


async def test_ten_thousand_marks_are_written_and_read_within_a_second(restart):
    before = await restart()
    for number in range(10_000):
        before.fail(RateLimited("no", retry_after_s=600), candidate(model=f"m{number}"))
    started = asyncio.get_running_loop().time()
    await before.keeper.save()
    after = await restart()
    assert asyncio.get_running_loop().time() - started < 3
    assert len(after.health.cooling) == 10_000
