"""The Litestar application: the model API's paths, health, management, and one way to say no.

Every handler declares who may call it (`opt["access"]`); `check_declared` refuses an application that has one without.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response, get
from litestar.exceptions import HTTPException
from litestar.plugins.core import MsgspecDIPlugin
from litestar.routes import ASGIRoute

from omniroute import __version__
from omniroute.answers import Answers
from omniroute.attempts import Attempts
from omniroute.contracts import Headers, Translator
from omniroute.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    MisdirectedRequest,
    RouteNotFound,
)
from omniroute.exchange import Receive, Scope, Send
from omniroute.ingress import POST, Endpoint, ModelsList, build_handlers, form_of, refuse, request_id_of
from omniroute.logs import get_logger
from omniroute.management import build_management, build_openapi, check_declared, declare
from omniroute.pipeline import Pipeline
from omniroute.server.attendant import fields_of
from omniroute.server.hosts import HostCheck
from omniroute.settings import Settings
from omniroute.tokens import TokenCounts

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = ["Front", "build_app"]


def build_app(gateway: "Gateway") -> "Front":
    """The ASGI application of an open gateway."""
    registry, settings = gateway.registry, gateway.settings
    translators = list(registry.translators.values())
    framings = registry.framings
    passports = gateway.passports
    attempts = Attempts(
        settings,
        gateway.router,
        Answers(framings, passports),
        passports,
        registry.translators,
        agent=f"omniroute/{__version__}",
        health=gateway.health,
        screening=gateway.screening,
        gates=gateway.gates,
        refresher=gateway.refresher,
        quotas=gateway.quotas,
    )
    pipeline = Pipeline(
        settings=settings,
        authenticators=registry.authenticators,
        router=gateway.router,
        planner=gateway.planner,
        attempts=attempts,
        telemetry=gateway.telemetry,
        framings=framings,
        token_counts=TokenCounts(registry.token_counters.values()),
        redactor=gateway.redactor,
        is_draining=lambda: gateway.draining,
        gates=gateway.gates,
    )
    models = ModelsList(translators, gateway.router, registry.authenticators)
    app = Application(
        [*build_handlers(translators, pipeline, models), *health(gateway), build_management(gateway)],
        exception_handlers={HTTPException: _framework_error(translators), Exception: _own_error(translators)},
        openapi_config=build_openapi(gateway),
        logging_config=None,
    )
    check_declared(app)
    return Front(app, settings, translators)


class Application(Litestar):
    """Litestar without what it adds for pydantic and attrs where those happen to be installed: ours are Structs, and it would
    import both (136 ms of the start)."""

    @staticmethod
    def _get_default_plugins(plugins: list[Any]) -> list[Any]:
        return [*plugins, MsgspecDIPlugin()]


def health(gateway: "Gateway") -> Sequence[Any]:
    """`/healthz`: the process answers. `/readyz`: it can serve; 503 with the reason while it cannot."""

    @get("/healthz", opt=declare("public"), include_in_schema=False, sync_to_thread=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz", opt=declare("public"), include_in_schema=False)
    async def readyz() -> Response[dict[str, str]]:
        problem = await gateway.problem()
        if problem is None:
            return Response({"status": "ready"})
        return Response({"status": "not ready", "reason": problem}, status_code=503)

    return [healthz, readyz]


class Front:
    """Stands before the application: a request to a host name we do not answer to meets no handler at all.

    A POST to the plain path of an `@asgi` handler is handed to its endpoint here, for the way through Litestar's router and its
    wrapping of exceptions costs 17 µs a request, and the pipeline behind such an endpoint raises nothing. The table is read
    off the application that `check_declared` has passed; any other path or method, and any other spelling, is Litestar's.
    """

    def __init__(self, app: Litestar, settings: Settings, translators: Sequence[Translator]) -> None:
        self._app: Callable[[Any, Any, Any], Awaitable[None]] = app
        self._direct = direct_endpoints(app)
        self._settings = settings.server
        self._translators = translators
        self._hosts: dict[int, HostCheck] = {}
        """By the port we listen on, which is known when the first request comes."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hands on what the one who answers returns: each coroutine in between would cost every request."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        error = self._refusal(scope)
        if error is not None:
            return refuse(self._translators, scope, send, error)
        if scope["method"] == "POST" and (endpoint := self._direct.get(scope["path"])) is not None:
            return endpoint(scope, receive, send, {})
        return self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> GatewayError | None:
        port = scope["server"][1]
        hosts = self._hosts.get(port)
        if hosts is None:
            hosts = self._hosts[port] = HostCheck(self._settings.host, port, self._settings.allowed_hosts)
        headers, found = scope["headers"], fields_of(scope)
        host = found.get(b"host")
        if host is None or (len(found) != len(headers) and [name for name, _ in headers].count(b"host") > 1):
            return InvalidRequest("the request needs exactly one Host header")
        if hosts.allows(host):
            return None
        return MisdirectedRequest(
            "this gateway does not answer to that host name",
            why="a page in a browser could be made to reach it under a name of its own",
            fix="use 127.0.0.1 or localhost, or add the name to server.allowed_hosts",
        )


def direct_endpoints(app: Litestar) -> Mapping[str, Endpoint]:
    """Path → what an `@asgi` handler for clients calls for a POST to it. Left out are mounts, for the router knows whose
    path it is, and handlers that Litestar's own guards or middleware stand before."""
    handlers = {route.path: route.route_handler for route in app.routes if isinstance(route, ASGIRoute)}
    return {
        path: endpoint
        for path, handler in handlers.items()
        if handler.opt["access"] == "client"
        and (endpoint := handler.opt.get(POST)) is not None
        and not (handler.is_mount or handler.resolve_guards() or handler.resolve_middleware())
    }


def _framework_error(translators: Sequence[Translator]) -> Any:
    """What Litestar itself refuses (no such path, wrong method), in the client's form."""

    def answer(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
        kinds = {
            404: RouteNotFound("there is no such path here"),
            405: MethodNotAllowed("this method is not allowed here"),
        }
        found: GatewayError = kinds.get(error.status_code) or InvalidRequest(error.detail)
        return _response(translators, request, found, error.status_code)

    return answer


def _own_error(translators: Sequence[Translator]) -> Any:
    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        if isinstance(error, GatewayError):
            return _response(translators, request, error, error.status)
        get_logger(__name__).exception("handler failed", exc_info=error)
        return _response(translators, request, InternalError("the gateway failed", why="its log has the rest"), 500)

    return answer


def _response(
    translators: Sequence[Translator], request: Request[Any, Any, Any], error: GatewayError, status: int
) -> Response[bytes]:
    headers = Headers(dict(request.scope["headers"]))
    request_id = request_id_of(headers)
    encoded = form_of(translators, headers).encode_error(error, request_id)
    return Response(
        encoded.body,
        status_code=status,
        headers={**encoded.headers, "x-request-id": request_id},
        media_type="application/json",
    )
