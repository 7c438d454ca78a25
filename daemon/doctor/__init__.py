"""``pullback doctor``: whether what is configured around Pullback lets it keep its promise.

Pure examinations, document in and findings out, over files or over what a live cluster and its neighbours say::

    documents, scripts          files and fences, with the line of every value
    promql*                     just enough PromQL: labels left, windows, thresholds
    alerts, rules, thresholds   alert rules
    canaries, hooks, analysis   Flagger's Canary
    routes, sides               VirtualService, HTTPRoute, GRPCRoute
    scene, driven, undriven     canaries as the daemon puts them together, with a controller and without
    routing, alertmanager       Alertmanager's route
    prometheus, budget          where the seconds go
    live/                       permissions, versions, watches, neighbours: the parts that ask
    command, report             the command line, and what people read
"""
