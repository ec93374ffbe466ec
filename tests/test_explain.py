"""Where a request would go and why, where one went and why, and cases for CI: in process, over HTTP, on the command line."""

import asyncio
import copy
import json
import re
import sqlite3
import threading
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

import omniroute
from omniroute.api import (
    InternalError,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    Overloaded,
    Price,
    QuotaExhausted,
    RateLimited,
    UpstreamUnreachable,
)
from omniroute.attempts import AT_LIMIT
from omniroute.cli import main
from omniroute.explaining import Predicted, Question, predicted
from omniroute.explaining.cases import Expected, differences
from omniroute.gateway import Gateway
from omniroute.management.service import CreateKey, Management
from omniroute.screening import PINNED, TOO_SMALL, WORDS, Needs
from omniroute.settings import load

PLUGINS = (
    *("auth-apikey", "provider-demo", "telemetry-sqlite"),
    *(f"translator-{name}" for name in ("openai-chat", "openai-responses", "anthropic", "gemini")),
    *(f"strategy-{name}" for name in ("fillfirst", "roundrobin", "random")),
)
SETTINGS = """
[[auth.keys]]
name = "strict"
key = "test-client-key-strict"
loss = "strict"

[providers.chat]
dialect = "openai-chat"
base_url = "http://chat.invalid/v1"
models = ["m"]
[[accounts]]
provider = "chat"
name = "a"
api_key = "test-key-a"
[[accounts]]
provider = "chat"
name = "b"
api_key = "test-key-b"

[providers.claudish]
dialect = "anthropic"
base_url = "http://claudish.invalid/v1"
[[accounts]]
provider = "claudish"
name = "c"
api_key = "test-key-c"

[providers.nobody]
dialect = "openai-chat"
base_url = "http://nobody.invalid/v1"
models = ["m"]
[[accounts]]
provider = "nobody"
name = "gone"
api_key = "test-key-d"

[prices."chat/m"]
input_usd = 2
output_usd = 10

[combos.list]
models = ["chat/m", "claudish/m", "demo/echo"]
[combos.turns]
strategy = "round-robin"
models = ["chat/m", "claudish/m", "demo/echo"]
[combos.chance]
strategy = "random"
models = ["chat/m", "claudish/m", "demo/echo"]
"""
HELLO = [{"role": "user", "content": "hi"}]
BODIES = {
    "openai-chat": {"model": "list", "messages": HELLO, "max_completion_tokens": 100},
    "openai-responses": {"model": "list", "input": "hi", "max_output_tokens": 100},
    "anthropic": {"model": "list", "max_tokens": 100, "system": "be brief", "messages": HELLO},
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 100},
    },
}


def loaded(directory, settings=SETTINGS):
    (directory / "omniroute.toml").write_text(settings)
    return load(
        config=directory / "omniroute.toml",
        data_dir=directory / "data",
        environ={"OMNIROUTE_PLUGINS": ",".join(PLUGINS)},
        cwd=directory,
    )


@pytest.fixture
async def gateway(tmp_path):
    opened = await Gateway.open(loaded(tmp_path), serving=False)
    yield opened
    await opened.close()


async def explained(gateway, body=None, **question):
    body = {"model": "list", "messages": HELLO, **(body or {})}
    return await Management(gateway).explain(Question(body=json.dumps(body).encode(), **question))


def named(found):
    return [(choice.name, choice.account, choice.turn, choice.reason) for choice in found.choices]


def fail(gateway, name, error):
    for candidate in gateway.router.candidates(gateway.router.resolve(name), None):
        with gateway.health.visit(candidate) as visit:
            gateway.health.failed(visit, error)


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", BODIES)
async def test_a_body_tells_its_dialect(gateway, dialect):
    question = Question(body=json.dumps(BODIES[dialect]).encode(), model="list" if dialect == "gemini" else None)
    found = await Management(gateway).explain(question)
    assert (found.dialect, found.dialect_guessed, found.requested_model) == (dialect, True, "list")
    assert found.max_output_tokens == 100
    assert found.first == "chat/m"


