"""Sign-in to model providers, as auth schemes over the provider's `OAuthFacts`.

`oauth` sends the person to a browser and takes the code from the redirect, `oauth-device` has them type a code elsewhere,
`token-exchange` and `imported-token` start from a token that was given. However it began, a credential is renewed, exchanged
and asked whose it is in one way. Everything is a generator: no sockets, no clock, no randomness of its own.
"""

from omniroute.api import AuthScheme, hookimpl
from omniroute_auth_oauth.schemes import AuthorizationCode, DeviceCode, ImportedToken, TokenExchange

__all__ = ["AuthorizationCode", "DeviceCode", "ImportedToken", "TokenExchange", "register_auth_schemes"]


@hookimpl
def register_auth_schemes() -> list[AuthScheme]:
    return [AuthorizationCode(), DeviceCode(), TokenExchange(), ImportedToken()]
