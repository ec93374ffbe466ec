"""A conversation stays where its prompt is warm, as a preference; and where its thread is kept, without a choice."""

import httpx
import msgspec
import pytest

from omniroute.testing import FakeUpstream, Reply, Stream, sse
from omniroute.testing.dialects import VOICES, Asked, Block, written

PATHS = {"openai-chat": "/v1/chat/completions", "anthropic": "/v1/messages", "openai-responses": "/v1/responses"}
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
SPREAD = '[routing]\naccount_strategy = "round-robin"\naccount_options = { sticky = 1 }\n'


def refusal(status, code=None, **headers):
    headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return Reply.json({"error": {"message": "no", "type": "x", "param": None, "code": code}}, status, headers)


def provider(name, base_url, *, accounts, dialect="openai-chat"):
    return f'[providers.{name}]\ndialect = "{dialect}"\nbase_url = "{base_url}"\n' + "".join(
        f'[[accounts]]\nprovider = "{name}"\nname = "a{number}"\napi_key = "test-key-{number}"\npriority = {number}\n'
        for number in range(1, accounts + 1)
    )


def answering(reply):
    """By account: an upstream whose accounts answer as `refusals` says, and well otherwise."""
    refusals = {}

    def answer(request):
        return refusals.get(account(request)) or reply

    return answer, refusals


def account(request):
    return (request.header("authorization") or "").rpartition("-")[2]


@pytest.fixture
async def http():
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


