import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from omniroute import logs
from omniroute.contracts import AttemptRecord, RequestRecord
from omniroute.logs import LEVELS, MASK, Redactor
from omniroute.logs.redaction import MAX_KEPT
from omniroute.logs.rendering import MOST_WAITING, json_line
from omniroute.logs.requests import _line_of
from omniroute.logs.setup import active
from omniroute.model import Loss, Usage
from omniroute.secret import Secret

CANARY = "canary-7f3a!/ä x&y"  # no pattern knows it
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZXN0In0.c2ln"


class Captured:
    """The log of one test; `start` configures it."""

    def __init__(self) -> None:
        self.stream = io.BytesIO()
        self.redactor = Redactor()

    def start(self, level: logs.Level = "debug", *, as_json: bool = True) -> None:
        logs.configure(level, redactor=self.redactor, as_json=as_json, stream=self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue().decode()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log() -> Iterator[Captured]:
    levels = {name: logging.getLogger(name).level for name in ("", *logs.TOO_TALKATIVE)}
    yield Captured()
    logs.reset()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def record(**changes: Any) -> RequestRecord:
    values: dict[str, Any] = {
        "id": "01JD0000000000000000000001", "request_id": "01JD0000000000000000000001", "started_at_s": 1.0,
        "dialect": "openai-chat", "operation": "chat", "key_id": "k1", "key_name": "laptop",
        "requested_model": "lab/echo", "status": 200, "stream": True, "outcome": "ok",
    }  # fmt: skip
    return RequestRecord(**(values | changes))


# --- redaction --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer xyz", "Authorization: Bearer ***"),
        ("bearer abc.def-123, next", "bearer ***, next"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic ***"),
        ("key sk-test-key-000001 is bad", "key *** is bad"),
        ("sk-ant-test_0123456789", MASK),
        ("omr_abc12345_secretsecret", MASK),
        ("omrm_abc12345_secretsecret", MASK),
        ("token ya29.a0AfTest-_x end", "token *** end"),
        ("1//0test-refresh-token-value", MASK),
        ("AIzaTest0123456789012345678", MASK),
        ("ghp_test0123456789012345678", MASK),
        (f"id_token {JWT}.", "id_token ***."),
        ("GET /v1beta/models?key=abc&alt=sse", "GET /v1beta/models?key=***&alt=sse"),
        ("callback?code=abc&state=s", "callback?code=***&state=s"),
        ('{"access_token":"a b, c","expires_in":5}', '{"access_token":"***","expires_in":5}'),
        (r"{'api_key': 'it\'s mine'}", "{'api_key': '***'}"),
        ("Cookie: a=b; session=c", "Cookie: ***"),
        ("set-cookie: a=b; Path=/\r\nx: y", "set-cookie: ***\r\nx: y"),
        ("x-api-key: test0key1", "x-api-key: ***"),
        ("password=ab@cd1234", "password=***"),
        ("proxy http://me:p@ss@proxy.test:1", "proxy http://me:***@proxy.test:1"),
    ],
)
def test_what_looks_like_a_credential_is_masked(text, clean):
    assert Redactor().text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "cc/claude-opus-4-6", "the bearer token expired", "bearer authentication required", "basic plan only",
        "disk-usage of task-runner", "risk-assessment-model-12345678", "unexpected token: }", "max_tokens: 5",
        "invalid token: expected string", "http://127.0.0.1:8080/v1", "monkey=banana12", "omr_short", "eyJ",
        "01JD0000000000000000000001", '{"input_tokens":12345678}',
    ],
)  # fmt: skip
def test_ordinary_text_is_left_alone(text):
    assert Redactor().text(text) is text


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        f"a {CANARY} b",
        f"?x={'canary-7f3a%21%2F%C3%A4%20x%26y'}",
        json.dumps({"a": CANARY}),
        f"{CANARY}{CANARY}",
    ],
)
def test_a_known_value_is_masked_however_it_is_written(text):
    redactor = Redactor()
    assert redactor.text(text) == text
    redactor.add(CANARY)
    assert "7f3a" not in redactor.text(text)
    redactor.discard(CANARY)
    assert redactor.text(text) == text


def test_only_known_values_are_taken_out_where_looks_do_not_count():
    redactor = Redactor()
    redactor.add("plain-value-1")
    assert redactor.known("plain-value-1, Bearer abc12345, sk-abcdefghij") == "***, Bearer abc12345, sk-abcdefghij"


def test_a_value_that_contains_another_is_masked_whole():
    redactor = Redactor()
    redactor.add("live-value")
    redactor.add("live-value-and-more")
    assert redactor.text("x live-value-and-more live-value y") == "x *** *** y"


