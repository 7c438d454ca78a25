"""Draws the dashboard from a run's own data: `python -m tests.e2e.draw_dashboard docs/dashboard.png`.

Not Grafana's picture, but its panels, in its places, with what Prometheus answered during one rollback. Needs
matplotlib, which nothing else here needs.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from daemon.sandbox.packages import default_cache, find_alerting
from daemon.sandbox.shop import NAME, NAMESPACE
from daemon.sandbox.stack import running
from tests.e2e.dashboard import Grafana, opened, panels
from tests.neighbours import CHECKOUT

Json = dict[str, Any]

LEGEND = re.compile(r"\{\{(\w+)\}\}")
BACKGROUND, CARD, INK, PALE = "#111217", "#181b1f", "#ccccdc", "#6e7280"
COLOURS = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a"]
UNITS = {"percent": " %", "ms": " ms", "s": " s", "reqps": " req/s"}
AFTER = 6
"""Seconds of the end that are shown."""


def legend(target: Json, series: Json) -> str:
    labels = series["metric"]
    text = LEGEND.sub(lambda found: labels.get(found[1], ""), target["legendFormat"])
    return text or ", ".join(labels.values()) or "value"


def finite(series: Json) -> list[tuple[float, float]]:
    return [(at, float(value)) for at, value in series["values"] if math.isfinite(float(value))]


async def collect(folder: Path) -> tuple[list[tuple[Json, list[tuple[str, Json]]]], float, float]:
    """Each panel with its named series, and when the canary began to fail and when its routes said 0."""
    binaries = await find_alerting(default_cache(os.environ, CHECKOUT, Path.home()))
    async with running(folder, binaries, print) as stack, opened(stack) as grafana:
        await asyncio.sleep(20)
        await stack.break_canary(0.2)
        await stack.until(lambda: stack.status().get("phase") == "Completed", "the record to be Completed")
        await asyncio.sleep(AFTER)
        onset = stack.load.tally.first_bad_at("v2") or grafana.began
        zeroed = stack.mesh.left_at("podinfo-canary")
        assert zeroed is not None
        found = [(panel, await named(grafana, panel)) for panel in panels()]
        return found, onset, zeroed.confirmed_at


async def named(grafana: Grafana, panel: Json) -> list[tuple[str, Json]]:
    return [(legend(t, one), one) for t in panel["targets"] for one in await grafana.answers(t["expr"])]


def draw(found: list[tuple[Json, list[tuple[str, Json]]]], onset: float, zeroed: float, path: Path) -> None:
    importlib.import_module("matplotlib").use("Agg")
    plt = importlib.import_module("matplotlib.pyplot")
    plt.rcParams.update({"font.size": 7, "text.color": INK, "axes.edgecolor": PALE, "xtick.color": PALE,
                         "ytick.color": PALE, "axes.labelcolor": PALE})  # fmt: skip
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel, _ in found)
    figure = plt.figure(figsize=(16, rows * 0.34), facecolor=BACKGROUND)
    for panel, series in found:
        at = panel["gridPos"]
        box = figure.add_axes((at["x"] / 24 + 0.028, 1 - (at["y"] + at["h"]) / rows + 0.017,
                               at["w"] / 24 - 0.036, at["h"] / rows - 0.038), facecolor=CARD)  # fmt: skip
        box.set_title(panel["title"], loc="left", color=INK, fontsize=8, pad=4)
        for side in ("top", "right"):
            box.spines[side].set_visible(False)
        shape = {"timeseries": lines, "state-timeline": lines, "table": table, "heatmap": bars, "bargauge": bars}
        shape.get(panel["type"], bars)(box, panel, series)
        if shape.get(panel["type"]) is lines:
            box.axvline(0, color="#f2cc0c", linewidth=0.8, linestyle=":")
            box.axvline(zeroed - onset, color="#f2495c", linewidth=0.8, linestyle=":")
    figure.text(
        0.028, 1 - 0.55 / rows, f"Pullback: canary {NAME} in {NAMESPACE}", fontsize=11, color=INK, weight="bold"
    )
    figure.text(0.33, 1 - 0.55 / rows, "seconds from the first bad answer (yellow); the canary's routes at 0% (red), "
                f"{zeroed - onset:.1f} s later", fontsize=8, color=PALE)  # fmt: skip
    figure.savefig(path, dpi=90, facecolor=BACKGROUND)


ONSET = 0.0


def lines(box: Any, panel: Json, series: list[tuple[str, Json]]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    step = "steps-post" if panel["title"] in {"Weight on the routes", "Phase"} else "default"
    for number, (name, one) in enumerate(series):
        points = finite(one)
        if points:
            box.plot([at - ONSET for at, _ in points], [value for _, value in points], linewidth=1.3,
                     color=COLOURS[number % len(COLOURS)], label=name, drawstyle=step)  # fmt: skip
    box.grid(color="#24272d", linewidth=0.5)
    box.set_ylabel(UNITS.get(unit, "").strip())
    box.set_ylim(bottom=0)
    box.legend(fontsize=5.5, frameon=False, labelcolor=INK, loc="upper left", ncols=2)


def bars(box: Any, panel: Json, series: list[tuple[str, Json]]) -> None:
    """What stands at the end, or, for a heatmap, how many ended in each bucket."""
    unit = UNITS.get(panel["fieldConfig"]["defaults"]["unit"], "")
    shown = [(name, points) for name, one in series if (points := finite(one))]
    if panel["type"] == "heatmap":
        shown.sort(key=lambda one: float(one[0]))
        most = [max(value for _, value in points) for _, points in shown]
        figures = [one - below for one, below in zip(most, [0.0, *most], strict=False)]
    elif panel["type"] == "gauge":
        figures = [max(value for _, value in points) for _, points in shown]
    else:
        figures = [points[-1][1] for _, points in shown]
    ends = [points[-1][1] for _, points in shown]
    box.barh(range(len(figures)), figures, color=COLOURS[: len(figures)], height=0.55)
    box.set_yticks([])
    box.invert_yaxis()
    for place, (figure, end) in enumerate(zip(figures, ends, strict=True)):
        text = f" {shown[place][0]}   {figure:.3g}{unit}"
        if panel["type"] == "gauge":
            text += f" at most, {end:.3g}{unit} now"
        box.text(figure, place, text, va="center", fontsize=6.5)
    box.set_xlim(0, max([*figures, 0.001]) * 2.2)
    box.set_xticks([])


def table(box: Any, panel: Json, series: list[tuple[str, Json]]) -> None:
    box.set_axis_off()
    cells: dict[tuple[str, ...], list[str]] = {}
    latest = max((points[-1][0] for _, one in series if (points := finite(one))), default=0.0)
    for _, one in series:
        labels, (last, value) = dict(one["metric"]), finite(one)[-1]
        if panel["title"] == "Canary health":
            if last < latest:
                continue  # a pod that is gone
            row = cells.setdefault((labels.pop("pod"),), [])
            row += [*labels.values()] or [f"{value:.0f}"]
        elif round(value) > 0:
            cells.setdefault(tuple(labels.values()), []).append(f"{value:.0f}")
    for number, (key, row) in enumerate(list(cells.items())[:9]):
        place = 0.93 - number * 0.105
        box.text(0.01, place, "  ".join(key), fontsize=6.5, va="top", transform=box.transAxes)
        box.text(0.99, place, "   ".join(row), fontsize=6.5, va="top", ha="right", transform=box.transAxes)


def main() -> None:
    global ONSET
    with tempfile.TemporaryDirectory() as folder:
        found, ONSET, zeroed = asyncio.run(collect(Path(folder)))
    draw(found, ONSET, zeroed, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
