"""Who reaches the daemon, and whom it reaches."""

from __future__ import annotations

from typing import Any

from tests.chart.rendering import MINIMAL, of, render, the

ON = {**MINIMAL, "networkPolicy": {"enabled": True}}


def policy(**given: Any) -> dict[str, Any]:
    found = the(render({**MINIMAL, "networkPolicy": {"enabled": True, **given}}), "NetworkPolicy")["spec"]
    assert isinstance(found, dict)
    return found


def namespaces(peers: list[dict[str, Any]]) -> set[tuple[str, str]]:
    found = set()
    for peer in peers:
        namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        found.add((namespace, peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]))
    return found


def test_nobody_is_cut_off_by_a_selector_that_was_never_looked_at() -> None:
    assert not of(render(MINIMAL), "NetworkPolicy")


def test_only_alertmanager_flagger_and_prometheus_come_in_and_only_to_the_port() -> None:
    spec = policy()
    (rule,) = spec["ingress"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert namespaces(rule["from"]) == {
        ("monitoring", "alertmanager"), ("flagger-system", "flagger"), ("monitoring", "prometheus"),
    }  # fmt: skip
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]


def test_it_is_about_the_daemons_pods() -> None:
    labels = the(render(ON), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy()["podSelector"]["matchLabels"].items() <= labels.items()


def test_with_nobody_named_nobody_comes_in() -> None:
    assert policy(ingress={"alertmanager": [], "flagger": [], "prometheus": []})["ingress"] == []


def test_it_goes_out_to_names_the_api_server_its_sources_and_its_channels() -> None:
    ports = [
        {(port["protocol"], port["port"]) for port in rule["ports"]}
        for rule in policy()["egress"]
    ]  # fmt: skip
    assert ports == [
        {("UDP", 53), ("TCP", 53)},
        {("TCP", 443), ("TCP", 6443)},
        {("TCP", 9090)},
        {("TCP", 9093)},
        {("TCP", 443)},
    ]
    assert all(rule["to"] for rule in policy()["egress"]), "a rule without a destination opens every one"


def test_a_destination_without_peers_is_closed() -> None:
    none: dict[str, Any] = {"to": []}
    closed = policy(egress={"prometheus": none, "alertmanager": none, "notices": none})
    assert [{port["port"] for port in rule["ports"]} for rule in closed["egress"]] == [{53}, {443, 6443}]
    api = {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [6443]}
    more = {"to": [{"podSelector": {}}], "ports": [{"port": 8080}]}
    own = policy(egress={"apiServer": api, "others": [more]})["egress"]
    assert own[1] == {"to": api["to"], "ports": [{"port": 6443, "protocol": "TCP"}]}
    assert own[-1] == more