def test_a_value_added_twice_is_known_until_it_is_discarded_twice():
    redactor = Redactor()
    redactor.add("live-value")
    redactor.add("live-value")
    redactor.discard("live-value")
    assert redactor.text("live-value") == MASK
    redactor.discard("live-value")
    assert redactor.text("live-value") == "live-value"


def test_short_values_do_not_mask_words():
    redactor = Redactor()
    redactor.add("local")
    assert redactor.text("a local model") == "a local model"


def test_a_redactor_does_not_show_what_it_knows():
    redactor = Redactor()
    redactor.add(CANARY)
    assert repr(redactor) == "Redactor(1 values)"


@pytest.mark.parametrize(
    "piece", ["a- ", "token=", "eyJ-", "://a:", "?key", "'key'  :", "\"'", "password :aaaaaaaa ", "1//a"]
)
def test_no_text_takes_long(piece):
    text = (piece * 65_536)[:65_536]
    assert len(Redactor().text(text)) <= len(text) * 3  # quadratic, this would take minutes


# --- canary -----------------------------------------------------------------------------------------------------------

SLOTS: dict[str, dict[str, Any]] = {
    **{name: {name: CANARY} for name in (
        "authorization", "Authorization", "api_key", "api-key", "X-Api-Key", "x_goog_api_key", "key", "token",
        "access_token", "refresh_token", "secret", "client_secret", "password", "cookie", "Set-Cookie", "credential",
        "proxy_authorization",
    )},
    "headers": {"headers": {"authorization": CANARY, "Cookie": CANARY}},
    "deep": {"body": {"accounts": [{"api_key": CANARY}]}},
    "bytes": {"body": CANARY.encode()},
    "Secret": {"value": Secret(CANARY)},
    "not text": {"token": 12345678901234567890},
}  # fmt: skip
KNOWN: dict[str, dict[str, Any]] = {
    "text": {"reason": f"upstream said {CANARY}"},
    "list": {"arguments": ["--key", CANARY]},
    "tuple in dict": {"detail": {"a": (1, CANARY)}},
    "dict key": {"detail": {CANARY: 1}},
    "exception": {"error": ValueError(CANARY)},
    "object": {"thing": type("Thing", (), {"__repr__": lambda _: CANARY})()},
}


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
@pytest.mark.parametrize("slot", SLOTS)
def test_a_telling_name_hides_its_value(log, slot, as_json):
    log.start(as_json=as_json)
    logs.get_logger("t").info("something", **SLOTS[slot])
    assert "something" in log.text
    assert "7f3a" not in log.text
    assert "1234567890" not in log.text


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
@pytest.mark.parametrize("slot", KNOWN)
def test_a_known_value_is_hidden_wherever_it_stands(log, slot, as_json):
    log.redactor.add(CANARY)
    log.start(as_json=as_json)
    logs.get_logger("t").info(f"about {CANARY}", **KNOWN[slot])
    assert "about ***" in log.text
    assert "7f3a" not in log.text


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
def test_a_traceback_is_logged_without_credentials_and_locals(log, as_json):
    log.redactor.add(CANARY)
    log.start(as_json=as_json)
    hidden = "local-variable"
    try:
        raise RuntimeError(f"refused {CANARY} and Bearer xyz")
    except RuntimeError:
        logs.get_logger("t").exception("it broke")
    assert "RuntimeError: refused *** and Bearer ***" in log.text
    assert "7f3a" not in log.text
    assert hidden not in log.text


@pytest.mark.parametrize(
    "field", ["request_id", "requested_model", "key_name", "account", "provider", "model", "error"]
)
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
def test_a_credential_in_the_wrong_place_is_not_in_the_request_log(log, field, as_json):
    log.redactor.add(CANARY)
    log.start(as_json=as_json)
    logs.log_request(record(**({"provider": "lab"} | {field: CANARY})))
    logs.log_request(record(**({"provider": "lab"} | {field: "sk-test-key-000001"})))
    assert log.text.count(MASK) == 2
    assert "7f3a" not in log.text
    assert "000001 " not in log.text.replace("0000000001", "")


# --- form -------------------------------------------------------------------------------------------------------------


def test_a_json_event_has_time_level_and_name_first(log):
    log.start()
    logs.get_logger("part").warning("it happened", n=1, ratio=0.5, none=None, deep={"a": [1]})
    (event,) = log.events
    assert list(event)[:3] == ["time", "level", "event"]
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "warning", "event": "it happened", "source": "part",
        "n": 1, "ratio": 0.5, "none": None, "deep": {"a": [1]},
    }  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
