#!/usr/bin/env python3
"""Runs the benchmarks and writes benches/results/: a table for each, and three charts.

    benches/results.py                     all of them; about 15 minutes on a quiet machine, once built
    benches/results.py warm_path peers     these
    benches/results.py --draw              only the charts, from the existing tables
"""

import collections
import csv
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benches/results"
BENCHES = ["warm_path", "parts", "scaling", "growth", "memory", "herd", "rotation", "end_to_end", "keyed", "peers", "reqwest", "build"]
# The memory layout of a process changes a figure by several percent: the median over this many processes.
PROCESSES = {"warm_path": 5}
OURS = "this crate"


def command(name):
    if name in ("peers", "reqwest"):
        return ["cargo", "run", "--locked", "--release", "--manifest-path", f"benches/{name}/Cargo.toml"]
    return ["cargo", "bench", "--locked", "--bench", name]


def read(path):
    with open(path, newline="") as file:
        return {(row["table"], row["row"], row["column"]): float(row["value"]) for row in csv.DictReader(file)}


def build():
    """Seconds of a cold release build with default features: of each crate, and of all together."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["cargo", "build", "--locked", "--release", "--timings", "--target-dir", folder]
        begin = time.monotonic()
        subprocess.run(arguments, cwd=ROOT, check=True)
        took = time.monotonic() - begin
        page = (Path(folder) / "cargo-timings/cargo-timing.html").read_text()
    units = json.loads(re.search(r"UNIT_DATA = (\[.*?\n?\]);", page, re.DOTALL)[1])
    crates = collections.Counter()
    for unit in units:
        crates[unit["name"]] += unit["duration"]
    table = [["build", "all", "crates", len(crates)], ["build", "all", "seconds", f"{took:.1f}"]]
    table += [["crates", name, "seconds", f"{seconds:.1f}"] for name, seconds in crates.most_common()]
    write("build", table)


def write(name, table):
    with open(RESULTS / f"{name}.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["table", "row", "column", "value"], *table])


def run(name):
    if name == "build":
        return build()
    runs = []
    for _ in range(PROCESSES.get(name, 1)):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(command(name), cwd=ROOT, env={**os.environ, "BENCH_RESULTS": folder}, check=True)
            runs.append(read(Path(folder) / f"{name}.csv"))
    write(name, [[*key, f"{statistics.median(run[key] for run in runs):.4f}"] for key in runs[0]])


def rows(name, table, column):
    """Returns the rows of a table with the value of one column."""
    return [(row, value) for (t, row, c), value in read(RESULTS / f"{name}.csv").items() if (t, c) == (table, column)]


def bars(file, title, unit, groups, scale=lambda value: value):
    """Draws horizontal bars. A group has a name, and a label and a value for each of its bars."""
    longest = max(scale(value) for _, values in groups for _, value in values)
    lines, y = [], 64
    for name, values in groups:
        ours = OURS in name
        style = ' font-weight="bold"' if ours else ""
        lines.append(f'<text x="290" y="{y + 8 * len(values) + 4}" text-anchor="end"{style}>{escape(name)}</text>')
        for number, (label, value) in enumerate(values):
            width = max(360 * scale(value) / longest, 1)
            color = ("#1f6feb", "#79b0ff", "#b6d4ff")[number % 3] if ours else ("#8b949e", "#b1b8c0", "#d0d5da")[number % 3]
            top = y + 16 * number
            lines.append(f'<rect x="300" y="{top}" width="{width:.1f}" height="13" fill="{color}"/>')
            text = escape(f"{value:,.0f}" if value >= 1000 else f"{value:.3g}") + " " + escape(label)
            lines.append(f'<text x="{306 + width:.1f}" y="{top + 11}">{text}</text>')
        y += 16 * len(values) + 10
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{y + 10}" viewBox="0 0 860 {y + 10}" '
        f'font-family="sans-serif" font-size="13" role="img"><title>{escape(title)}</title>'
        f'<rect width="860" height="{y + 10}" fill="#ffffff"/>'
        f'<text x="20" y="26" font-size="16" font-weight="bold">{escape(title)}</text>'
        f'<text x="20" y="46" fill="#57606a">{escape(unit)}</text>'
    )
    (RESULTS / file).write_text(head + "\n" + "\n".join(lines) + "\n</svg>\n")


def draw():
    warm = sorted(rows("peers", "warm", "ratio"), key=lambda row: row[1])
    allocations = dict(rows("peers", "warm", "allocations"))
    groups = [(name, [(f"· {allocations[name]:.0f} allocations", ratio)]) for name, ratio in warm]
    bars("cost.svg", "One request that finds a token", "time, relative to a layer that inserts one static header; less is better", groups)

    herd = sorted(((name, ms) for name, ms in rows("peers", "herd", "ms")), key=lambda row: row[1])
    requests = dict(rows("peers", "herd", "token requests"))
    groups = [(name, [(f"ms · token requests: {requests[name]:.0f}", ms)]) for name, ms in herd]
    bars("herd.svg", "10,000 callers without a token", "time until the last one has it; the token endpoint takes 50 ms", groups)

    p99, longest, failed = (dict(rows("peers", "expiry", column)) for column in ("p99 ms", "max ms", "failed"))
    groups = [
        (name + (f"; {failed[name]:.0f} failed" if failed[name] else ""), [("ms p99", p99[name]), ("ms longest", longest[name])])
        for name in sorted(p99, key=lambda name: (failed[name], longest[name]))
    ]
    unit = "5,000 requests, 1,000 a second; the token endpoint takes 50 ms; a row names its tokens' lifetime; logarithmic scale"
    bars("expiry.svg", "Latency while tokens expire", unit, groups, lambda value: math.log10(value / 0.01))


def main():
    wanted = sys.argv[1:]
    RESULTS.mkdir(exist_ok=True)
    for name in wanted or BENCHES:
        if name in BENCHES:
            run(name)
        elif name != "--draw":
            sys.exit(f"no benchmark {name}; use one of {', '.join(BENCHES)}")
    if not wanted or {"peers", "--draw"} & set(wanted):
        draw()


if __name__ == "__main__":
    main()
