"""What a request has cost, as its record says: from its tokens and what they are priced at, however the answer came."""

import contextlib
import sqlite3
from contextlib import AsyncExitStack
from itertools import product

import httpx
import msgspec
import pytest
import pytest_asyncio

from omniroute.api import Usage
from omniroute.testing import FakeUpstream
from omniroute.testing.dialects import VOICES, Answered

PRICE = "{ input_usd = 3, output_usd = 15, cached_usd = 0.3, cache_write_usd = 3.75, reasoning_usd = 20 }"
FREE = "{ input_usd = 0, output_usd = 0, cached_usd = 0, cache_write_usd = 0 }"
PRICES = {"priced": PRICE, "free": FREE, "unpriced": None, "halfpriced": "{ input_usd = 3, output_usd = 15 }"}
"""The last says nothing of what a cache held."""
SENT = Usage(input_tokens=1_200_000, output_tokens=100_000, cached_tokens=1_000_000)
WRITTEN = msgspec.structs.replace(SENT, cache_write_tokens=100_000)
INVOICE_USD = {SENT: 0.60 + 0.30 + 1.50, WRITTEN: 0.30 + 0.30 + 0.375 + 1.50}
"""What was fresh, read from the cache, written to it, and answered."""


def usage_of(dialect):
    return WRITTEN if "cache_write_tokens" in VOICES[dialect].shares else SENT


def model_of(client, stream, price):
    return f"{price}-{client}-{'streamed' if stream else 'whole'}"


CASES = list(product(VOICES, VOICES, (False, True), PRICES))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def records(start_gateway):
    """All requests' rows, by provider and model, once the gateway has written them."""
    async with AsyncExitStack() as stack:
        settings = ""
        for dialect, voice in VOICES.items():
            said = Answered(text="ok", usage=usage_of(dialect))
            upstream = FakeUpstream(answer=lambda request, voice=voice, said=said: voice.reply(said, request))
            await stack.enter_async_context(upstream)
            settings += f'[providers.{dialect}]\ndialect = "{dialect}"\nbase_url = "{upstream.base_url}"\n'
            settings += 'api_key = "upstream-key-1"\n'
        settings += "[prices]\n"
        for client, behind, stream, price in CASES:
            if PRICES[price] is not None:
                settings += f'"{behind}/{model_of(client, stream, price)}" = {PRICES[price]}\n'
        async with start_gateway(settings) as gateway, httpx.AsyncClient(timeout=30) as http:
            for client, behind, stream, price in CASES:
                voice, model = VOICES[client], f"{behind}/{model_of(client, stream, price)}"
                answer = await http.post(
                    gateway.base_url + voice.path(model, stream=stream),
                    json=voice.body({}, model, stream=stream),
                    headers={"authorization": f"Bearer {gateway.client_key}"},
                )
                assert answer.status_code == 200, answer.text
        with contextlib.closing(sqlite3.connect(gateway.directory / "data" / "requests.db")) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM requests").fetchall()
        yield {row["requested_model"]: row for row in rows}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("behind", VOICES)
@pytest.mark.parametrize("client", VOICES)
async def test_p15_a_record_says_to_the_cent_what_a_request_has_cost(records, client, behind, stream):
    found = {price: records[f"{behind}/{model_of(client, stream, price)}"] for price in PRICES}
    assert {bool(row["relayed"]) for row in found.values()} == {client == behind}
    costs = {price: row["cost_usd"] for price, row in found.items()}
    assert costs["priced"] == pytest.approx(INVOICE_USD[usage_of(behind)], abs=1e-9)
    assert costs["free"] == 0
    assert (costs["unpriced"], costs["halfpriced"]) == (None, None)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behind", VOICES)
async def test_p15_every_client_and_form_costs_the_same(records, behind):
    rows = [row for name, row in records.items() if name.startswith(f"{behind}/priced-")]
    assert len(rows) == 2 * len(VOICES)
    assert len({row["cost_usd"] for row in rows}) == 1
