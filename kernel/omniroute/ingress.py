"""The model API's paths, built at start from what the translators declare.

Each path becomes one Litestar `@asgi` handler that says who may call it. Paths with `{model}` become mounts whose rest we
match ourselves: Litestar's `@asgi` handlers take no path parameters, a mount also gets longer names and every method, and two
handlers on one path would silently leave the last (all measured with Litestar 2.25).
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler

from omniroute.contracts import Authenticator, Headers, Translator
from omniroute.errors import GatewayError, MethodNotAllowed, ModelNotFound, RouteNotFound
from omniroute.exchange import Exchange, Receive, Scope, Send
from omniroute.heading import read_heading, singular_names
from omniroute.ids import new_ulid, sane_request_id
from omniroute.pipeline import Pipeline, authenticator_of, key_required
from omniroute.routing import Router
from omniroute.server.attendant import vouch

__all__ = ["POST", "Endpoint", "ModelsList", "build_handlers", "form_of", "refuse", "request_id_of"]

POST = "post"
"""In a handler's `opt`: the endpoint of its plain path for that method, or None."""

Endpoint: TypeAlias = Callable[[Scope, Receive, Send, Mapping[str, str]], Awaitable[None]]


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """A path below a root: the root itself when `pattern` is None."""

    root: str
    method: str
    pattern: re.Pattern[str] | None
    endpoint: Endpoint
    translator: Translator | None
    """Whose errors are given here; None: the request's headers decide."""


# --- endpoints --------------------------------------------------------------------------------------------------------


def model_endpoint(
    translator: Translator, operation: str, fixed: Mapping[str, str], pipeline: Pipeline, singular: frozenset[bytes]
) -> Endpoint:
    """POST of one dialect and operation."""
    constant = {"operation": operation, **fixed}

    def endpoint(scope: Scope, receive: Receive, send: Send, found: Mapping[str, str]) -> Awaitable[None]:
        heading = read_heading(scope, singular)
        exchange = Exchange(
            translator=translator,
            operation=operation,  # type: ignore[arg-type]  # checked when the registry was built
            params={**heading.query, **found, **constant} if found or heading.query else constant,
            headers=heading.headers,
            request_id=request_id_of(heading.headers),
            client=send,
            fault=heading.fault,
        )
        return pipeline.run(exchange, scope, receive)

    return endpoint


class ModelsList:
    """`GET /v1/models` and `GET /v1/models/{id}`: what this key can call now, in the client's form."""

    def __init__(
        self, translators: Sequence[Translator], router: Router, authenticators: Sequence[Authenticator]
    ) -> None:
        self._translators = translators
        self._router = router
        self._authenticate = authenticator_of(authenticators)
        self._singular = singular_names(translators)

    def endpoint(self, translator: Translator | None = None) -> Endpoint:
        """In the form of `translator`; None lets the request's headers decide."""

        async def endpoint(scope: Scope, receive: Receive, send: Send, found: Mapping[str, str]) -> None:
            heading = read_heading(scope, self._singular)
            form = translator or form_of(self._translators, heading.headers)
            exchange = Exchange(
                translator=form,
                operation="models",
                params={**heading.query, **found},
                headers=heading.headers,
                request_id=request_id_of(heading.headers),
                client=send,
            )
            try:
                if heading.fault is not None:
                    raise heading.fault
                peer = (scope.get("client") or ("",))[0]
                if await self._authenticate(heading.headers, exchange.params, peer) is None:
                    raise key_required()
                vouch(scope)
                await exchange.answer(200, self._body(form, found.get("model")))
            except GatewayError as error:
                await exchange.refuse(error)

        return endpoint

    def _body(self, form: Translator, model: str | None) -> bytes:
        if model is None:
            return form.encode_models(self._router.listed())
        listed = next((entry for entry in self._router.listed() if entry.id == model), None)
        if listed is None:
            self._router.resolve(model)  # raises with the closest names; a model beyond the list may still be callable
            raise ModelNotFound(f"{model!a} can be asked for, but nothing is known of it", param="model")
        return form.encode_model(listed)