def test_only_events_from_the_level_up_are_written(log, level):
    log.start(level)
    for each in LEVELS:
        getattr(logs.get_logger("t"), each)("said")
    assert [event["level"] for event in log.events] == [each for each in LEVELS if LEVELS[each] >= LEVELS[level]]


def test_a_logger_made_before_follows_the_configuration(log):
    early = logs.get_logger("early")
    log.start()
    early.info("heard")
    assert [event["source"] for event in log.events] == ["early"]


FORGED = "x\r\n2026-01-01 [info] forged\x1b[2J\x9b31m\u202e\u2028y"


def test_text_from_outside_cannot_forge_a_line_or_drive_the_terminal(log):
    log.start(as_json=False)
    logs.get_logger("t").info("model asked for", model=FORGED, deep=[FORGED])
    logs.log_request(record(requested_model=FORGED))
    try:
        raise ValueError(FORGED)
    except ValueError:
        logs.get_logger("t").exception("it broke")
    lines = log.text.split("\n")
    assert [line for line in lines if line and not line.startswith(("20", "    "))] == []
    assert not any(line.startswith("2026-01-01") for line in lines)
    assert not set(log.text) & {"\r", "\x1b", "\x9b", "\u202e", "\u2028"}
    assert all(shown in log.text for shown in (r"\x1b[2J", r"\x9b31m", r"\u202e"))


def test_the_same_text_is_one_line_of_json(log):
    log.start()
    logs.get_logger("t").info("model asked for", model=FORGED)
    (event,) = [json.loads(line) for line in log.text.split("\n") if line]
    assert event["model"] == FORGED


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1, 2}, object], ids=["lone surrogate", "big", "set", "class"])
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
def test_any_value_can_be_logged(log, value, as_json):
    log.start(as_json=as_json)
    logs.get_logger("t").info("odd", value=value)
    assert "odd" in log.text


def test_a_log_that_cannot_be_written_does_not_matter(log):
    log.start()
    log.stream.close()
    logs.get_logger("t").info("lost")
    logs.log_request(record())


def test_stdout_is_left_to_data(log, capsys):
    logs.configure("info", as_json=True)
    logs.get_logger("t").info("said")
    logs.reset()
    logs.get_logger("t").warning("said too")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("said") == 2


# --- the request log --------------------------------------------------------------------------------------------------


def test_a_request_is_one_event(log):
    log.start("info")
    passed_over = AttemptRecord(provider="lab", model="echo", account="b", error="cooling", sent=False)
    attempts = (passed_over, *(AttemptRecord(provider="lab", model="echo", account="a"),) * 2)
    logs.log_request(
        record(
            request_id="mine-1", provider="lab", model="echo", account="work", attempts=attempts,
            usage=Usage(input_tokens=3, output_tokens=4), losses=(Loss(pointer="/a", kind="dropped", reason="r"),),
            first_content_s=0.0314, duration_s=1.25, user_agent="secret-agent",
        )
    )  # fmt: skip
    (event,) = log.events
    del event["time"]
    assert event == {
        "level": "info", "event": "request", "request_id": "mine-1", "status": 200, "outcome": "ok",
        "operation": "chat", "dialect": "openai-chat", "model": "lab/echo", "client": "laptop", "stream": True,
        "attempts": 2, "ms": 1250.0, "target": "lab/echo", "account": "work", "first_content_ms": 31.4,
        "input_tokens": 3, "output_tokens": 4, "losses": 1,
    }  # fmt: skip


ATTEMPT = AttemptRecord(provider="lab", model="echo", account="a")
LINES = {
    "plain": {},
    "tokens": {"usage": Usage(input_tokens=0, output_tokens=4)},
    "first content": {"first_content_s": 0.00005},
    "all of it": {
        "provider": "lab", "model": "echo", "account": "work", "attempts": (ATTEMPT, ATTEMPT), "error": "rate_limited",
        "usage": Usage(input_tokens=3, output_tokens=10**20), "first_content_s": 1.0,
        "losses": (Loss(pointer="/a", kind="dropped", reason="r"),),
    },
    "not sent": {"attempts": (AttemptRecord(provider="lab", model="echo", account="a", sent=False), ATTEMPT)},
    "no account": {"provider": "lab", "model": "echo", "account": ""},
    "failed": {"status": 502, "outcome": "error", "error": "upstream_failed"},
    "a long time": {"duration_s": 123456.78949, "started_at_s": 1.8e9},
    "a whole second": {"duration_s": 1.0},
    "no time": {"duration_s": 0.0},
    "somebody's address": {"provider": "lab", "model": "echo", "account": "me@example.test"},
    "other letters": {"requested_model": 'a"\\b\n\u2028é{}%s', "key_name": "{0}%d"},
    "half a letter": {"requested_model": "\ud800"},
    "a very long name": {"requested_model": "m" * 2000},
    "a credential": {"requested_model": CANARY},
    "its own id": {"request_id": "mine-1"},
    "an odd id": {"id": 'x"', "request_id": 'x"'},
}  # fmt: skip


