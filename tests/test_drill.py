"""Fire drills: the user's own order, waiting and falling back, with stand-ins; and nothing real is touched."""

import copy
import json

import pytest

from omniroute.api import InvalidRequest, ModelNotFound, NotFound, RateLimited
from omniroute.cli import main
from omniroute.drilling import DrillOrder
from omniroute.drilling.stage import drill
from omniroute.gateway import Gateway
from omniroute.management.service import Management
from omniroute.settings import load
from omniroute.testing import FakeUpstream, Reply

PLUGINS = (
    *("auth-apikey", "provider-demo", "telemetry-sqlite", "translator-openai-chat", "translator-anthropic"),
    *("strategy-fillfirst", "strategy-roundrobin", "strategy-random"),
)
SHORT_S = 0.05


def toml(base_url, **routing):
    return (
        f"""
[routing]
{"".join(f"{name} = {value}" for name, value in routing.items())}

[providers.first]
dialect = "openai-chat"
base_url = "{base_url}"
[[accounts]]
provider = "first"
name = "a"
api_key = "test-key-a"
[[accounts]]
provider = "first"
name = "b"
api_key = "test-key-b"

[providers.second]
dialect = "anthropic"
base_url = "{base_url}"
"""
        """
[[accounts]]
provider = "second"
name = "c"
api_key = "test-key-c"

[combos.mine]
models = ["first/m", "second/m"]
[combos.turns]
strategy = "round-robin"
models = ["first/m", "second/m"]
[combos.chance]
strategy = "random"
models = ["first/m", "second/m"]
[combos.single]
models = ["second/m"]
"""
    )


@pytest.fixture
async def upstream():
    async with FakeUpstream(answer=lambda request: Reply(500)) as upstream:
        yield upstream


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNIROUTE_PLUGINS", ",".join(PLUGINS))
    return tmp_path


def loaded(directory, base_url="http://first.invalid/v1", plugins=PLUGINS, **routing):
    (directory / "omniroute.toml").write_text(toml(base_url, **routing))
    return load(
        config=directory / "omniroute.toml",
        data_dir=directory / "data",
        environ={"OMNIROUTE_PLUGINS": ",".join(plugins)},
        cwd=directory,
    )


@pytest.fixture
async def gateway(directory, upstream):
    opened = await Gateway.open(loaded(directory, upstream.base_url), serving=False)
    yield opened
    await opened.close()


async def drilled(gateway, model="mine", fault="429", **order):
    return await drill(gateway, DrillOrder(model=model, fault=fault, **order), patience_s=SHORT_S)


def steps(found):
    return [(each.provider, each.account, each.error) for each in found.attempts if each.sent]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [("429", "rate_limit_exceeded"), ("stall", "upstream_timeout"), ("refuse", "upstream_unreachable")],
)
async def test_a_fault_before_the_first_content_goes_elsewhere(gateway, fault, error, stream):
    found = await drilled(gateway, fault=fault, stream=stream)
    assert steps(found) == [("first", "a", error), ("first", "b", None)]
    assert (found.failing, found.served_by, found.status, found.error) == ("first/m (a)", "first/m (b)", 200, None)
    assert found.decision == "The client got its answer at attempt 2 and noticed nothing but the time."


async def test_a_stream_that_breaks_off_after_content_ends_in_an_error(gateway):
    found = await drilled(gateway, fault="truncate")
    assert steps(found) == [("first", "a", None)]
    assert (found.status, found.error, found.served_by) == (200, "stream_truncated", None)
    assert found.decision.startswith("The client saw part of an answer, then an error")
    assert '"error"' in found.ending


async def test_a_whole_answer_that_breaks_off_goes_elsewhere(gateway):
    found = await drilled(gateway, fault="truncate", stream=False)
    assert steps(found) == [("first", "a", "upstream_garbled"), ("first", "b", None)]
    assert found.served_by == "first/m (b)"


async def test_with_nobody_to_fall_back_to_the_client_gets_the_error(gateway):
    found = await drilled(gateway, model="single", fault="refuse")
    assert (found.status, found.error, found.served_by) == (502, "upstream_unreachable", None)
    assert found.decision == "The client got 502 upstream_unreachable: there was nobody to fall back to."


async def test_a_target_that_is_not_reached_is_said_to_be(gateway):
    found = await drilled(gateway, target=3)
    assert (found.failing, steps(found)) == ("second/m (c)", [("first", "a", None)])
    assert found.decision == "The fault was never met: the request was answered before its turn came."


@pytest.mark.parametrize("model", ["turns", "chance"])
async def test_the_failing_target_is_found_in_the_order_in_which_they_are_asked(gateway, model):
    for target in (1, 2):
        found = await drilled(gateway, model=model, target=target)
        failed = [at for at, step in enumerate(steps(found), 1) if step[2] is not None]
        assert failed == ([1] if target == 1 else [])