async def test_what_two_dialects_could_have_written_is_taken_for_the_default_one_unless_it_is_said(gateway):
    body = {"max_tokens": 5}
    assert (await explained(gateway, body)).dialect == "openai-chat"
    found = await explained(gateway, body, dialect="anthropic")
    assert (found.dialect, found.dialect_guessed) == ("anthropic", False)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"body": b"{"}, "not valid JSON"),
        ({"body": b'"text"'}, "object"),
        ({"body": b'{"a": "\xff"}'}, "UTF-8"),
        ({"body": b"[" * 1000 + b"]" * 1000}, "nested"),
        ({"body": b'{"model": 3}'}, "anthropic: /model"),
        ({"body": b'{"model": "list", "max_tokens": -1, "messages": []}', "dialect": "anthropic"}, "/max_tokens"),
        ({"body": b"{}", "dialect": "antropic"}, "did you mean 'anthropic'?"),
        ({"body": json.dumps(BODIES["gemini"]).encode()}, "names the model in the path"),
    ],
)
async def test_what_is_no_request_is_refused_as_its_dialect_would(gateway, question, said):
    with pytest.raises(InvalidRequest) as refused:
        await Management(gateway).explain(Question(**question))
    assert said in refused.value.text


async def test_an_unknown_model_is_answered_with_the_closest_names(gateway):
    with pytest.raises(ModelNotFound, match="closest: list"):
        await explained(gateway, {"model": "lisst"})


async def test_a_model_may_be_put_in_the_place_of_the_requests_own(gateway):
    found = await explained(gateway, model="demo/coder")
    assert (found.requested_model, found.first, found.combo) == ("demo/coder", "demo/coder", None)


async def test_a_keys_policies_hold_for_its_requests(gateway):
    found = await explained(gateway, {"seed": 7}, key="strict")
    assert (found.key, found.loss_policy) == ("strict", "strict")
    assert ("claudish/m", "c", None, "translation_refused") in named(found)
    assert found.first == "chat/m"


async def test_a_key_that_is_unknown_or_revoked_is_named(gateway):
    manager = Management(gateway)
    await manager.create_key(CreateKey(name="laptop"))
    with pytest.raises(NotFound, match="did you mean 'laptop'"):
        await explained(gateway, key="labtop")
    await manager.revoke_key("laptop")
    with pytest.raises(NotFound, match="laptop"):
        await explained(gateway, key="laptop")


# --- what is told -----------------------------------------------------------------------------------------------------


async def test_candidates_stand_in_the_order_in_which_they_would_be_asked(gateway):
    found = await explained(gateway)
    assert named(found) == [
        ("chat/m", "a", 1, None),
        ("chat/m", "b", 2, None),
        ("claudish/m", "c", 3, None),
        ("demo/echo", "builtin", None, "attempts"),
    ]
    assert found.decision.startswith("chat/m (a) is asked first, its bytes as they are; if it fails, chat/m (b), then")


@pytest.mark.parametrize(
    ("error", "reason", "wait_s"),
    [
        (RateLimited("busy", retry_after_s=20), "cooling", 20),
        (QuotaExhausted("used up", retry_after_s=90), "quota_exhausted", 90),
        (Overloaded("busy", retry_after_s=30), "cooling", 30),
    ],
)
async def test_who_is_out_is_shown_with_the_reason_and_for_how_long(gateway, error, reason, wait_s):
    fail(gateway, "chat/m", error)
    found = await explained(gateway)
    out = [choice for choice in found.choices if choice.verdict == "skip"]
    assert [(choice.name, choice.account, choice.reason) for choice in out] == [
        ("chat/m", "a", reason),
        ("chat/m", "b", reason),
    ]
    assert all(choice.again_in_s == pytest.approx(wait_s, abs=2) for choice in out)
    assert (found.first, found.choices[2].turn) == ("claudish/m", 1)


async def test_an_open_circuit_is_shown(gateway):
    for _ in range(5):
        fail(gateway, "claudish/m", UpstreamUnreachable("no"))
    assert ("claudish/m", "c", None, "breaker_open") in named(await explained(gateway))


