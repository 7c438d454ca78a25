"""How Rollouts enter the world: each is a canary, and mostly what runs its pods too."""

from collections.abc import Mapping
from typing import Any

from daemon.adapters import argo_rollouts
from daemon.model.canary import Canary, CanaryRef, Controller
from daemon.workflow.world import World

Key = tuple[str, str]


class Rollouts:
    """Told of Rollouts and DestinationRules, in any order."""

    def __init__(self, world: World, cluster_domain: str) -> None:
        self._world = world
        self._cluster_domain = cluster_domain
        self._by_rule: dict[Key, dict[Key, Mapping[str, Any]]] = {}
        """Rollouts that are split by the subsets of a rule, as they were last seen."""
        self._rule_of: dict[Key, Key] = {}
        self._canaries: dict[Key, Canary] = {}

    def put(self, document: Mapping[str, Any]) -> None:
        canary = argo_rollouts.read_rollout(document, self._world.claims.rule, self._cluster_domain)
        key = _key(document)
        self._unlink(key)
        if canary is None:
            self.drop(*key)
            return
        rule = argo_rollouts.rule_named(document)
        if rule is not None:
            self._by_rule.setdefault(rule, {})[key] = document
            self._rule_of[key] = rule
        workload = argo_rollouts.read_workload(document)
        if workload is not None:
            self._world.put_workload(workload)
        self._canaries[key] = canary
        self._put(canary)

    def drop(self, namespace: str, name: str) -> None:
        self._unlink((namespace, name))
        self._canaries.pop((namespace, name), None)
        held = self._world.canary(CanaryRef(namespace, name))
        if held is not None and held.object_kind.kind == argo_rollouts.KIND:
            self._world.drop_canary(held.ref)
            if held.workload == name:
                self._world.drop_workload(namespace, name)

    def canary_gone(self, namespace: str, name: str) -> None:
        """Flagger's of that name is gone."""
        canary = self._canaries.get((namespace, name))
        if canary is not None:
            self._put(canary)

    def _put(self, canary: Canary) -> None:
        # Of one name, on the way from one controller to the other: Flagger's for as long as it is there.
        held = self._world.canary(canary.ref)
        if held is None or held.controller is not Controller.FLAGGER:
            self._world.put_canary(canary)

    def rule_changed(self, namespace: str, name: str) -> None:
        """A DestinationRule has come, changed or gone."""
        for document in tuple(self._by_rule.get((namespace, name), {}).values()):
            self.put(document)

    def _unlink(self, key: Key) -> None:
        rule = self._rule_of.pop(key, None)
        if rule is None:
            return
        del self._by_rule[rule][key]
        if not self._by_rule[rule]:
            del self._by_rule[rule]


def _key(document: Mapping[str, Any]) -> Key:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