class Client:
    def __init__(self, gateway, http, dialect="openai-chat"):
        self.gateway, self.http, self.dialect = gateway, http, dialect

    async def post(self, body, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["authorization"] = f"Bearer {self.gateway.client_key}"
        return await self.http.post(self.gateway.base_url + PATHS[self.dialect], json=body, headers=headers)

    async def talk(self, turns, *, says="hi", model="p/m", **headers):
        """A conversation that grows by an answer and a question with each turn."""
        messages = [{"role": "user", "content": says}]
        for turn in range(turns):
            answer = await self.post({"model": model, "max_tokens": 9, "messages": messages}, **headers)
            assert answer.status_code == 200, answer.text
            messages += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": f"and {turn}?"}]


def accounts_of(upstream, since=0):
    return [account(request) for request in upstream.requests[since:]]


@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic"])
async def test_p31_twenty_turns_over_five_accounts_use_one(start_gateway, http, dialect):
    async with (
        FakeUpstream(answer=Reply.json(CHAT)) as upstream,
        start_gateway(SPREAD + provider("p", upstream.base_url, accounts=5)) as gateway,
    ):
        client = Client(gateway, http, dialect)
        await client.talk(20)
        assert accounts_of(upstream) == ["1"] * 20
        for number in range(4):
            await client.talk(2, says=f"something else: {number}")
        assert accounts_of(upstream, 20) == [name for name in "2345" for _ in range(2)]
        await client.talk(2, says="hi", x_session_id="mine")
        await client.talk(2, says="ho", x_session_id="mine")
        assert accounts_of(upstream, 28) == ["1"] * 4


async def test_p31_it_survives_a_restart(tmp_path_factory, start_gateway, http):
    async with FakeUpstream(answer=Reply.json(CHAT)) as upstream:
        settings = SPREAD + provider("p", upstream.base_url, accounts=5)
        data = tmp_path_factory.mktemp("kept")
        for _ in range(2):
            async with start_gateway(settings, "--data-dir", str(data)) as gateway:
                client = Client(gateway, http)
                await client.talk(1, says="in between")
                await client.talk(2, x_session_id="mine")
        names = accounts_of(upstream)
        assert names[1:3] == names[4:6] == ["2", "2"]


async def test_without_it_every_request_takes_its_turn(start_gateway, http):
    async with FakeUpstream(answer=Reply.json(CHAT)) as upstream:
        settings = SPREAD + "session_affinity = false\n" + provider("p", upstream.base_url, accounts=2)
        settings += '[combos.sticky]\nmodels = ["p/m"]\nsession_affinity = true\n'
        async with start_gateway(settings) as gateway:
            client = Client(gateway, http)
            await client.talk(4, x_session_id="s")
            assert accounts_of(upstream) == ["1", "2", "1", "2"]
            await client.talk(3, model="sticky", x_session_id="s")
            assert accounts_of(upstream, 4) == ["1", "1", "1"]


async def test_p32_it_is_a_preference(start_gateway, http):
    """A throttle is sat out elsewhere once; a second one in a row, or a quota that is used up, moves the conversation."""
    answer, refusals = answering(Reply.json(CHAT))
    async with FakeUpstream(answer=answer) as upstream:
        settings = SPREAD + provider("p", upstream.base_url, accounts=3)
        async with start_gateway(settings) as gateway:
            client = Client(gateway, http)

            async def turn():
                before = len(upstream.requests)
                await client.talk(1, x_session_id="s")
                return accounts_of(upstream, before)

            assert await turn() == ["1"]
            refusals["1"] = refusal(500)
            first, second = await turn()
            assert first == "1"
            assert second != "1"
            del refusals["1"]
            assert await turn() == ["1"]
            refusals["1"] = refusal(500)
            await turn()
            _, moved = await turn()
            del refusals["1"]
            assert [await turn() for _ in range(3)] == [[moved]] * 3

            refusals[moved] = refusal(429, "insufficient_quota", retry_after=600)
            empty, taker = await turn()
            assert empty == moved
            assert [await turn() for _ in range(3)] == [[taker]] * 3


RESPONSE = {
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "up",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}


def stored(request):
    body = request.json()
    response = {"id": f"resp_of_{account(request)}_{len(str(body.get('input')))}", **RESPONSE}
    if not body.get("stream"):
        return Reply.json(response)
    text = {
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "ok",
    }
    events = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        text,
        {"type": "response.completed", "response": response},
    ]
    return Stream([sse([{**event, "sequence_number": number} for number, event in enumerate(events)])])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_p08_a_thread_is_continued_by_the_account_that_keeps_it_or_by_nobody(start_gateway, http, stream):
    script, refusals = answering(None)
    async with FakeUpstream(answer=lambda request: script(request) or stored(request)) as upstream:
        settings = SPREAD + provider("p", upstream.base_url, accounts=3, dialect="openai-responses")
        settings += provider("q", upstream.base_url, accounts=0, dialect="openai-responses")
        async with start_gateway(settings) as gateway:
            client = Client(gateway, http, "openai-responses")
            ask = {"model": "p/m", "input": "hi", "stream": stream}
            first = await client.post(ask)
            thread = "resp_of_1_2"
            assert thread in first.text
            for _ in range(4):
                answer = await client.post({**ask, "previous_response_id": thread})
                assert answer.status_code == 200
            assert accounts_of(upstream) == ["1"] * 5

            refusals["1"] = refusal(429, retry_after=60)
            answer = await client.post({**ask, "previous_response_id": thread})
            assert (answer.status_code, accounts_of(upstream, 5)) == (429, ["1"])
            assert "the conversation is kept at p/a1" in answer.text

            lost = await client.post({**ask, "model": "q/m", "previous_response_id": thread})
            assert lost.status_code == 400
            assert "start a new thread" in lost.json()["error"]["message"]
            strange = await client.post({**ask, "previous_response_id": "resp_from_elsewhere"})
            assert strange.status_code == 200


async def test_what_is_kept_of_a_conversation_are_digests(start_gateway, http, tmp_path_factory):
    data = tmp_path_factory.mktemp("digests")
    async with FakeUpstream(answer=Reply.json(CHAT)) as upstream:
        settings = SPREAD + provider("p", upstream.base_url, accounts=2)
        async with start_gateway(settings, "--data-dir", str(data)) as gateway:
            await Client(gateway, http).talk(2, says="a-secret-thing", x_session_id="a-secret-session")
    for file in data.rglob("*"):
        assert not file.is_file() or b"a-secret-" not in file.read_bytes(), file