async def test_when_nobody_is_asked_the_clients_error_is_told(gateway):
    fail(gateway, "list", QuotaExhausted("used up", retry_after_s=60))
    found = await explained(gateway)
    assert found.first is None
    assert (found.refusal.status, found.refusal.code) == (429, "quota_exhausted")
    assert found.refusal.retry_after_s == pytest.approx(60, abs=2)
    assert found.decision.startswith("Nobody is asked: the client gets 429 quota_exhausted, to be tried again in ")


async def test_the_last_resort_comes_after_all_attempts_or_first_when_nobody_else_is_left(tmp_path):
    settings = '[routing]\nlast_resort = "demo/coder"\n' + SETTINGS
    gateway = await Gateway.open(loaded(tmp_path, settings), serving=False)
    try:
        before = await explained(gateway)
        fail(gateway, "list", QuotaExhausted("used up", retry_after_s=60))
        after = await explained(gateway)
    finally:
        await gateway.close()
    assert named(before)[-1] == ("demo/coder", "builtin", 4, None)
    assert before.choices[-1].is_last_resort
    assert (after.first, after.refusal) == ("demo/coder", None)
    assert after.decision.startswith("Nobody else can be asked, so the last resort is: demo/coder")


async def test_at_a_limit_the_request_is_said_to_wait_in_line(tmp_path):
    settings = SETTINGS.replace('name = "c"\n', 'name = "c"\nmax_concurrency = 1\n')
    gateway = await Gateway.open(loaded(tmp_path, settings), serving=False)
    try:
        candidate = next(gateway.router.candidates(gateway.router.resolve("claudish/m"), None))
        permit = gateway.gates.enter(candidate, Needs())
        busy = await explained(gateway, {"model": "claudish/m"})
        permit.close(0)
        free = await explained(gateway, {"model": "claudish/m"})
    finally:
        await gateway.close()
    assert named(busy) == [("claudish/m", "c", 1, "busy")]
    assert "the request waits in line" in busy.decision
    assert named(free) == [("claudish/m", "c", 1, None)]


async def test_losses_have_pointers_into_the_request_and_equal_dialects_lose_nothing(gateway):
    found = await explained(gateway, {"seed": 7, "max_tokens": 10})
    by_name = {choice.name: choice for choice in found.choices}
    assert (by_name["chat/m"].relayed, by_name["chat/m"].losses) == (True, ())
    assert by_name["claudish/m"].relayed is False
    assert [loss.pointer for loss in by_name["claudish/m"].losses] == ["/seed"]


async def test_costs_are_estimated_at_most_and_unknown_is_unknown(gateway):
    found = await explained(gateway, {"max_completion_tokens": 1000})
    costs = {choice.name: choice.cost for choice in found.choices}
    assert costs["chat/m"].input_usd == pytest.approx(found.input_tokens_estimate * 2 / 1e6)
    assert costs["chat/m"].output_usd == pytest.approx(0.01)
    assert costs["claudish/m"].total_usd is None
    assert costs["demo/echo"].total_usd == 0


@pytest.mark.parametrize(
    ("price", "limit", "cost"),
    [
        (None, 10, (None, None, None)),
        (Price(input_usd=1, output_usd=2), 1_000_000, (1.0, 2.0, 3.0)),
        (Price(input_usd=1, output_usd=2), None, (1.0, None, None)),
        (Price(input_usd=0, output_usd=0), None, (0.0, 0.0, 0.0)),
        (Price(output_usd=2), 1_000_000, (None, 2.0, None)),
    ],
)
def test_a_prediction_adds_up_only_what_is_known(price, limit, cost):
    assert predicted(price, 1_000_000, limit) == Predicted(input_usd=cost[0], output_usd=cost[1], total_usd=cost[2])


async def test_entries_that_nobody_serves_are_listed_with_the_reason(tmp_path):
    settings = (
        SETTINGS + '[combos.dead]\nmodels = ["lonely/m", "chat/m"]\n[providers.lonely]\ndialect = "openai-chat"\n'
    )
    settings += 'base_url = "http://lonely.invalid/v1"\nmodels = ["m"]\nauth = "api-key"\n'
    gateway = await Gateway.open(loaded(tmp_path, settings), serving=False)
    try:
        found = await explained(gateway, {"model": "dead"})
    finally:
        await gateway.close()
    assert named(found)[-1] == ("lonely/m", "", None, "unavailable")
    assert "has no account" in found.choices[-1].detail
    assert found.first == "chat/m"


