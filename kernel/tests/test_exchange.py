import pytest

from omniroute.contracts import Headers
from omniroute.exchange import Exchange


class Dialect:
    dialect = "test"


async def nowhere(message):
    pass


def record(sent: dict[bytes, bytes], request_id: str):
    exchange = Exchange(
        translator=Dialect(), operation="chat", params={}, headers=Headers(sent), request_id=request_id, client=nowhere
    )
    return exchange.record()


@pytest.mark.parametrize("sent", [{}, {b"x-request-id": b"not a sane one"}], ids=["none", "one that is not kept"])
def test_a_request_id_of_our_own_is_the_records_id(sent):
    assert record(sent, "01ARZ3NDEKTSV4RRFFQ69G5FAV").id == "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_a_client_that_repeats_its_request_id_makes_two_records():
    records = [record({b"x-request-id": b"mine"}, "mine") for _ in range(2)]
    assert [one.request_id for one in records] == ["mine", "mine"]
    assert len({"mine", *(one.id for one in records)}) == 3
