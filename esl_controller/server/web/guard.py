"""Who may ask over TCP what tells of callers, or ends the controller.

A page in anybody's browser on this machine or in its network can send us requests, and with a name
that it has made point to us it can read the answers (DNS rebinding). So the name that is asked for
must be ours, and the request must not come from another site's page. Where other machines reach us,
all that tells of callers needs a token.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from esl_controller.config.settings import WebSettings

OPEN: Final = frozenset({"/healthz", "/readyz"})  # they tell of no caller; probes use any name
OWN_SITE: Final = frozenset({"same-origin", "none"})  # none: typed in, or a bookmark
TOKEN_ONLY: Final = frozenset({"/drain"})
CLOSED: Final = (
    "over TCP only with [web] token (ESL_CONTROLLER_WEB_TOKEN);"
    " esl-controller calls and drain need none on the controller's machine"
)


def guard(settings: WebSettings) -> Middleware:
    """Refuses requests by name, by origin, and by token."""
    token = settings.token.get_secret_value()
    exposed = not _is_loopback(settings.host)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN:
            return await handler(request)
        if not _is_ours(request.host, settings.allowed_hosts):
            return _refused(421, "not asked for by a name of ours: see [web] allowed_hosts")
        if not _from_own_page(request):
            return _refused(403, "another site's page may not ask")
        if not token and (exposed or request.path in TOKEN_ONLY):
            return _refused(403, CLOSED)
        if token and not _shows(request, token):
            return _refused(401, "[web] token is missing or wrong (Authorization: Bearer TOKEN)")
        return await handler(request)

    return guarded


def _refused(status: int, why: str) -> web.Response:
    return web.Response(status=status, text=f"{why}\n")


def _is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches who listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_ours(host: str, names: tuple[str, ...]) -> bool:
    """Whether a ``Host`` header has an address, or a name that cannot be made to point to us."""
    try:
        name = urlsplit(f"//{host}").hostname or ""  # in lower case
    except ValueError:
        return False
    try:
        ip_address(name)
    except ValueError:
        return name == "localhost" or name in names
    return True


def _from_own_page(request: web.Request) -> bool:
    """Whether a browser, if it is one, asks for a page of ours or for its user."""
    if request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITE:
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host


def _shows(request: web.Request, token: str) -> bool:
    shown = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    return hmac.compare_digest(shown, f"Bearer {token}".encode())
