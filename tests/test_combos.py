"""Combos on real sockets: who is left out and why, what a combo says over the settings, suffixes, the last resort, the test."""

import asyncio
import json
import re
import subprocess
import sys

import httpx
import pytest

from omniroute.testing import FakeUpstream, Hang, Reply

CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
GOOD = Reply.json(CHAT)
PATHS = {
    "openai-chat": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/{model}:generateContent",
}
IMAGE = [
    {"type": "text", "text": "what is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
]
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


def refusal(status, message="no", code=None, **headers):
    headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return Reply.json({"error": {"message": message, "type": "x", "param": None, "code": code}}, status, headers)


def provider(name, base_url):
    return f'[providers.{name}]\ndialect = "openai-chat"\nbase_url = "{base_url}"\n'


def installed(name, base_url):
    """An installed provider, whose models are known, with an account at another place."""
    return f'[[accounts]]\nprovider = "{name}"\napi_key = "test-key-{name}"\nbase_url = "{base_url}"\n'


class World:
    def __init__(self, gateway, http):
        self.gateway, self.http = gateway, http

    async def ask(self, model, *, content="hi", dialect="openai-chat", **fields):
        if dialect == "gemini":
            body = {"contents": [{"role": "user", "parts": [{"text": content}]}], **fields}
        else:
            body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": content}], **fields}
        headers = {"authorization": f"Bearer {self.gateway.client_key}"}
        url = self.gateway.base_url + PATHS[dialect].format(model=model)
        return await self.http.post(url, json=body, headers=headers)

    async def manage(self, method, path):
        key = (self.gateway.directory / "data" / "management.key").read_text().strip()
        url = f"{self.gateway.base_url}/api{path}"
        return await self.http.request(method, url, headers={"authorization": f"Bearer {key}"}, json={})

    async def run(self, *arguments):
        """`omniroute …` on this gateway: exit code, stdout, stderr."""
        directory = self.gateway.directory
        place = ["--config", str(directory / "omniroute.toml"), "--data-dir", str(directory / "data")]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "omniroute", *arguments, *place,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=directory,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def start(start_gateway):
    """`async with start(settings) as world:`"""

    class Started:
        def __init__(self, settings):
            self.gateway = start_gateway(settings)

        async def __aenter__(self):
            self.http = await httpx.AsyncClient(timeout=30).__aenter__()
            return World(await self.gateway.__aenter__(), self.http)

        async def __aexit__(self, *error):
            await self.http.__aexit__(*error)
            await self.gateway.__aexit__(*error)

    return Started


def served(answer):
    return answer.headers.get("x-omniroute-provider"), answer.headers.get("x-omniroute-attempts")


def message(answer):
    return answer.json()["error"]["message"]


# --- who cannot serve it ----------------------------------------------------------------------------------------------


async def test_what_is_known_to_be_unable_is_passed_over_at_no_cost(start):
    async with FakeUpstream(answer=GOOD) as blind, FakeUpstream(answer=GOOD) as other:
        settings = installed("deepseek", blind.base_url) + provider("other", other.base_url)
        settings += '[combos.c]\nmodels = ["deepseek/deepseek-chat", "other/m"]\n'
        settings += '[combos.brave]\nmodels = ["deepseek/deepseek-chat"]\nskip_incapable = false\n'
        async with start(settings) as world:
            assert served(await world.ask("c")) == ("deepseek", "1")
            assert served(await world.ask("c", tools=[TOOL])) == ("deepseek", "1")
            assert served(await world.ask("c", content=IMAGE)) == ("other", "1")
            words = 'an "image_url" and {"type": "image_url"}, in words'
            assert served(await world.ask("c", content=words)) == ("deepseek", "1")
            calls = len(blind.requests)

            alone = await world.ask("deepseek/deepseek-chat", content=IMAGE)
            assert (alone.status_code, len(blind.requests)) == (400, calls)
            assert "deepseek/deepseek-chat (default): no_vision (the model sees no images)" in message(alone)
            assert "skip_incapable" in message(alone)
            assert served(await world.ask("brave", content=IMAGE)) == ("deepseek", "1")
            assert served(await world.ask("deepseek/unheard-of", content=IMAGE)) == ("deepseek", "1")


TOO_LONG = {
    "openai-chat": lambda error: (error["code"], error["message"].startswith("prompt is too long: ")),
    "anthropic": lambda error: (error["type"], error["message"].startswith("prompt is too long: ")),
    "gemini": lambda error: (error["status"], "exceeds the maximum number of tokens" in error["message"]),
}
SAID = {
    "openai-chat": ("context_length_exceeded", True),
    "anthropic": ("invalid_request_error", True),
    "gemini": ("INVALID_ARGUMENT", True),
}


async def test_p66_a_window_that_is_too_small_is_passed_over_and_all_too_small_is_said_in_the_client_s_words(start):
    async with FakeUpstream(answer=GOOD) as small, FakeUpstream(answer=GOOD) as large:
        settings = installed("anthropic", small.base_url) + installed("openai", large.base_url)
        settings += '[combos.c]\nmodels = ["anthropic/claude-sonnet-4-6", "openai/gpt-5.5"]\n'
        settings += '[combos.small]\nmodels = ["anthropic/claude-sonnet-4-6"]\n'
        async with start(settings) as world:
            long = "word " * 170_000
            assert served(await world.ask("c", content=long)) == ("openai", "1")
            image = [IMAGE[0], {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_200_000}}]
            found = await world.ask("small", content=image)
            assert "too long" not in found.text, "an image's bytes are no text"
            calls = len(small.requests)
            for dialect, said in TOO_LONG.items():
                answer = await world.ask("small", content=long, dialect=dialect)
                assert answer.status_code == 400
                assert said(answer.json()["error"]) == SAID[dialect]
            assert re.search(
                r"prompt is too long: 21\d{4} tokens > 200000 maximum", message(await world.ask("small", content=long))
            )
            assert len(small.requests) == calls


