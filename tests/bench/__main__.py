"""Runs every bench, prints one table, writes bench-results/bench.json: `python -m tests.bench [NAME …]`.

A ratio over its target is said, not failed: noise must not break a build. A wrong answer does.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench import bench_dead_channels, bench_gates, bench_intake, bench_rollback, bench_scale
from tests.bench.figures import Figure, table

BENCHES: dict[str, Callable[[Path], Awaitable[list[Figure]]]] = {
    "rollback": bench_rollback.measure,
    "dead-channels": bench_dead_channels.measure,
    "intake": bench_intake.measure,
    "gates": bench_gates.measure,
    "scale": bench_scale.measure,
}
RESULTS = Path("bench-results/bench.json")
LONGEST = 180.0
"""Seconds that one bench may take; five of them together take about three minutes."""


async def measure(names: Sequence[str], folder: Path) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        async with asyncio.timeout(LONGEST):
            figures += await BENCHES[name](folder / name)
    return figures


def document(figures: Sequence[Figure]) -> dict[str, object]:
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "figures": [asdict(one) | {"ratio": one.ratio, "verdict": one.verdict} for one in figures],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("bench", nargs="*", choices=[[], *BENCHES], help="default: all of them")
    names = parser.parse_args().bench or list(BENCHES)
    with tempfile.TemporaryDirectory(prefix="pullback-bench-") as folder:
        figures = asyncio.run(measure(names, Path(folder)))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document(figures), indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    over = [one.name for one in figures if one.verdict == "over target"]
    print(f"\nover target: {', '.join(over)}" if over else "\nevery promised ratio is kept")
    print(f"written to {RESULTS}; what each number means: tests/bench/README.md")


if __name__ == "__main__":
    main()