def form_of(translators: Sequence[Translator], headers: Headers) -> Translator:
    """The dialect whose mark the request bears, else the one that is everybody's fallback."""
    for translator in translators:
        if translator.models_header is not None and translator.models_header in headers:
            return translator
    return next((translator for translator in translators if translator.is_default_form), translators[0])


def request_id_of(headers: Headers) -> str:
    """The client's own `X-Request-Id` if it is sane, else a new one."""
    own = headers.get("x-request-id")
    return own if own is not None and sane_request_id(own) else new_ulid()


# --- handlers ---------------------------------------------------------------------------------------------------------


def build_handlers(translators: Sequence[Translator], pipeline: Pipeline, models: ModelsList) -> list[ASGIRouteHandler]:
    """One handler per root path."""
    paths = [*_declared(translators, pipeline, models), *_listings(models)]
    roots: dict[str, list[Path]] = {}
    for path in paths:
        roots.setdefault(path.root, []).append(path)
    return [_handler(root, found, translators) for root, found in roots.items()]


def _declared(translators: Sequence[Translator], pipeline: Pipeline, models: ModelsList) -> Iterable[Path]:
    singular = singular_names(translators)
    for translator in translators:
        for ingress in translator.ingress:
            if ingress.operation == "models":
                endpoint = models.endpoint(translator)
            else:
                endpoint = model_endpoint(translator, ingress.operation, ingress.params, pipeline, singular)
            root, pattern = _cut(ingress.path)
            yield Path(root=root, method=ingress.method, pattern=pattern, endpoint=endpoint, translator=translator)


def _listings(models: ModelsList) -> Iterable[Path]:
    for root in ("/v1/models", "/models"):
        for path in (root, root + "/{model}"):
            _, pattern = _cut(path)
            yield Path(root=root, method="GET", pattern=pattern, endpoint=models.endpoint(), translator=None)


def _cut(path: str) -> tuple[str, re.Pattern[str] | None]:
    """`/v1/models/{model}:verb` to its fixed root and a pattern for the rest."""
    root, brace, rest = path.partition("/{")
    if not brace:
        return path, None
    names = re.split(r"\{(\w+)\}", "/{" + rest)
    pattern = "".join(f"(?P<{piece}>.+)" if odd % 2 else re.escape(piece) for odd, piece in enumerate(names))
    return root, re.compile(pattern)


def _handler(root: str, paths: Sequence[Path], translators: Sequence[Translator]) -> ASGIRouteHandler:
    owners = {path.translator for path in paths}
    speakers = [owner] if len(owners) == 1 and (owner := next(iter(owners))) is not None else translators
    at_root = {path.method: path.endpoint for path in paths if path.pattern is None}
    below = [(path.pattern, path) for path in paths if path.pattern is not None]
    is_mount = bool(below)

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        rest = scope["path"].rstrip("/") if is_mount else ""
        matches = [(path, found) for pattern, path in below if (found := pattern.fullmatch(rest))] if rest else []
        for path, found in matches:
            if path.method == scope["method"]:
                await path.endpoint(scope, receive, send, found.groupdict())
                return
        allowed = {path.method for path, _ in matches} if rest else at_root.keys()
        endpoint = None if rest else at_root.get(scope["method"])
        if endpoint is not None:
            await endpoint(scope, receive, send, {})
        elif allowed:
            fix = f"use {' or '.join(sorted(allowed))}"
            await refuse(speakers, scope, send, MethodNotAllowed(f"{scope['method']} is not allowed here", fix=fix))
        else:
            await refuse(speakers, scope, send, RouteNotFound("there is no such path here"))

    opt = {"access": "client", POST: at_root.get("POST")}
    return asgi(root, is_mount=is_mount, opt=opt, copy_scope=False)(handler)


async def refuse(translators: Sequence[Translator], scope: Scope, send: Send, error: GatewayError) -> None:
    """An error to a request that has no dialect of its own yet."""
    headers = Headers(dict(scope["headers"]))
    exchange = Exchange(
        translator=form_of(translators, headers),
        operation="models",
        params={},
        headers=headers,
        request_id=request_id_of(headers),
        client=send,
    )
    await exchange.refuse(error)
