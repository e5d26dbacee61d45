"""What a run found, as a table for people and as docs/comparison.md with its chart."""

import math
import os
import re

NAMES = {
    "kernel": "ButterflyFx, embedded",
    "butterflyfx": "ButterflyFx, HTTP",
    "falkordb": "FalkorDB",
    "redis": "Redis, plain",
    "ladybug": "Ladybug, embedded",
    "grafeo": "Grafeo, embedded",
}
BEGIN = "<!-- written by bench-compare/run --update-docs: begin -->"
END = "<!-- written by bench-compare/run --update-docs: end -->"
COLUMNS = ["system", "version", "B/substrate", "B/relationship", "resident"]
COLUMNS += ["substrates/s", "relationships/s"]
COLUMNS += ["one hop, median", "p99", "PING or GET /livez"]


def derive(found, options):
    """The figures per element."""
    empty, loaded, linked = found["resident"]
    return {
        "version": found["version"],
        "bytes_per_substrate": (loaded - empty) / options.substrates,
        "bytes_per_relationship": (linked - loaded) / options.relationships,
        "resident_bytes": linked,
        "empty_bytes": empty,
        "substrates_per_s": options.substrates / max(found["seconds"][0], 1e-9),
        "relationships_per_s": options.relationships / max(found["seconds"][1], 1e-9),
        "hop_median_us": found["median_ns"] / 1e3,
        "hop_p99_us": found["p99_ns"] / 1e3,
        "ping_median_us": found["ping_ns"] / 1e3 if "ping_ns" in found else None,
    }


def rate(value):
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def micros(value):
    if value is None:
        return ""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} us"


def rows(result):
    for system, one in result["figures"].items():
        yield [
            NAMES[system],
            one["version"],
            whole(one["bytes_per_substrate"]),
            whole(one["bytes_per_relationship"]),
            f"{one['resident_bytes'] / 1e6:,.0f} MB",
            rate(one["substrates_per_s"]),
            rate(one["relationships_per_s"]),
            micros(one["hop_median_us"]),
            micros(one["hop_p99_us"]),
            micros(one["ping_median_us"]),
        ]
    for system, why in result["failed"].items():
        yield [NAMES[system], "not measured: " + why.splitlines()[0][:60]] + [""] * (len(COLUMNS) - 2)


def text(result):
    table = [COLUMNS, *rows(result)]
    widths = [max(len(row[at]) for row in table) for at in range(len(COLUMNS))]
    lines = []
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row[:2], widths)]
        cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:])]
        lines.append("  ".join(cells))
    head = (
        f"{result['substrates']:,} substrates, {result['relationships']:,} relationships, "
        f"{result['queries']:,} queries; {result['seconds']:.0f} s in all"
    )
    return "\n".join([head, "", *lines])


def update(result, docs):
    with open(os.path.join(docs, "comparison.svg"), "w", encoding="utf-8") as file:
        file.write(chart(result))
    table = ["| " + " | ".join(COLUMNS) + " |", "|---|---|" + "--:|" * (len(COLUMNS) - 2)]
    table += ["| " + " | ".join(row) + " |" for row in rows(result)]
    head = (
        f"{result['substrates']:,} substrates, {result['relationships']:,} relationships, "
        f"{result['queries']:,} queries of each system; one run, {result['seconds'] / 60:.0f} minutes in all."
    )
    picture = "![The same figures as bars](comparison.svg)"
    scale = "Scales are logarithmic: from one line to the next it is ten times as much."
    made = "\n".join([BEGIN, "", head, "", *table, "", picture, "", scale, "", END])
    path = os.path.join(docs, "comparison.md")
    with open(path, encoding="utf-8") as file:
        old = file.read()
    new, times = re.subn(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: made, old, flags=re.DOTALL)
    if times != 1:
        raise RuntimeError(f"{path} must hold the two marks once: {BEGIN} {END}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(new)


def whole(value):
    return f"{value:,.0f}"


PANELS = [
    ("bytes_per_substrate", "Resident bytes a substrate", "less is better", whole),
    ("bytes_per_relationship", "Resident bytes a relationship", "less is better", whole),
    ("substrates_per_s", "Substrates loaded a second", "more is better", rate),
    ("relationships_per_s", "Relationships loaded a second", "more is better", rate),
    ("hop_median_us", "One hop, median", "less is better", micros),
    ("hop_p99_us", "One hop, 99th percentile", "less is better", micros),
]
STYLE = """
  svg { --page: #ffffff; --ink: #1f2328; --quiet: #59636e; --line: #d1d9e0; }
  svg { --ours: #0969da; --theirs: #9aa4af; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #f0f6fc; --quiet: #9198a1; --line: #3d444d; }
    svg { --ours: #4493f8; --theirs: #6e7681; }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--ink); }
  .title { font-weight: 600; font-size: 13px; }
  .quiet { fill: var(--quiet); font-size: 11px; }
  .page { fill: var(--page); }
  .line { stroke: var(--line); }
  .ours { fill: var(--ours); }
  .theirs { fill: var(--theirs); }
"""


def chart(result):
    """Small multiples of bars on logarithmic scales, readable on light and dark pages."""
    figures = result["figures"]
    label, bar, gap, width = 148, 250, 20, 480
    height = 62 + 24 * len(figures)
    total = height * 3 + 26
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {total}" role="img">',
        "<title>ButterflyFx and other systems on the same graph</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{2 * width}" height="{total}"/>',
    ]
    for at, (key, title, better, form) in enumerate(PANELS):
        left, top = gap + at % 2 * width, 26 + at // 2 * height
        out.append(f'<text class="title" x="{left}" y="{top}">{title}</text>')
        out.append(f'<text class="quiet" x="{left + label + bar}" y="{top}" text-anchor="end">{better}</text>')
        values = {system: max(one[key], 1e-3) for system, one in figures.items()}
        if not values:
            continue
        low = 10 ** math.floor(math.log10(min(values.values())) - 0.01)
        high = 10 ** math.ceil(math.log10(max(values.values())) + 0.01)
        span = math.log10(high / low)
        tick = low
        bottom = top + 14 + 24 * len(values)
        while tick <= high * 1.01:
            x = left + label + bar * math.log10(tick / low) / span
            out.append(f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{top + 10}" y2="{bottom}"/>')
            tick *= 10
        for row, (system, value) in enumerate(values.items()):
            y = top + 16 + 24 * row
            long = max(bar * math.log10(value / low) / span, 1)
            kind = "ours" if system in ("kernel", "butterflyfx") else "theirs"
            out.append(f'<text x="{left + label - 8}" y="{y + 12}" text-anchor="end">{NAMES[system]}</text>')
            place = f'x="{left + label}" y="{y}" width="{long:.1f}" height="16"'
            out.append(f'<rect class="{kind}" {place} rx="2"/>')
            out.append(f'<text x="{left + label + long + 5:.1f}" y="{y + 12}">{form(value)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