def thinking(request):
    """A reasoning item that only its own account can read; refused, as the vendor does, when another one gets it."""
    mine = f"encrypted-by-{account(request)}"
    sent = [item["encrypted_content"] for item in request.json()["input"] if item.get("type") == "reasoning"]
    if any(text != mine for text in sent):
        problem = {"message": "The encrypted content could not be verified.", "code": "invalid_encrypted_content"}
        return Reply.json({"error": {**problem, "type": "invalid_request_error", "param": None}}, 400)
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": mine}
    return Reply.json({"id": "resp_1", **RESPONSE, "output": [thought, *RESPONSE["output"]]})


async def test_p08_encrypted_reasoning_goes_to_its_maker_and_without_it_to_anybody_else(start_gateway, http):
    script, refusals = answering(None)
    async with FakeUpstream(answer=lambda request: script(request) or thinking(request)) as upstream:
        settings = (
            SPREAD
            + "session_affinity = false\n"
            + provider("p", upstream.base_url, accounts=3, dialect="openai-responses")
        )
        async with start_gateway(settings) as gateway:
            client = Client(gateway, http, "openai-responses")
            turns, lost = [{"role": "user", "content": "hi"}], []

            async def turn():
                before = len(upstream.requests)
                answer = await client.post({"model": "p/m", "input": turns, "store": False})
                assert answer.status_code == 200, answer.text
                lost.append(answer.headers.get("x-omniroute-loss"))
                turns.extend([*answer.json()["output"], {"role": "user", "content": "and now?"}])
                return accounts_of(upstream, before)

            assert [await turn() for _ in range(5)] == [["1"]] * 5
            refusals["1"] = refusal(429, retry_after=60)
            first, second = await turn()
            assert (first, second != "1") == ("1", True)
            del refusals["1"]
            assert [await turn() for _ in range(2)] == [[second]] * 2
            assert lost[:5] == [None] * 5
            assert lost[5].startswith("5; dropped /input/1,")  # what the first account thought, turn by turn


LOOK = {"type": "object", "properties": {}}
QUESTION = Asked(
    blocks=[Block(role="user", kind="text", text="hi")], tools={"look": LOOK}, descriptions={"look": "Looks."}
)
THINKING = {"openai-responses": {"store": False, "include": ["reasoning.encrypted_content"]}}


def thinking_and_calling(request):
    said = thinking(request)
    if said.status != 200:
        return said
    body = msgspec.json.decode(said.body)
    number = len(request.json()["input"])
    call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": "look"}
    body["output"][1:] = [{**call, "arguments": "{}", "status": "completed"}]
    return Reply.json(body)


@pytest.mark.parametrize("dialect", VOICES)
async def test_p08_so_does_what_a_client_of_another_dialect_brings_back(start_gateway, http, dialect):
    """Two accounts of an upstream that can read its own encrypted reasoning only, in a long tool loop."""
    script, refusals = answering(None)
    voice, target = VOICES[dialect], VOICES[dialect].path("p/m", stream=False)
    async with FakeUpstream(answer=lambda request: script(request) or thinking_and_calling(request)) as upstream:
        settings = SPREAD + "session_affinity = false\n"
        settings += provider("p", upstream.base_url, accounts=2, dialect="openai-responses")
        async with start_gateway(settings) as gateway:
            headers = {"authorization": f"Bearer {gateway.client_key}", "content-type": "application/json"}
            body = {**written(dialect, QUESTION, "p/m"), **THINKING.get(dialect, {})}

            async def turn():
                nonlocal body
                before = len(upstream.requests)
                answer = await http.post(gateway.base_url + target, content=msgspec.json.encode(body), headers=headers)
                assert answer.status_code == 200, answer.text
                body = voice.continued(body, answer.content, ["a file"])
                return accounts_of(upstream, before)

            assert [await turn() for _ in range(4)] == [["1"]] * 4
            assert upstream.requests[-1].body.count(b"encrypted-by-1") == 3
            refusals["1"] = refusal(429, retry_after=60)
            assert await turn() == ["1", "2"]
            assert b"encrypted-by-1" not in upstream.requests[-1].body
            del refusals["1"]
            assert [await turn() for _ in range(2)] == [["2"]] * 2
