"""The Litestar handlers of `/api`: each says who may call it and hands over to the service. Errors have one form."""

import math
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from litestar import Request, Response, Router, delete, get, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, FromQuery, JSONBody

from omniroute import __version__
from omniroute.combos import ComboMetrics, ComboTest, ComboView
from omniroute.contracts import ListedModel
from omniroute.drilling import Drill, DrillOrder
from omniroute.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    RouteNotFound,
)
from omniroute.explaining import Explanation, Question
from omniroute.logs import get_logger
from omniroute.management.access import declare, management_guard
from omniroute.management.account_routes import ACCOUNT_HANDLERS
from omniroute.management.decisions import RequestView
from omniroute.management.import_routes import IMPORT_HANDLERS
from omniroute.management.provider_routes import PROVIDER_HANDLERS
from omniroute.management.repeats import LOOKS, repeats
from omniroute.management.service import (
    CreatedKey,
    CreateKey,
    KeyView,
    Management,
    PluginView,
    ProviderView,
    Status,
)
from omniroute.settings import Row

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = ["build_openapi_config", "build_router"]

ROOT = "/api"
MAX_BODY_BYTES = 64 * 1024
MAX_EXPLAINED_BYTES = 64 * 1024 * 1024
"""A model request is as large as it is."""
MANAGEMENT = declare("management")
Service: TypeAlias = NamedDependency[Management]
NO_STORE = ResponseHeader(name="cache-control", value="no-store")


# --- looking ----------------------------------------------------------------------------------------------------------


@get("/status", opt=MANAGEMENT)
async def read_status(service: Service) -> Status:
    """How the gateway is."""
    return await service.status()


@get("/models", opt=MANAGEMENT)
async def list_models(service: Service) -> list[ListedModel]:
    """Everything a client can ask for now."""
    return await service.models()


@get("/providers", opt=MANAGEMENT)
async def list_providers(service: Service) -> list[ProviderView]:
    """Installed providers and those of the settings."""
    return await service.providers()


@get("/plugins", opt=MANAGEMENT)
async def list_plugins(service: Service) -> list[PluginView]:
    """Installed plugins, with those that could not be loaded."""
    return await service.plugins()


@get("/config", opt=MANAGEMENT)
async def read_config(service: Service) -> list[Row]:
    """The settings as they hold, and where each comes from. Secrets are `***`."""
    return await service.config()


# --- routing ----------------------------------------------------------------------------------------------------------


@post("/route/explain", opt={**MANAGEMENT, LOOKS: True}, status_code=200, request_max_body_size=MAX_EXPLAINED_BYTES)
async def explain_route(
    service: Service,
    request: Request[Any, Any, Any],
    dialect: FromQuery[str | None] = None,
    model: FromQuery[str | None] = None,
    key: FromQuery[str | None] = None,
    user_agent: FromQuery[str | None] = None,
) -> Explanation:
    """Where a request would go now, and why. The body is the request itself, in any dialect; nothing is sent or changed."""
    body = await request.body()
    return await service.explain(Question(body=body, dialect=dialect, model=model, key=key, user_agent=user_agent))


@get("/requests/{request_id:str}", opt=MANAGEMENT)
async def read_request(service: Service, request_id: FromPath[str]) -> RequestView:
    """One past request and each of its attempts, by its record's id or its `X-Request-Id`."""
    return await service.request(request_id)


@get("/combos", opt=MANAGEMENT)
async def list_combos(service: Service) -> list[ComboView]:
    """All combos, with everything that is in them."""
    return await service.combos()


@get("/combos/{name:str}", opt=MANAGEMENT)
async def read_combo(service: Service, name: FromPath[str]) -> ComboView:
    """One combo. A slash in its name is written `%252F`, here and below."""
    return await service.combo(unquote(name))


@get("/combos/{name:str}/metrics", opt=MANAGEMENT)
async def read_combo_metrics(service: Service, name: FromPath[str]) -> ComboMetrics:
    """How a combo and each of its targets are doing, as far as this process has seen."""
    return await service.combo_metrics(unquote(name))


@post("/combos/{name:str}/test", opt=MANAGEMENT, status_code=200)
async def test_combo(service: Service, name: FromPath[str]) -> ComboTest:
    """Ask each target for a word, once, on the way requests take."""
    return await service.test_combo(unquote(name))


