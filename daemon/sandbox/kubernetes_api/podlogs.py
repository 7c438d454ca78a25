"""The log subresource of pods. There is no kubelet here: a test says what its containers have written."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from daemon.sandbox.kubernetes_api.ownership import timestamp
from daemon.sandbox.kubernetes_api.statuses import JsonObject, bad_request, cause, invalid
from daemon.sandbox.kubernetes_api.targets import TRUE, Target

LogKey = tuple[str, str, str]  # namespace, pod, container
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


class PodLogs:
    """What containers have written: by (namespace, pod, container), now and before their last restart."""

    def __init__(self) -> None:
        self.current: dict[LogKey, str | bytes] = {}
        self.previous: dict[LogKey, str | bytes] = {}

    def answer(self, target: Target, pod: JsonObject, query: Mapping[str, str]) -> web.Response:
        """Raises ApiError as the API server does for what it checks itself, and as a kubelet does for the rest."""
        lines, most = _numbers(target.name, query)
        container = _container(target.name, pod, query.get("container", ""))
        key = (target.namespace, target.name, container)
        if query.get("previous") in TRUE:
            written = self.previous.get(key)
            if written is None:
                raise bad_request(f'previous terminated container "{container}" in pod "{target.name}" not found')
        else:
            written = self.current.get(key)
            if written is None and not pod.get("spec", {}).get("nodeName"):
                # Nobody to ask yet: the real server has no stream to give, and says so.
                return web.Response(status=204)
            if written is None:
                _check_started(target.name, pod, container)
        raw = written.encode() if isinstance(written, str) else written or b""
        kept = raw.splitlines(keepends=True)
        kept = kept[-lines:] if lines else [] if lines == 0 else kept
        if query.get("timestamps") in TRUE:
            kept = [timestamp().encode() + b" " + line for line in kept]
        # The bytes are counted from where the lines begin, as a kubelet does: the newest are lost first.
        return web.Response(body=b"".join(kept)[:most], content_type="text/plain")


def _numbers(name: str, query: Mapping[str, str]) -> tuple[int | None, int | None]:
    found: dict[str, int | None] = {}
    for field, least, rule in (("tailLines", 0, "greater than or equal to 0"), ("limitBytes", 1, "greater than 0")):
        text = query.get(field)
        try:
            value = found[field] = None if text is None else int(text)
        except ValueError as error:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
        if value is not None and value < least:
            causes = [cause(field, "FieldValueInvalid", f"Invalid value: {value}: must be {rule}")]
            raise invalid("", "PodLogOptions", name, causes)
    return found["tailLines"], found["limitBytes"]


def _container(pod: str, value: JsonObject, asked: str) -> str:
    spec = value.get("spec", {})
    names = {part: [str(c.get("name")) for c in spec.get(part) or ()] for part in CONTAINERS}
    if asked:
        if not any(asked in listed for listed in names.values()):
            raise bad_request(f"container {asked} is not valid for pod {pod}")
        return asked
    ours, before = names["containers"], names["initContainers"]
    if len(ours) == 1:
        return ours[0]
    why = f"a container name must be specified for pod {pod}"
    if ours:
        why += f", choose one of: [{' '.join(ours)}]"
    if ours and before:
        why += f" or one of the init containers: [{' '.join(before)}]"
    raise bad_request(why)


def _check_started(pod: str, value: JsonObject, container: str) -> None:
    status = value.get("status", {})
    for part in ("containerStatuses", "initContainerStatuses"):
        for one in status.get(part) or ():
            waiting = (one.get("state") or {}).get("waiting")
            if one.get("name") == container and waiting and not one.get("restartCount"):
                why = f'container "{container}" in pod "{pod}" is waiting to start: {waiting.get("reason", "")}'
                raise bad_request(why)
