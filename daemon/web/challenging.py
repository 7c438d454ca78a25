"""A request without valid credentials: 401, and by what one may come in (RFC 9110, 11.6.1)."""

from aiohttp import web


def unauthorized(problem: str) -> web.Response:
    response = web.json_response({"error": problem}, status=401)
    # Two lines, not one list: of a list, browsers see the first entry alone, and ask nobody for a password.
    for scheme in ("Basic", "Bearer"):
        response.headers.add("WWW-Authenticate", f'{scheme} realm="pullback"')
    return response