async def test_a_single_model_may_be_drilled_too(gateway):
    found = await drilled(gateway, model="first/m")
    assert steps(found) == [("first", "a", "rate_limit_exceeded"), ("first", "b", None)]


async def test_the_limit_of_attempts_is_the_users_own(directory):
    gateway = await Gateway.open(loaded(directory, max_attempts=1), serving=False)
    try:
        found = await drilled(gateway)
    finally:
        await gateway.close()
    assert (steps(found), found.status) == ([("first", "a", "rate_limit_exceeded")], 429)


async def test_a_drill_does_not_wait_as_long_as_a_request_and_says_how_long_that_is(gateway):
    found = await drilled(gateway, fault="stall")
    assert SHORT_S <= found.attempts[0].duration_s < 5
    assert (found.patience_s, found.usual_patience_s) == (SHORT_S, 120)


async def test_nothing_real_is_asked_marked_or_counted(gateway, upstream):
    for fault in ("429", "stall", "truncate", "refuse"):
        await drilled(gateway, model="turns", fault=fault)
    assert upstream.requests == []
    assert len(gateway.health.cooling) == len(gateway.health.breaker) == 0
    assert not gateway.router.standing._counts
    assert vars(gateway.registry.combos["turns"].strategy)["turn"] == 0
    assert len(gateway.affinity.bindings) == 0


async def test_what_is_out_at_the_moment_takes_part_and_stays_out(gateway):
    candidate = next(gateway.router.candidates(gateway.router.resolve("mine"), None))
    with gateway.health.visit(candidate) as visit:
        gateway.health.failed(visit, RateLimited("busy", retry_after_s=60))
    before = copy.deepcopy(gateway.health.cooling.dump(0.0)[0].failures)
    assert (await drilled(gateway)).failing == "first/m (a)"
    assert gateway.health.cooling.dump(0.0)[0].failures == before


@pytest.mark.parametrize(
    ("order", "kind", "said"),
    [
        ({"model": "mien"}, ModelNotFound, "closest: mine"),
        ({"fault": "stal"}, NotFound, "did you mean 'stall'?"),
        ({"fault": "well"}, NotFound, "no installed provider can play"),
        ({"target": 4}, InvalidRequest, "'mine' has 3 candidates; there is no 4"),
        ({"target": 0}, InvalidRequest, "there is no 0"),
    ],
)
async def test_what_cannot_be_drilled_is_refused_with_what_can(gateway, order, kind, said):
    with pytest.raises(kind) as refused:
        await drilled(gateway, **order)
    assert said in refused.value.text


async def test_without_a_provider_for_drills_it_is_said_which_to_install(directory):
    plugins = [name for name in PLUGINS if name != "provider-demo"]
    gateway = await Gateway.open(loaded(directory, plugins=plugins), serving=False)
    try:
        with pytest.raises(NotFound) as refused:
            await drilled(gateway)
    finally:
        await gateway.close()
    assert "omniroute-provider-demo" in refused.value.fix


async def test_management_runs_drills(gateway):
    found = await Management(gateway).drill(DrillOrder(model="mine", fault="429"))
    assert found.served_by == "first/m (b)"


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(directory, capsys):
    loaded(directory)

    def on_settings(*arguments):
        options = ["--config", str(directory / "omniroute.toml"), "--data-dir", str(directory / "data")]
        code = main([*arguments, *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return on_settings


def test_the_timeline_shows_who_was_asked_and_what_the_client_saw(run):
    code, out, said = run("drill", "mine", "--fault", "429")
    assert code == 0, said
    lines = [line.split(" s  ", 1)[-1] for line in out.strip().splitlines()]
    assert lines == [
        "first/m (a) is asked",
        "first/m (a) fails: 429 rate_limit_exceeded, again in 2 s",
        "first/m (b) is asked",
        "first/m (b) begins to answer",
        "the client sees the first content",
        "the client sees the end of the answer (200)",
        "",
        "The client got its answer at attempt 2 and noticed nothing but the time.",
    ]
    assert "No account was used." in said


def test_an_error_that_the_client_would_see_is_a_finding(run):
    code, out, _ = run("drill", "single", "--fault", "refuse", "--json")
    assert (code, json.loads(out)["error"]) == (6, "upstream_unreachable")


def test_a_stall_says_how_long_it_would_be_in_earnest(run):
    code, _, said = run("drill", "mine", "--fault", "stall")
    assert code == 0
    assert "in earnest it is 120 s" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("drill", "mine"), 2, "--fault"),
        (("drill", "mine", "--fault", "stal"), 1, "did you mean 'stall'?"),
        (("drill", "mien", "--fault", "429"), 1, "closest: mine"),
        (("drill", "mine", "--fault", "429", "--target", "9"), 1, "there is no 9"),
    ],
)
def test_bad_input_exits_with_what_can_be_done(run, arguments, code, said):
    found, out, error = run(*arguments)
    assert (found, out) == (code, "")
    assert said in error
