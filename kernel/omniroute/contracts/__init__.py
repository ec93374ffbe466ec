"""The contracts between the kernel and plugins: protocols, and the fact Structs they speak in.

A plugin part is a value or an object with sync, pure methods; the kernel does the I/O. Colours are in each protocol's
docstring. Methods with a body are defaults: subclass the protocol to inherit them, or write the whole surface yourself.
Times are seconds (`_s`), sizes bytes (`_bytes`), prices US dollars per million tokens.
"""

from omniroute.contracts.auth import (
    Authenticator,
    AuthScheme,
    AuthStep,
    AwaitRedirect,
    ClientKey,
    ClientKeys,
    Principal,
    ShowUser,
    Sleep,
)
from omniroute.contracts.framing import (
    Frame,
    Framing,
    Splitter,
    Writer,
)
from omniroute.contracts.http import (
    Headers,
    HttpRequest,
    HttpResponse,
    Transport,
    UpstreamStream,
)
from omniroute.contracts.models import (
    ListedModel,
    ModelFacts,
    Price,
)
from omniroute.contracts.provider import (
    Account,
    Call,
    Credential,
    ModelListing,
    Probe,
    Provider,
    ProviderFacts,
    Tier,
    TimeoutFacts,
)
from omniroute.contracts.state import (
    Change,
    Fast,
    Lease,
    Record,
    Row,
    Store,
)
from omniroute.contracts.strategy import (
    EntryName,
    Outcome,
    RouteContext,
    Standing,
    Strategy,
    Target,
)
from omniroute.contracts.telemetry import (
    AttemptRecord,
    RequestRecord,
    TelemetrySink,
)
from omniroute.contracts.tokens import (
    TokenCounter,
    TokenOverhead,
)
from omniroute.contracts.translator import (
    CredentialPlace,
    Decoder,
    Encoder,
    ErrorBody,
    Ingress,
    LossPolicy,
    Operation,
    Outgoing,
    RequestHead,
    Tap,
    Translator,
    UpstreamOperation,
)

__all__ = [
    "Account",
    "AttemptRecord",
    "AuthScheme",
    "AuthStep",
    "Authenticator",
    "AwaitRedirect",
    "Call",
    "Change",
    "ClientKey",
    "ClientKeys",
    "Credential",
    "CredentialPlace",
    "Decoder",
    "Encoder",
    "EntryName",
    "ErrorBody",
    "Fast",
    "Frame",
    "Framing",
    "Headers",
    "HttpRequest",
    "HttpResponse",
    "Ingress",
    "Lease",
    "ListedModel",
    "LossPolicy",
    "ModelFacts",
    "ModelListing",
    "Operation",
    "Outcome",
    "Outgoing",
    "Price",
    "Principal",
    "Probe",
    "Provider",
    "ProviderFacts",
    "Record",
    "RequestHead",
    "RequestRecord",
    "RouteContext",
    "Row",
    "ShowUser",
    "Sleep",
    "Splitter",
    "Standing",
    "Store",
    "Strategy",
    "Tap",
    "Target",
    "TelemetrySink",
    "Tier",
    "TimeoutFacts",
    "TokenCounter",
    "TokenOverhead",
    "Translator",
    "Transport",
    "UpstreamOperation",
    "UpstreamStream",
    "Writer",
]
