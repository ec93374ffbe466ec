"""The Litestar handlers of `/api`: each says who may call it and hands over to the service. Errors have one form."""

from typing import TYPE_CHECKING, Any, TypeAlias

from litestar import Request, Response, Router, delete, get, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, JSONBody

from omniroute import __version__
from omniroute.contracts import ListedModel
from omniroute.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    RouteNotFound,
)
from omniroute.logs import get_logger
from omniroute.management.access import declare, management_guard
from omniroute.management.service import (
    AccountView,
    AddAccount,
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


# --- accounts ---------------------------------------------------------------------------------------------------------


@get("/accounts", opt=MANAGEMENT)
async def list_accounts(service: Service) -> list[AccountView]:
    """Accounts of all providers; never their credentials."""
    return await service.accounts()


@post("/accounts", opt=MANAGEMENT)
async def add_account(service: Service, data: JSONBody[AddAccount]) -> AccountView:
    """Add an account; its credential is stored encrypted."""
    return await service.add_account(data)


@delete("/accounts/{provider:str}/{name:str}", opt=MANAGEMENT)
async def remove_account(service: Service, provider: FromPath[str], name: FromPath[str]) -> None:
    """Remove an account and its credential."""
    await service.remove_account(provider, name)


HANDLERS = (
    read_status,
    list_models,
    list_providers,
    list_plugins,
    read_config,
    list_keys,
    create_key,
    revoke_key,
    list_accounts,
    add_account,
    remove_account,
)


# --- the router -------------------------------------------------------------------------------------------------------


def build_router(gateway: "Gateway") -> Router:
    service = Management(gateway)
    return Router(
        ROOT,
        route_handlers=HANDLERS,
        guards=[management_guard(gateway.management_key)],
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
