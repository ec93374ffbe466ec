import pytest

from omniroute.contracts import Headers, Principal
from omniroute.pipeline import authenticator_of


class Knows:
    """An authenticator that knows the callers of one name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def authenticate(self, headers, query, peer):
        return Principal(key_id=self.name, name=self.name) if headers.get("x-name") == self.name else None


@pytest.mark.parametrize("known", [(), ("ada",), ("ada", "bob")], ids=len)
@pytest.mark.parametrize("name", ["ada", "bob", "eve"])
async def test_the_first_authenticator_that_knows_the_caller_decides(known, name):
    authenticate = authenticator_of([Knows(each) for each in known])
    principal = await authenticate(Headers({b"x-name": name.encode()}), {}, "127.0.0.1")
    assert (principal and principal.name) == (name if name in known else None)