async def test_p66_after_too_long_only_larger_windows_are_asked(start):
    long = refusal(400, "too long", "context_length_exceeded")
    async with (
        FakeUpstream(answer=long) as small,
        FakeUpstream(answer=GOOD) as unknown,
        FakeUpstream(answer=GOOD) as large,
    ):
        settings = provider("mystery", small.base_url)
        settings += provider("unknown", unknown.base_url) + installed("openai", large.base_url)
        settings += '[combos.c]\nmodels = ["mystery/m", "unknown/m", "openai/gpt-5.5"]\n'
        settings += '[combos.none]\nmodels = ["mystery/m", "unknown/m"]\n'
        async with start(settings) as world:
            assert served(await world.ask("c")) == ("openai", "2")
            answer = await world.ask("none")
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
            assert "unknown/m (builtin): window_too_small" in message(answer)
            assert unknown.requests == []
            large.queue(long)
            assert (await world.ask("c")).status_code == 400
            assert len(small.requests) == 3


# --- a combo's own word -----------------------------------------------------------------------------------------------


async def test_a_combo_s_budget_holds_for_everything_inside_it(start):
    async with FakeUpstream(answer=refusal(503)) as bad, FakeUpstream(answer=GOOD) as good:
        settings = "".join(provider(f"bad{number}", bad.base_url) for number in range(6)) + provider(
            "good", good.base_url
        )
        inner = '[combos.inner]\nmodels = ["bad1/m", "bad2/m"]\nmax_attempts = 9\n'
        settings += inner + '[combos.two]\nmodels = ["bad0/m", "inner", "good/m"]\nmax_attempts = 2\n'
        settings += '[combos.five]\nmodels = ["bad3/m", "bad4/m", "bad5/m", "bad2/m", "good/m"]\nmax_attempts = 5\n'
        async with start(settings) as world:
            answer = await world.ask("two")
            assert (answer.status_code, len(bad.requests)) == (503, 2)
            assert "bad2/m (builtin): not asked, the limit of 2 attempts is reached" in message(answer)
            assert served(await world.ask("five")) == ("good", "5")