async def test_an_order_by_chance_says_so(gateway):
    assert not (await explained(gateway)).by_chance
    found = await explained(gateway, {"model": "chance"})
    assert (found.by_chance, found.strategy) == (True, "random")
    assert "by chance" in found.decision


async def test_standings_are_shown_as_strategies_see_them(gateway):
    route = gateway.router.resolve("list")
    candidate = next(gateway.router.candidates(route, None))
    running = gateway.router.begin(route, candidate, asyncio.get_running_loop().time() - 10)
    running.answered(0.4)
    standing = (await explained(gateway)).choices[0].standing
    assert (standing.requests, standing.in_flight, standing.latency_s) == (1, 1, 0.4)
    assert standing.last_used_s == pytest.approx(-10, abs=2)


async def test_asking_changes_nothing(gateway):
    fail(gateway, "claudish/m", RateLimited("busy", retry_after_s=90))
    before = copy.deepcopy((vars(gateway.registry.combos["turns"].strategy), list(gateway.router.standing._counts)))
    firsts = {(await explained(gateway, {"model": "turns"})).first for _ in range(5)}
    assert firsts == {"chat/m"}
    assert (vars(gateway.registry.combos["turns"].strategy), list(gateway.router.standing._counts)) == before
    assert [mark.failures for mark in gateway.health.cooling.reasons()] == [1]
    assert await gateway.telemetry.find("explain") == []


async def test_a_strategy_that_cannot_be_copied_is_named(gateway):
    gateway.registry.combos["turns"].strategy.lock = threading.Lock()
    with pytest.raises(InternalError, match="'round-robin' cannot be rehearsed"):
        await explained(gateway, {"model": "turns"})


# --- over HTTP, and what became of past requests ----------------------------------------------------------------------

LIVE = SETTINGS + '[combos.live]\nmodels = ["demo/429", "demo/echo"]\n'


