"""``make bench``: all measurements, one table with ratios, and JSON. Correctness is asserted; speed is only shown."""

from __future__ import annotations

import asyncio
import json
import platform
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import intake, rollback, scale

OUT = Path("bench-results/bench.json")


async def measure() -> int:
    console = Console()
    began = time.monotonic()
    rows = []
    for part in (rollback, intake, scale):
        console.print(f"measuring {part.__name__.rpartition('.')[2]} …")
        rows += await part.run()
    table = Table("", "ours", "yardstick", "ratio", "target", "")
    for row in rows:
        target = row["target"]
        met = "" if target is None else "met" if row["ratio"] <= target else "over"
        table.add_row(
            row["what"],
            f"{row['ours']:g} {row['unit']}",
            f"{row['yardstick']:g} {row['unit']}",
            f"{row['ratio']:.2f}",
            "" if target is None else f"≤ {target:g}",
            met,
        )
    console.print(table)
    OUT.parent.mkdir(exist_ok=True)
    document = {"python": platform.python_version(), "machine": platform.machine(), "rows": rows}
    OUT.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    console.print(f"{OUT}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(measure()))