async def test_a_combo_s_clock_goes_before_the_settings(start):
    async with FakeUpstream(answer=Hang()) as slow, FakeUpstream(answer=GOOD) as good:
        settings = (
            provider("slow", slow.base_url) + "timeouts = { first_byte_s = 60 }\n" + provider("good", good.base_url)
        )
        settings += '[combos.hurry]\nmodels = ["slow/m", "good/m"]\nfirst_byte_s = 0.2\n'
        settings += '[combos.short]\nmodels = ["slow/m", "good/m"]\nfirst_content_deadline_s = 0.2\n'
        async with start(settings) as world:
            assert served(await world.ask("hurry")) == ("good", "2")
            answer = await world.ask("short")
            assert (answer.status_code, "0.2 s have passed" in message(answer)) == (504, True)


BAD = {
    '[combos.c]\nmodels = ["demo/echo"]\nmax_atempts = 2': "omniroute.toml:7: combos.c.max_atempts: no such key, and no option of"
    " the strategy 'fill-first'; did you mean 'max_attempts'?",
    '[combos.c]\nmodels = ["demo/echo"]\nmax_attempts = 0': "omniroute.toml:7: combos.c.max_attempts",
    '[combos.c]\nmodels = ["demo/echo"]\nfirst_byte_s = -1': "omniroute.toml:7: combos.c.first_byte_s",
    '[combos.c]\nmodels = ["demo/echo"]\nsession_affinity = "no"': "omniroute.toml:7: combos.c.session_affinity",
    '[combos.c]\nmodels = []': "omniroute.toml:6: combos.c.models",
    '[combos.c]\nmodels = ["dmo/echo"]': "omniroute.toml:6: combos.c.models[0]: no provider has the prefix 'dmo' of 'dmo/echo';"
    " did you mean 'demo'?",
    '[combos.c]\nmodels = ["d"]\n[combos.d]\nmodels = ["c"]': "leads back to itself: c → d → c",
    '[combos.c]\nmodels = ["demo/echo"]\nstrategy = "fil-first"': "omniroute.toml:7: combos.c.strategy: no strategy is called"
    " 'fil-first'; did you mean 'fill-first'?",
    '[combos.c]\nmodels = ["demo/ecko"]': "omniroute.toml:6: combos.c.models[0]: provider 'demo' has no model 'ecko'; did you mean"
    " 'echo'?",
    '[combos.c]\nmodels = ["demo/echo"]\n[combos.d]\nmodels = ["c:fats"]': "omniroute.toml:8: combos.d.models[0]: the combo 'c' has"
    " no order 'fats'; did you mean 'fast'?",
    '[combos.c]\nmodels = ["demo/echo"]\n[aliases]\nx = "c:quick"': "omniroute.toml:8: aliases.x: the combo 'c' has no order 'quick'",
    '[combos.c]\nmodels = ["demo/echo", "ecoh"]': "omniroute.toml:6: combos.c.models[1]: no model, combo or alias is known as 'ecoh';"
    " did you mean 'echo'? (a model that only a provider's live list has is written 'prefix/model')",
    '[routing]\nlast_resort = "dmo/echo"': "omniroute.toml:6: routing.last_resort: no provider has the prefix 'dmo'",
    "[routing]\nskip_incapabel = true": "omniroute.toml:6: routing.skip_incapabel",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD)
