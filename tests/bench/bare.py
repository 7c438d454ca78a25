"""The yardstick of intake: an aiohttp server that decodes the JSON and says how many alerts there were."""

from __future__ import annotations

import json
import sys

from aiohttp import web


async def alerts(request: web.Request) -> web.Response:
    group = json.loads(await request.read())
    body = json.dumps({"alerts": len(group["alerts"])}).encode()
    return web.Response(body=body, content_type="application/json")


async def ready(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def main() -> None:
    app = web.Application()
    app.add_routes([web.post("/webhooks/alertmanager", alerts), web.get("/readyz", ready)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