class Served:
    """A running gateway, with its HTTP and its command line."""

    def __init__(self, process, http):
        self.process, self.http = process, http
        self.data = process.directory / "data"
        key = (self.data / "management.key").read_text().strip()
        self.management = {"authorization": f"Bearer {key}"}

    async def api(self, method, path, **options):
        url = f"{self.process.base_url}/api{path}"
        answer = await self.http.request(
            method, url, headers={**self.management, **options.pop("headers", {})}, **options
        )
        return answer.status_code, answer.json()

    async def ask(self, model, request_id):
        headers = {"authorization": f"Bearer {self.process.client_key}", "x-request-id": request_id}
        body = {"model": model, "messages": HELLO}
        return await self.http.post(f"{self.process.base_url}/v1/chat/completions", json=body, headers=headers)

    async def run(self, *arguments):
        return await asyncio.to_thread(main, [*arguments, "--data-dir", str(self.data)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(start_gateway):
    variables = {"OMNIROUTE_PLUGINS": ",".join(PLUGINS)}
    async with start_gateway(LIVE, **variables) as process, httpx.AsyncClient(timeout=30) as http:
        yield Served(process, http)


live = pytest.mark.asyncio(loop_scope="module")


@live
async def test_the_body_of_the_question_is_the_request_itself(served):
    status, found = await served.api("POST", "/route/explain?model=demo/coder", json=BODIES["anthropic"])
    assert (status, found["first"], found["dialect"]) == (200, "demo/coder", "anthropic")
    assert found["choices"][0]["relayed"] is False


@live
@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/route/explain", b"{", 400, "invalid_request"),
        ("/route/explain", b"", 400, "invalid_request"),
        ("/route/explain?dialect=no", b"{}", 400, "invalid_request"),
        (
            "/route/explain",
            b'{"model": "nope", "messages": [{"role": "user", "content": "x"}]}',
            404,
            "model_not_found",
        ),
        ("/route/explain?key=nope", b'{"model": "list", "messages": []}', 404, "not_found"),
    ],
)
async def test_bad_questions_have_the_status_that_the_request_would_have(served, path, body, status, code):
    found, answer = await served.api("POST", path, content=body, headers={"content-type": "application/json"})
    assert (found, answer["error"]["code"]) == (status, code)


@live
async def test_a_request_larger_than_other_bodies_of_management_is_explained(served):
    body = {"model": "demo/echo", "messages": [{"role": "user", "content": "x" * 1_000_000}]}
    status, found = await served.api("POST", "/route/explain", json=body)
    assert (status, found["input_tokens_estimate"] > 240_000) == (200, True)


@live
async def test_a_past_request_is_found_by_the_clients_id_and_by_its_records(served):
    assert (await served.ask("live", "my-request-1")).status_code == 200
    status, found = await served.api("GET", "/requests/my-request-1")
    assert status == 200
    record = found["record"]
    assert [(each["model"], each["error"], each["sent"]) for each in record["attempts"]] == [
        ("429", "rate_limit_exceeded", True),
        ("echo", None, True),
    ]
    assert (record["request_id"], record["outcome"], found["cost_usd"]) == ("my-request-1", "ok", 0)
    assert record["id"] != "my-request-1"
    assert (await served.api("GET", f"/requests/{record['id']}"))[1]["record"] == record


@live
async def test_of_requests_with_one_id_the_newest_is_shown_and_the_others_named(served):
    for _ in range(3):
        await served.ask("demo/echo", "again-and-again")
    _, found = await served.api("GET", "/requests/again-and-again")
    assert len(found["others"]) == 2
    _, other = await served.api("GET", f"/requests/{found['others'][-1]}")
    assert other["record"]["started_at_s"] < found["record"]["started_at_s"]
    assert len(other["others"]) == 0


@live
async def test_p67_why_prints_each_attempt_and_what_it_came_to(served, capsys):
    await served.ask("live", "why-1")
    assert await served.run("route", "why", "why-1") == 0
    out = capsys.readouterr().out
    assert "demo/429" in out
    assert "cooling" in out or "rate_limit_exceeded" in out
    assert "200 ok by demo/echo (builtin) relayed" in out
    assert "key tests" in out


@live
async def test_why_of_an_unknown_request_says_where_ids_come_from(served, capsys):
    assert await served.run("route", "why", "never") == 1
    said = capsys.readouterr().err
    assert "error[not_found]: no request is known as 'never'" in said
    assert "X-Request-Id" in said


@live
async def test_explain_on_the_command_line_asks_the_running_gateway(served, tmp_path, capsys):
    (tmp_path / "request.json").write_text(json.dumps({"model": "live", "messages": HELLO}))
    await served.ask("demo/429", "heat")
    assert await served.run("route", "explain", str(tmp_path / "request.json")) == 0
    *_, decision = capsys.readouterr().out.strip().splitlines()
    assert decision.startswith("demo/echo (builtin) is asked first")
    assert await served.run("route", "explain", str(tmp_path / "request.json"), "--json") == 0
    assert [choice["verdict"] for choice in json.loads(capsys.readouterr().out)["choices"]] == ["skip", "pass"]


@live
@pytest.mark.parametrize(
    ("body", "options", "code", "said"),
    [
        (b"{", (), 2, "not valid JSON"),
        (b'{"model": "list", "max_tokens": 0, "messages": []}', ("--dialect", "anthropic"), 2, "/max_tokens"),
        (b'{"model": "lisst", "messages": [{"role": "user", "content": "x"}]}', (), 1, "closest: list"),
    ],
)
async def test_bad_input_on_the_command_line_has_the_dialects_words(
    served, tmp_path, capsys, body, options, code, said
):
    (tmp_path / "request.json").write_bytes(body)
    assert await served.run("route", "explain", str(tmp_path / "request.json"), *options) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


# --- without a gateway ------------------------------------------------------------------------------------------------

CASES = """
[[case]]
name = "the chat provider comes first"
request = { model = "list", messages = [{ role = "user", content = "hi" }] }
[case.expect]
first = "chat/m"
order = ["chat/m (a)", "chat/m (b)", "claudish/m"]
skipped = { }
loss = []
relayed = true

[[case]]
name = "a typing error"
request = { model = "lisst", messages = [{ role = "user", content = "hi" }] }
expect = { error = "model_not_found" }

[[case]]
name = "from a file"
file = "request.json"
model = "claudish/m"
expect = { first = "claudish/m (c)", loss = ["/seed"], relayed = false }
"""


@pytest.fixture
def offline(tmp_path, monkeypatch, capsys):
    """A command on settings and a data directory that no gateway uses: (exit code, stdout, stderr)."""
    loaded(tmp_path)
    (tmp_path / "request.json").write_text(json.dumps({"model": "list", "messages": HELLO, "seed": 1, "max_tokens": 9}))
    monkeypatch.setenv("OMNIROUTE_PLUGINS", ",".join(PLUGINS))

    def run(*arguments):
        options = ["--config", str(tmp_path / "omniroute.toml"), "--data-dir", str(tmp_path / "data")]
        code = main([*arguments, *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    run.path = tmp_path
    return run


def test_explain_needs_no_running_gateway(offline):
    code, out, said = offline("route", "explain", str(offline.path / "request.json"))
    assert code == 0, said
    lines = out.splitlines()
    assert [line.split()[:5] for line in lines[1:3]] == [
        ["1", "chat/m", "a", "api-key", "pass"],
        ["2", "chat/m", "b", "api-key", "pass"],
    ]
    assert "openai-chat (told from its shape)" in said


def test_why_reads_the_log_of_a_gateway_that_has_stopped(offline):
    code, _, said = offline("route", "why", "before")
    assert (code, "no request is known" in said) == (1, True)
    with sqlite3.connect(offline.path / "data" / "requests.db") as connection:
        connection.execute(
            "INSERT INTO requests (id, request_id, started_at_s, dialect, operation, key_id, key_name, requested_model,"
            " status, outcome, stream, relayed, duration_s, request_bytes, response_bytes, attempts, losses)"
            " VALUES ('01', 'before', 1, 'anthropic', 'chat', 'k', 'laptop', 'list', 503, 'error', 0, 0, 1.5, 9, 9,"
            """ '[{"provider":"chat","model":"m","account":"a","error":"cooling","sent":false,"retry_after_s":4}]',"""
            """ '[{"pointer":"/top_k","kind":"dropped","reason":"no such field"}]')"""
        )
    code, out, _ = offline("route", "why", "before")
    assert code == 0
    assert "not asked: cooling" in out
    assert "4.0 s" in out
    assert "/top_k (dropped: no such field)" in out
    assert "1970-01-01 00:00:01 UTC" in out


def test_cases_that_hold_exit_with_0(offline):
    (offline.path / "routes.toml").write_text(CASES)
    code, out, said = offline("route", "test", str(offline.path / "routes.toml"))
    assert (code, out.count("ok  ")) == (0, 3), out
    assert "3 of 3" in said


def test_cases_may_be_json(offline):
    expect = {"error": "model_not_found"}
    (offline.path / "routes.json").write_text(
        json.dumps({"case": [{"name": "x", "request": {"model": "no", "messages": HELLO}, "expect": expect}]})
    )
    code, out, _ = offline("route", "test", str(offline.path / "routes.json"), "--json")
    assert (code, json.loads(out)) == (0, [{"name": "x", "differences": []}])


def test_a_case_that_fails_exits_with_6_and_shows_what_is_otherwise(offline):
    wrong = CASES.replace('first = "chat/m"', 'first = "demo/echo"').replace("relayed = true", "relayed = false")
    (offline.path / "routes.toml").write_text(wrong)
    code, out, said = offline("route", "test", str(offline.path / "routes.toml"))
    assert (code, "2 of 3" in said) == (6, True)
    assert "FAIL  the chat provider comes first" in out
    assert "first: expected demo/echo, got chat/m (a)" in out
    assert "relayed: expected no, got yes" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[case", "TOML"),
        ("[[case]]\nname = 'x'\n", "expect"),
        ("[[case]]\nname = 'x'\nexpect = { frist = 'a' }\nrequest = {}\n", "frist"),
        ("[[case]]\nname = 'x'\nexpect = {}\n", "needs either `request` or `file`"),
        ("[[case]]\nname = 'x'\nfile = 'no.json'\nexpect = {}\n", "no.json"),
    ],
)
def test_a_file_that_holds_no_cases_exits_with_2(offline, text, said):
    (offline.path / "routes.toml").write_text(text)
    code, out, error = offline("route", "test", str(offline.path / "routes.toml"))
    assert (code, out) == (2, "")
    assert said.lower() in error.lower()


def explanation(*choices, refusal=None):
    plain = {"dialect": "d", "dialect_guessed": False, "requested_model": "m", "key": None, "combo": None}
    plain |= {"strategy": None, "by_chance": False, "input_tokens_estimate": 1, "max_output_tokens": None}
    plain |= {"loss_policy": "allow", "first": None, "decision": "", "refusal": refusal, "choices": choices}
    from omniroute.explaining import Explanation

    return msgspec.convert(plain, Explanation)


def choice(model, turn=None, reason=None, **more):
    verdict = "skip" if reason else "pass"
    return {"name": f"p/{model}", "provider": "provider", "model": model, "account": "a", "verdict": verdict} | {
        "turn": turn, "reason": reason, **more
    }  # fmt: skip


TWO = explanation(choice("m", 1, relayed=True), choice("n", None, "cooling"))
REFUSED = {"status": 429, "code": "quota_exhausted", "message": "no"}


@pytest.mark.parametrize(
    ("expected", "found", "lines"),
    [
        ({}, TWO, []),
        ({"first": "p/m"}, TWO, []),
        ({"first": "provider/m"}, TWO, []),
        ({"first": "p/m (a)"}, TWO, []),
        ({"first": "p/m (b)"}, TWO, ["first: expected p/m (b), got p/m (a)"]),
        ({"order": ["p/m"]}, TWO, []),
        ({"order": ["p/m", "p/n"]}, TWO, ["order: expected p/m, p/n, got p/m (a)"]),
        ({"skipped": {"p/n": "cooling"}}, TWO, []),
        ({"skipped": {"p/n": "busy"}}, TWO, ["skipped: expected p/n (a) for busy, got cooling"]),
        ({"skipped": {"p/m": "busy"}}, TWO, ["skipped: expected p/m (a) for busy, got not skipped"]),
        ({"skipped": {"p/x": "busy"}}, TWO, ["skipped: p/x is no candidate"]),
        ({"loss": ["/a"]}, TWO, ["loss: expected /a, got none"]),
        ({"relayed": False}, TWO, ["relayed: expected no, got yes"]),
        ({}, "model_not_found", ["error: expected none, got model_not_found"]),
        ({"error": "model_not_found"}, "model_not_found", []),
        ({"error": "model_not_found"}, TWO, ["error: expected model_not_found, got none"]),
        ({"error": "quota_exhausted"}, explanation(refusal=REFUSED), []),
        (
            {"first": "p/m"},
            explanation(refusal=REFUSED),
            ["error: expected none, got quota_exhausted", "first: expected p/m, got nobody"],
        ),
    ],
)
def test_differences_are_named_one_by_one(expected, found, lines):
    assert list(differences(msgspec.convert(expected, Expected), found)) == lines


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs/explain.md").read_text(encoding="utf-8")


def test_the_pages_cases_hold_with_the_pages_settings(offline, monkeypatch):
    monkeypatch.setenv("LAB_KEY", "test-key-lab")
    [settings] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    [cases] = re.findall(r"```toml cases\n(.*?)```", PAGE, re.DOTALL)
    (offline.path / "omniroute.toml").write_text(settings)
    (offline.path / "routes.toml").write_text(cases)
    code, out, said = offline("route", "test", str(offline.path / "routes.toml"))
    assert (code, "2 of 2" in said) == (0, True), out + said


def test_the_page_names_every_reason_for_skipping():
    """As far as they stand in the kernel as they are."""
    source = "".join(path.read_text(encoding="utf-8") for path in Path(omniroute.__path__[0]).rglob("*.py"))
    reasons = set(re.findall(r'Skip\(\s*reason="(\w+)"', source)) | {PINNED, TOO_SMALL, *WORDS.values(), *AT_LIMIT}
    named = set(re.findall(r"`(\w+)`", "".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    assert reasons <= named