@post("/drill", opt=MANAGEMENT, status_code=200)
async def run_drill(service: Service, data: JSONBody[DrillOrder]) -> Drill:
    """What a combo does when one of its candidates fails: a request to stand-ins, which costs nothing and marks nobody."""
    return await service.drill(data)


# --- client keys ------------------------------------------------------------------------------------------------------


@get("/keys", opt=MANAGEMENT)
async def list_keys(service: Service) -> list[KeyView]:
    """Client keys, revoked ones too; never the keys themselves."""
    return await service.keys()


@post("/keys", opt=MANAGEMENT)
async def create_key(service: Service, data: JSONBody[CreateKey]) -> CreatedKey:
    """Make a client key. The answer is the only place where it is ever shown."""
    return await service.create_key(data)


@delete("/keys/{key_id:str}", opt=MANAGEMENT)
async def revoke_key(service: Service, key_id: FromPath[str]) -> None:
    """Revoke a client key by its id or name, at once."""
    await service.revoke_key(key_id)


HANDLERS = (
    read_status,
    list_models,
    list_providers,
    list_plugins,
    read_config,
    list_keys,
    explain_route,
    read_request,
    list_combos,
    read_combo,
    read_combo_metrics,
    test_combo,
    run_drill,
    create_key,
    revoke_key,
    *ACCOUNT_HANDLERS,
    *PROVIDER_HANDLERS,
    *IMPORT_HANDLERS,
)


# --- the router -------------------------------------------------------------------------------------------------------


def build_router(gateway: "Gateway") -> Router:
    service = Management(gateway)
    return Router(
        ROOT,
        route_handlers=HANDLERS,
        guards=[management_guard(gateway.management_key)],
        middleware=[repeats(gateway.management_key)],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
        exception_handlers=ERRORS,
        request_max_body_size=MAX_BODY_BYTES,
        response_headers=[NO_STORE],
        tags=["management"],
    )


def build_openapi_config(gateway: "Gateway") -> OpenAPIConfig:
    """Litestar adds its handlers to the router given here, so that they are guarded as the others are."""
    path = f"{ROOT}/schema"
    router = Router(
        path,
        route_handlers=[],
        guards=[management_guard(gateway.management_key)],
        exception_handlers=ERRORS,
        opt=MANAGEMENT,
        include_in_schema=False,
    )
    return OpenAPIConfig(
        title="OmniRoute management",
        version=__version__,
        path=path,
        openapi_router=router,
        render_plugins=[JsonRenderPlugin(path="/")],
    )


# --- errors -----------------------------------------------------------------------------------------------------------


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    known = _known(error)
    if isinstance(known, InternalError):
        get_logger(__name__).error("management request failed", path=request.scope["path"], exc_info=error)
    body = {"code": known.code, "message": known.message, "why": known.why, "fix": known.fix}
    headers = {"cache-control": "no-store"}
    if known.status == 401:
        headers["www-authenticate"] = "Bearer"
    if known.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(known.retry_after_s)))
    return Response({"error": body}, status_code=known.status, headers=headers, media_type="application/json")


def _known(error: Exception) -> GatewayError:
    match error:
        case GatewayError():
            return error
        case RecursionError() | UnicodeDecodeError():  # msgspec's, which Litestar does not expect
            return InvalidRequest("the body is no JSON that can be read", why="it is nested too deeply or not UTF-8")
        case HTTPException(status_code=404):
            return RouteNotFound("there is no such path here", fix=f"see {ROOT}/schema")
        case HTTPException(status_code=405):
            return MethodNotAllowed("this method is not allowed here", fix=f"see {ROOT}/schema")
        case HTTPException(status_code=413):
            return PayloadTooLarge(f"the body has more than {MAX_BODY_BYTES} bytes")
        case HTTPException() if error.status_code < 500:
            return InvalidRequest(error.detail, why=_reasons(error))
        case _:
            return InternalError("the gateway failed", why=type(error).__name__, fix="its log says more")


def _reasons(error: HTTPException) -> str | None:
    """What Litestar found wrong, field by field; it names fields and rules, not values."""
    found = [item for item in error.extra if isinstance(item, dict)] if isinstance(error.extra, list) else []
    return "; ".join(f"{item.get('key', 'body')}: {item.get('message')}" for item in found) or None


ERRORS: dict[int | type[Exception], Any] = {
    GatewayError: _answer,
    HTTPException: _answer,
    RecursionError: _answer,
    UnicodeDecodeError: _answer,
    Exception: _answer,
}
