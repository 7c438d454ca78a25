"""``pullback drill``: the whole chain, from Alertmanager to proved zero, on a canary that nobody uses."""
