"""Who may call a handler: declared on the handler itself, denied by default, checked when the application is built.

Never decided by path or Host: routers take several spellings of a path for the same handler. Management takes its own
key, from `Authorization: Bearer` alone: a client key is none, and a cookie is not looked at, so that no web page can make a
browser act on `/api`.
"""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from omniroute.errors import AuthenticationFailed, InternalError, UnsupportedMediaType
from omniroute.server.attendant import vouch

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler
    from litestar.types import Guard

    from omniroute.keys import ManagementKey

__all__ = ["ACCESS", "Access", "check_declared", "declare", "holds_key", "management_guard"]

Access: TypeAlias = Literal["public", "client", "management"]
"""`client` handlers tell themselves who is calling, so that a refusal comes in the client's dialect."""

ACCESS = "access"
WRITES = frozenset({"POST", "PUT", "PATCH"})


def declare(access: Access) -> dict[str, Any]:
    """For a handler's `opt`."""
    return {ACCESS: access}


def check_declared(app: "Litestar") -> None:
    """Raises `InternalError` naming every handler that does not say who may call it; plugins' handlers too."""
    undeclared = [
        f"{route.path} ({handler})"
        for route in app.routes
        for handler in _handlers(route)
        if handler.opt.get(ACCESS) not in get_args(Access) and not _is_options(handler)
    ]
    if undeclared:
        raise InternalError(
            "handlers do not say who may call them",
            why=", ".join(sorted(undeclared)),
            fix='give each opt={"access": "public" | "client" | "management"}',
        )


def _handlers(route: Any) -> "list[BaseRouteHandler]":
    return list(route.route_handlers) if hasattr(route, "route_handlers") else [route.route_handler]


def _is_options(handler: Any) -> bool:
    """Litestar's own answer to OPTIONS: 204 and the allowed methods, nothing else."""
    return set(getattr(handler, "http_methods", ())) == {"OPTIONS"} and handler.fn.__module__ == "litestar.routes.http"


def management_guard(key: "ManagementKey") -> "Guard":
    """A Litestar guard for routers of management handlers. Runs before a body is read.

    A function, for Litestar makes deep copies of a router and all that it holds, and a key is not copied.
    """

    async def guard(connection: "ASGIConnection[Any, Any, Any, Any]", handler: "BaseRouteHandler") -> None:
        if handler.opt.get(ACCESS) != "public":
            if not holds_key(connection.headers.get("authorization"), key):
                raise AuthenticationFailed(
                    "the management key is required",
                    fix="send `Authorization: Bearer KEY`; it is in management.key of the data directory",
                )
            vouch(connection.scope)
        if connection.scope.get("method") in WRITES:
            kind = connection.headers.get("content-type", "")
            if kind.partition(";")[0].strip().lower() != "application/json":
                raise UnsupportedMediaType("the body is not JSON", fix="send content-type: application/json")

    return guard


def holds_key(authorization: str | None, key: "ManagementKey") -> bool:
    """Whether a request with this header shows the management key."""
    scheme, _, token = (authorization or "").partition(" ")
    return key.match(token.strip() if scheme.lower() == "bearer" else "")