@pytest.mark.parametrize("changes", LINES.values(), ids=LINES)
def test_a_line_made_of_kept_parts_is_the_one_made_anew(log, changes):
    log.redactor.add(CANARY)
    log.start("info")
    for turn in range(3):
        given = record(**({"id": f"01{turn}", "request_id": f"01{turn}"} | changes))
        logs.log_request(given)
        line, anew = log.text.split("\n")[-2], json_line(_line_of(given, log.redactor)).decode()
        assert line == anew or (line.isascii() and json.loads(line) == json.loads(anew))


def test_a_line_of_kept_parts_hides_what_has_become_a_secret(log):
    log.start("info")
    for _ in range(2):
        logs.log_request(record(id="01", request_id="01", requested_model="made-up-name"))
        log.redactor.add("made-up-name")
    assert [event["model"] for event in log.events] == ["made-up-name", MASK]


def test_few_parts_of_lines_are_kept(log):
    log.start("info")
    for number in range(MAX_KEPT + 10):
        logs.log_request(record(id="01", request_id="01", requested_model=f"model-{number}"))
    assert len(log.redactor.memo) <= MAX_KEPT


def test_what_is_unknown_is_left_out(log):
    log.start("info")
    logs.log_request(record())
    (event,) = log.events
    assert not event.keys() & {"target", "account", "first_content_ms", "input_tokens", "losses", "error"}


@pytest.mark.parametrize(("level", "logged"), [("info", [200, 404, 502]), ("warning", [502]), ("error", [])])
def test_a_request_that_failed_here_is_a_warning(log, level, logged):
    log.start(level)
    for status in (200, 404, 502):
        logs.log_request(record(status=status, error=None if status == 200 else "some_code"))
    assert [event["status"] for event in log.events] == logged


def test_accounts_named_by_an_address_are_told_apart_and_not_shown(log):
    log.start("info")
    for account in ("me@example.test", "you@example.test", "me@example.test", "work"):
        logs.log_request(record(provider="lab", account=account))
    first, second, third, plain = [event["account"] for event in log.events]
    assert first == third != second
    assert "example" not in log.text
    assert plain == "work"


def test_its_time_is_when_the_request_ended_and_its_durations_have_one_decimal(log):
    log.start("info")
    logs.log_request(record(started_at_s=1.5, duration_s=0.2501499, first_content_s=0.00005))
    (event,) = log.events
    assert (event["time"], event["ms"], event["first_content_ms"]) == ("1970-01-01T00:00:01.750Z", 250.1, 0.1)


class Counted(io.BytesIO):
    """`written` is set by the write that makes it so many."""

    def __init__(self, awaited: int = 0) -> None:
        super().__init__()
        self.writes = 0
        self.awaited = awaited
        self.written = asyncio.Event()

    def write(self, data: Any) -> int:
        self.writes += 1
        if self.writes == self.awaited:
            self.written.set()
        return super().write(data)


def log_requests(*names: str) -> None:
    for name in names:
        logs.log_request(record(request_id=name))


async def test_requests_that_end_in_one_turn_of_the_loop_are_one_write(log):
    log.stream = stream = Counted()
    log.start("info")
    log_requests("mine-0", "mine-1", "mine-2")
    assert stream.writes == 0
    await asyncio.sleep(0)
    assert [event["request_id"] for event in log.events] == ["mine-0", "mine-1", "mine-2"]
    assert stream.writes == 1


async def test_requests_that_end_soon_after_are_written_together_when_the_pause_is_over(log, monkeypatch):
    monkeypatch.setattr("omniroute.logs.rendering.PAUSE_S", 0.5)  # a busy machine may stop for as long as it usually is
    log.stream = stream = Counted(awaited=2)
    log.start("info")
    log_requests("mine-0")
    await asyncio.sleep(0)
    for name in ("mine-1", "mine-2"):
        log_requests(name)
        await asyncio.sleep(0)
    assert stream.writes == 1
    await asyncio.wait_for(stream.written.wait(), 5)
    assert [event["request_id"] for event in log.events] == ["mine-0", "mine-1", "mine-2"]


