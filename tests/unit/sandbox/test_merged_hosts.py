"""Several VirtualServices of one host at a gateway: what takes every request hides no rule of another object."""

from __future__ import annotations

from typing import Any

from daemon.sandbox.translating import reached, translate

Json = dict[str, Any]


def service(name: str, age: str, *rules: Json) -> Json:
    return {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": age},
        "spec": {"hosts": ["api.example.com"], "http": list(rules)},
    }


def to(host: str, header: str = "", **fields: Any) -> Json:
    match: Json = {"match": [{"headers": {header: {"exact": "true"}}}]} if header else {}
    return {**match, "route": [{"destination": {"host": host}}], **fields}


def who(*services: Json) -> list[str]:
    (host,) = translate(services)["virtual_hosts"]
    return [route["route"]["cluster"] for route in host["routes"]]


def test_an_opt_in_of_a_younger_object_comes_before_what_takes_every_request() -> None:
    main = service("main", "1", to("canary", "x-canary"), to("stable"))
    opt_in = service("opt-in", "2", to("canary", "x-canary-opt-in"), to("other"))
    assert who(opt_in, main) == ["canary", "canary", "stable", "other"]


def test_what_stands_behind_it_in_its_own_object_is_not_reached_by_way_of_another() -> None:
    main = service("main", "1", to("stable"), to("never", "x-canary"))
    opt_in = service("opt-in", "2", to("canary", "x-canary-opt-in"), to("other"))
    assert who(main, opt_in) == ["canary", "stable", "never", "other"]


def test_a_path_of_its_own_is_not_every_request() -> None:
    main = service("main", "1", to("stable", match=[{"uri": {"prefix": "/shop"}}]))
    assert who(main, service("second", "2", to("canary", "x-canary"))) == ["stable", "canary"]
    assert reached(translate([main])) == {"stable"}