async def test_a_combo_that_cannot_work_is_refused_at_the_start(start_gateway, text, tmp_path):
    config = tmp_path / "omniroute.toml"
    config.write_text(f'[[auth.keys]]\nname = "tests"\nkey = "test-client-key-0001"\n\n{text}\n')
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "omniroute", "serve", "--port", "0", "--config", str(config), "--data-dir", str(tmp_path / "d"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert BAD[text] in err.decode().replace("\n", " ")


# --- suffixes ---------------------------------------------------------------------------------------------------------


async def test_cheap_and_fast_order_a_combo_and_what_is_inside_it(start):
    async with FakeUpstream(answer=GOOD) as upstream:
        settings = "".join(provider(name, upstream.base_url) for name in ("dear", "fair", "free"))
        settings += '[combos.c]\nmodels = ["dear/m", "inner"]\n[combos.inner]\nmodels = ["fair/m", "free/m"]\n'
        settings += '[combos.flat]\nmodels = ["dear/m", "fair/m", "free/m"]\n'
        settings += (
            '[prices]\n"dear/m" = { input_usd = 9 }\n"fair/m" = { input_usd = 2 }\n"free/m" = { input_usd = 0 }\n'
        )
        async with start(settings) as world:
            assert served(await world.ask("flat"))[0] == "dear"
            assert served(await world.ask("flat:cheap"))[0] == "free"
            assert served(await world.ask("inner:cheap"))[0] == "free"
            tried = [served(await world.ask("flat:fast"))[0] for _ in range(2)]
            assert "fair" in tried, "who was not measured yet is tried first"
            answer = await world.ask("flat:quick")
            assert answer.status_code == 404
            assert "the combo 'flat' has no order 'quick'" in message(answer)
            assert "flat:fast or flat:cheap" in message(answer)
            listed = await world.http.get(
                f"{world.gateway.base_url}/v1/models", headers={"authorization": f"Bearer {world.gateway.client_key}"}
            )
            assert "flat" in {model["id"] for model in listed.json()["data"]}


async def test_a_suffix_whose_strategy_is_not_installed_says_so(start_gateway):
    settings = '[combos.c]\nmodels = ["demo/echo"]\n[plugins]\ndisabled = ["strategy-cost"]\n'
    async with start_gateway(settings) as gateway, httpx.AsyncClient() as http:
        answer = await World(gateway, http).ask("c:cheap")
        assert answer.status_code == 404
        assert "needs the strategy 'cost-optimized', which is not installed" in message(answer)


# --- the last resort --------------------------------------------------------------------------------------------------


async def test_the_last_resort_is_asked_once_beyond_the_budget_and_not_for_what_the_request_is_at_fault_for(start):
    async with FakeUpstream() as bad, FakeUpstream(answer=GOOD) as rescue:
        settings = '[routing]\nlast_resort = "rescue/m"\nmax_attempts = 2\n' + provider("rescue", rescue.base_url)
        settings += "".join(provider(f"bad{number}", bad.base_url) for number in range(5))
        settings += '[combos.c]\nmodels = ["bad0/m", "bad1/m", "bad2/m"]\n'
        async with start(settings) as world:
            bad.queue(refusal(429, retry_after=900), refusal(503, retry_after=900))
            assert served(await world.ask("c")) == ("rescue", "3")
            bad.queue(refusal(429, code="insufficient_quota", retry_after=900))
            assert served(await world.ask("bad3/m")) == ("rescue", "2")
            assert served(await world.ask("bad3/m")) == ("rescue", "1")

            bad.queue(refusal(400, "bad body"))
            calls = len(rescue.requests)
            assert (await world.ask("bad4/m")).status_code == 400
            assert len(rescue.requests) == calls

            rescue.queue(refusal(503, retry_after=900))
            answer = await world.ask("bad3/m")
            assert answer.status_code == 503
            assert "rescue/m (builtin): overloaded" in message(answer)
            assert len(rescue.requests) == calls + 1


async def test_the_last_resort_is_not_asked_when_an_upstream_may_be_working_on_it_elsewhere_already(start):
    async with FakeUpstream(answer=Hang()) as silent, FakeUpstream(answer=GOOD) as rescue:
        settings = '[routing]\nlast_resort = "rescue/m"\n[timeouts]\nfirst_byte_s = 0.2\n' + provider(
            "rescue", rescue.base_url
        )
        settings += provider("one", silent.base_url) + provider("two", silent.base_url)
        settings += '[combos.c]\nmodels = ["one/m", "two/m"]\n'
        async with start(settings) as world:
            assert (await world.ask("c")).status_code == 504
            assert (len(silent.requests), rescue.requests) == (2, [])
            assert served(await world.ask("one/m")) == ("rescue", "2")


# --- for people -------------------------------------------------------------------------------------------------------


async def test_a_combo_is_listed_shown_tested_and_measured(start):
    async with FakeUpstream(answer=GOOD) as good, FakeUpstream(answer=refusal(401, "no such key")) as bad:
        settings = provider("good", good.base_url) + 'tier = "free"\n' + provider("bad", bad.base_url)
        settings += '[combos.c]\nmodels = ["bad/m", "good/m", "glm/glm-4.7"]\nlabel = "The C"\nmax_attempts = 7\n'
        settings += '[combos."team/x"]\nmodels = ["good/m"]\n'
        async with start(settings) as world:
            assert served(await world.ask("c")) == ("good", "2")

            code, out, _ = await world.run("combo", "list", "--json")
            assert (code, [view["name"] for view in json.loads(out)]) == (0, ["c", "team/x"])
            code, out, _ = await world.run("combo", "list")
            assert (code, "2 of 3" in out) == (0, True)
            code, out, _ = await world.run("combo", "show", "c", "--json")
            shown = json.loads(out)
            assert (shown["label"], shown["terms"]["max_attempts"]) == ("The C", 7)
            assert [(target["name"], target["tier"]) for target in shown["targets"]] == [
                ("bad/m", "api-key"),
                ("good/m", "free"),
                ("glm/glm-4.7", None),
            ]
            assert "has no account" in shown["targets"][2]["problem"]
            code, out, err = await world.run("combo", "show", "d")
            assert (code, "no combo is called 'd'" in err) == (1, True)

            code, out, _ = await world.run("combo", "test", "c", "--json")
            tested = json.loads(out)
            assert (code, tested["served_by"]) == (6, "good/m (builtin)")
            results = [
                (each["target"]["name"], each["ok"], each["error"], each["status"]) for each in tested["targets"]
            ]
            assert results == [("bad/m", False, "upstream_credential_rejected", 401), ("good/m", True, None, 200)]
            assert "no such key" in tested["targets"][0]["message"]
            assert good.requests[-1].json()["max_tokens"] == 16
            code, out, err = await world.run("combo", "test", "c")
            assert (code, "A request would be served by good/m (builtin)." in err) == (6, True)

            code, out, _ = await world.run("combo", "metrics", "c", "--json")
            found = json.loads(out)
            assert found["measures"]["requests"] == 2
            assert found["measures"]["failures"] == 1
            by_name = {each["target"]["name"]: each for each in found["targets"]}
            assert by_name["good/m"]["measures"]["requests"] == 3
            assert by_name["good/m"]["measures"]["latency_p95_s"] > 0
            assert by_name["good/m"]["measures"]["in_flight"] == 0
            assert by_name["bad/m"]["hold"] == "auth_suspect"
            code, out, _ = await world.run("combo", "metrics", "c")
            assert (code, "c (all)" in out) == (0, True)

            code, out, _ = await world.run("combo", "test", "team/x")
            assert code == 0
            assert (await world.manage("GET", "/combos/nope/metrics")).status_code == 404
            assert (await world.manage("POST", "/combos/nope/test")).status_code == 404
            headers = {"authorization": f"Bearer {world.gateway.client_key}"}
            for path in ("/combos", "/combos/c", "/combos/c/metrics"):
                strange = await world.http.get(f"{world.gateway.base_url}/api{path}", headers=headers)
                assert strange.status_code == 401
