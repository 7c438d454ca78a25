"""Pullback: pulls a canary's traffic back to 0% when something says it is hurting users.

The map, floor by floor (imports only go down; ``.importlinter`` holds it as a test)::

    cli, sandbox, bootstrap     commands; the embedded world of the demo; the one file that knows every room
    doctor                      whether what is configured around us lets us keep the promise
    doctor, drill               whether a rollback could happen in time; one that does, for nobody's traffic
    web                         how the world reaches us: bytes become signals, or a 400
    workflow                    how we carry it out: one mailbox per canary, pass after pass
    adapters                    how we reach the world: Kubernetes, routes, Prometheus, clock
    telemetry                   how we tell what happened: metrics and logs, as listeners
    settings, lifecycle         what can be configured; starting in order, stopping in reverse
    ports                       what the workflow needs, as promises
    policy                      what we decide: pure, ``now`` comes in with the evidence
    model                       what we talk about: values

One straight path::

    bytes -> Signal -> CanaryRef -> Evidence -> Decision -> Plan -> Outcome

Nothing is ever resumed. A crash, a conflict or a restart is just another pass: look at the world, decide
again, plan what is still missing.
"""
