"""What of a request's headers and query is taken, and what contradicts itself."""

import pytest

from omniroute.contracts.http import HEADER_NAMES
from omniroute.errors import InvalidRequest
from omniroute.heading import read_heading, singular_names

SINGULAR = frozenset({b"authorization", b"x-api-key"})
KNOWN = frozenset({b"authorization", b"content-type", b"content-length"})
"""Which are singular whatever the dialects say."""

TAKEN = [
    pytest.param([], b"", {}, {}, id="nothing"),
    pytest.param([(b"x-a", b"1")], b"alt=sse&x=", {"x-a": "1"}, {"alt": "sse", "x": ""}, id="each once"),
    pytest.param([(b"x-beta", b"a"), (b"x-beta", b"b")], b"", {"x-beta": "a, b"}, {}, id="a list in two lines"),
    pytest.param([(b"x-beta", b"a"), (b"x-beta", b"a")], b"", {"x-beta": "a"}, {}, id="the same twice"),
    pytest.param(
        [(b"x-api-key", b"k"), (b"x-api-key", b"k")], b"k=1&k=1", {"x-api-key": "k"}, {"k": "1"}, id="equal keys"
    ),
]


@pytest.mark.parametrize(("headers", "query", "values", "parameters"), TAKEN)
def test_names_have_one_value(headers, query, values, parameters):
    heading = read_heading({"headers": headers, "query_string": query}, SINGULAR)
    assert (heading.headers, dict(heading.query), heading.fault) == (values, parameters, None)


REFUSED = [
    pytest.param([(b"authorization", b"Bearer secret-1"), (b"authorization", b"Bearer secret-2")], b"", id="header"),
    pytest.param([], b"key=secret-1&alt=sse&key=secret-2", id="query"),
    pytest.param([(b"x-a", b"1"), (b"x-a", b"2")], b"key=secret-1&key=secret-2", id="query beside a list"),
]


@pytest.mark.parametrize(("headers", "query"), REFUSED)
def test_different_values_where_there_can_be_one_are_a_fault_that_repeats_none_of_them(headers, query):
    fault = read_heading({"headers": headers, "query_string": query}, SINGULAR).fault
    assert isinstance(fault, InvalidRequest)
    assert "secret" not in fault.text


def test_a_key_the_type_and_the_length_of_a_body_are_singular_whatever_the_dialects_say():
    assert singular_names([]) == KNOWN


def test_few_and_short_names_of_headers_are_kept():
    names = type(HEADER_NAMES)()
    assert [names[name] for name in (b"X-Own", b"X-Own", b"x" * 65)] == ["x-own", "x-own", "x" * 65]
    assert names == {b"X-Own": "x-own"}
    for number in range(names.LIMIT + 10):
        assert names[b"x-%d" % number] == f"x-{number}"
    assert len(names) == names.LIMIT