async def test_no_more_than_a_few_wait(log):
    log.stream = stream = Counted()
    log.start("info")
    log_requests("first")
    await asyncio.sleep(0)
    log_requests(*["waits"] * (MOST_WAITING - 1))
    assert stream.writes == 1
    log_requests("last")
    assert stream.writes == 2
    assert len(log.events) == MOST_WAITING + 1


@pytest.mark.parametrize("end", [logs.reset, logs.configure], ids=["reset", "configured anew"])
async def test_what_waits_is_written_where_it_was_meant_to_go(log, end):
    log.redactor.add(CANARY)
    log.start("info")
    log_requests("first", CANARY)
    end()
    assert [event["request_id"] for event in log.events] == ["first", MASK]


def test_another_loop_does_not_wait_for_one_that_has_ended(log):
    async def some(*names: str) -> None:
        for name in names:
            log_requests(name)
            await asyncio.sleep(0)

    log.start("info")
    asyncio.run(some("mine-0", "mine-1"))
    asyncio.run(some("mine-2"))
    assert [event["request_id"] for event in log.events] == ["mine-0", "mine-1", "mine-2"]


def test_what_waits_is_written_when_the_loop_breaks_and_the_process_ends():
    program = """
import asyncio
from omniroute import logs
from omniroute.contracts import RequestRecord

async def serve():
    for name in ("mine-0", "mine-1"):
        logs.log_request(RequestRecord(
            id="1", request_id=name, started_at_s=1.0, dialect="openai-chat", operation="chat", key_id="k", key_name="k",
            requested_model="m", status=200, stream=False, outcome="ok",
        ))
        await asyncio.sleep(0)
    raise SystemExit(3)

logs.configure(as_json=True)
asyncio.run(serve())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert done.returncode == 3
    assert [json.loads(line)["request_id"] for line in done.stderr.splitlines()] == ["mine-0", "mine-1"]


async def test_an_event_comes_after_the_requests_before_it(log):
    log.start("info")
    logs.log_request(record())
    logs.get_logger("t").info("later")
    assert [event["event"] for event in log.events] == ["request", "later"]
    await asyncio.sleep(0)
    assert len(log.events) == 2


async def test_threads_lose_no_line(log):
    log.start("info")

    def talk() -> None:
        for _ in range(200):
            logs.get_logger("t").info("said")

    talking = asyncio.gather(*(asyncio.to_thread(talk) for _ in range(4)))
    for _ in range(200):
        logs.log_request(record())
        await asyncio.sleep(0)
    await talking
    active.lines.flush()
    assert len(log.events) == 1000


# --- libraries --------------------------------------------------------------------------------------------------------


def test_what_libraries_log_takes_the_same_way(log):
    log.redactor.add(CANARY)
    log.start()
    logging.getLogger("library").warning("it said %s\n", CANARY)
    logging.getLogger("library").log(25, "between two levels")
    (said, between) = log.events
    assert (said["event"], said["source"], said["level"]) == ("it said ***", "library", "warning")
    assert between["level"] == "info"


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "aiohttp.access", "uvicorn.error"])
def test_libraries_that_log_urls_are_silenced_even_at_debug(log, name):
    log.start("debug")
    logging.getLogger(name).info("GET http://127.0.0.1/?key=abc")
    logging.getLogger(name).debug("header x")
    assert log.events == []
    logging.getLogger(name).error("broken")
    assert [event["event"] for event in log.events] == ["broken"]


def test_a_record_that_cannot_be_formatted_is_not_printed_raw(log, capsys):
    log.start()
    (ours,) = [
        handler for handler in logging.getLogger().handlers if type(handler).__module__.startswith(logs.__name__)
    ]
    ours.handle(logging.LogRecord("library", logging.WARNING, __file__, 1, "%d", (CANARY,), None))
    assert "7f3a" not in log.text + "".join(capsys.readouterr())
    assert [event["reason"] for event in log.events] == ["TypeError"]


def test_configuring_again_does_not_double_events(log):
    log.start()
    log.start()
    logging.getLogger("library").warning("once")
    assert len(log.events) == 1


def test_many_values_change_at_once():
    redactor = Redactor()
    redactor.change([f"value-number-{at}" for at in range(100)], [])
    redactor.change(["another-value"], [f"value-number-{at}" for at in range(50)])
    assert redactor.text("value-number-7 value-number-70 another-value") == "value-number-7 *** ***"
