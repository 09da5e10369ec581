"""Print results, and write docs/performance.md's tables and charts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
BEGIN, END = "<!-- begin of the results -->", "<!-- end of the results -->"

LABELS = {
    "raw-ws": "native WebSocket",
    "raw-stream": "stream",
    "raw-poll": "long poll",
    "our-ws": "native WebSocket",
    "our-stream": "stream",
    "our-poll": "long poll",
    "our-sse": "EventSource",
    "eio-ws": "native WebSocket",
    "eio-poll": "long poll",
    "sjs-ws": "native WebSocket",
    "sjs-stream": "stream",
    "sjs-poll": "long poll",
}
SERVERS = {
    "ours": "this library, compiled",
    "ours, pure": "this library, pure Python",
    "limit": "raw ASGI (the limit)",
}
COLOURS = {"ours": "#0b6e4f", "ours, pure": "#6fae97", "limit": "#555"}
UNITS = {"rate": "/s", "p50_us": "µs", "ms": "ms"}
# In the order of the page.
PARTS = ("w1", "w16", "alone", "big", "open", "fanout", "idle", "growth", "loss", "page")


def _name(row: dict[str, Any]) -> str:
    return f"{SERVERS.get(row['server'], row['server'])}, {LABELS[row['protocol']]}"


def _ratio(ratio: dict[str, Any] | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f}, {ratio['pairs']})"


def _bar(row: dict[str, Any]) -> str:
    bar = row.get("bar")
    if not bar:
        return ""
    sign = "≤" if bar["is_most"] else "≥"
    met = {True: "met", False: "not met", None: "not measured"}[bar["is_met"]]
    if bar["beside"] == "raw-ws":
        return f"{sign} {bar['value']:g}: {met}"
    return (
        f"{sign} {bar['value']:g} of raw ASGI's {LABELS[bar['beside']]}: {met},"
        f" {_ratio(bar['measured'])}"
    )


def _value(row: dict[str, Any], metric: str) -> str:
    return f"{row['value']:,.0f} {UNITS[metric]}" if "value" in row else "failed"


def show(name: str, results: dict[str, Any]) -> None:
    """Print what has been measured of a part."""
    print("\n".join(["", *_part(name, results)]), flush=True)


# --- The page -------------------------------------------------------------------------------------


def write(name: str, results: dict[str, Any]) -> None:
    """Put a part's results into the place of its older ones, and its tables and chart."""
    path = ROOT / "docs" / "performance.json"
    parts = json.loads(path.read_text()) if path.exists() else {}
    parts[name] = results
    path.write_text(json.dumps({one: parts[one] for one in PARTS if one in parts}, indent=1) + "\n")
    IMAGES.mkdir(exist_ok=True)
    if name in CHARTS:
        (IMAGES / f"performance-{name}.svg").write_text(CHARTS[name](results))
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{_tables(parts)}\n{END}{after}")


def _tables(parts: dict[str, Any]) -> str:
    lines = []
    for name in PARTS:
        if name in parts:
            lines += _part(name, parts[name])
    newest = max(parts.values(), key=lambda part: str(part["date"]))
    versions = ", ".join(f"{name} {version}" for name, version in newest["versions"].items())
    return "\n".join(
        [
            f"Measured on {newest['cores']} cores of {newest['cpu']}, Linux {newest['kernel']}, "
            f"Python {newest['python']}; {versions}. Each part has its date.\n",
            *lines,
        ]
    )


def _part(name: str, results: dict[str, Any]) -> list[str]:
    lines = {"idle": _idle, "growth": _growth, "loss": _loss, "page": _page}.get(name, _ratios)
    title, *table = lines(results)
    chart = [f"![{title}](images/performance-{name}.svg)\n"] if name in CHARTS else []
    return [f"### {title}\n", f"{results['date']}.\n", *chart, *table, ""]


def _ratios(results: dict[str, Any]) -> list[str]:
    return [
        results["title"],
        "| | median | ÷ native WebSocket, raw (quartiles, pairs) | bar |",
        "|---|---|---|---|",
        *(
            f"| {_name(row)} | {_value(row, results['metric'])} | {_ratio(row['ratio'])}"
            f" | {_bar(row)} |"
            for row in results["rows"]
        ),
        "",
        f"The load used {max(row.get('load_cores', 0) for row in results['rows']):.2f} of its core"
        " at most.",
    ]


def _idle(results: dict[str, Any]) -> list[str]:
    lines = ["Memory of one more idle session", "| | KiB | bar |", "|---|---|---|"]
    for row in results["rows"]:
        bar = f"≤ {row['bar']:g}: {_met(row['is_met'])}" if "bar" in row else ""
        size = f"{row['KiB']:.1f}" if "KiB" in row else "failed"
        lines.append(f"| {_name(row)} | {size} | {bar} |")
    return lines


def _met(is_met: bool) -> str:
    return "met" if is_met else "not met"


def _growth(results: dict[str, Any]) -> list[str]:
    counts = [step["sessions"] for step in results["rows"][0]["steps"]]
    head = " | ".join(f"{count:,}" for count in counts)
    lines = ["From 100 sessions to 10,000"]
    for title, key in (
        ("Server's CPU time for a message, in µs; a hundred of the sessions talk", "few_us"),
        ("The same; all of them talk (of 10,000 sessions 9,000)", "all_us"),
        ("Memory of one more session, in KiB, since the number before", None),
    ):
        lines += [f"{title}:\n", f"| | {head} |", "|---|" + "---|" * len(counts)]
        for row in results["rows"]:
            cells = [
                f"{step[key]:.0f}" if key else f"{step['KiB_more'] / more:.1f}"
                for step, more in zip(row["steps"], _differences(counts), strict=True)
            ]
            lines.append(f"| {_name(row)} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [
        f"{counts[-1]:,} idle sessions with their heartbeats, for {results['seconds']} s:\n",
        "| | of a core | bar |",
        "|---|---|---|",
    ]
    for row in results["rows"]:
        bar = "" if row["server"] == "limit" else f"≤ {results['bar']:.0%}: {_met(row['is_met'])}"
        lines.append(f"| {_name(row)} | {row['rest_cores']:.1%} | {bar} |")
    return lines


def _differences(counts: list[int]) -> list[int]:
    return [count - before for count, before in zip(counts, [0, *counts], strict=False)]


def _loss(results: dict[str, Any]) -> list[str]:
    lines = [
        f"What is left of {results['sessions']:,} sessions that were lost",
        "In one process, after collections:\n",
        "| | tasks | futures | objects | MiB |",
        "|---|---|---|---|---|",
    ]
    names = ["before", *(f"after {LABELS[row['protocol']]}" for row in results["rows"])]
    for name, row in zip(names, [results["empty"], *results["rows"]], strict=True):
        lines.append(
            f"| {name} | {row['tasks']} | {row['futures']} | {row['objects']:,}"
            f" | {row['KiB'] / 1024:.1f} |"
        )
    return lines


def _page(results: dict[str, Any]) -> list[str]:
    lines = [
        "The page's side",
        f"Chromium {results['chromium']}. A burst is {results['burst']:,} messages of 64 bytes;"
        f" memory is what the page has more after {results['many']:,} than before, collected.\n",
        "| | echo, /s | main thread, µs a message | burst, /s | main thread, µs a message |"
        " longest gap in the burst, ms | objects, KiB | process, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        if "error" in row:
            lines.append(f"| {row['name']} | failed: {row['error']} | | | | | | |")
            continue
        lines.append(
            f"| {row['name']} | {row['echo_rate']:,.0f} | {row['echo_us']:.0f}"
            f" | {row['burst_rate']:,.0f} | {row['burst_us']:.0f} | {row['gap_ms']:.0f}"
            f" | {row['heap_KiB']:,.0f} | {row['process_MiB']:.1f} |"
        )
    return lines


# --- Charts ---------------------------------------------------------------------------------------


def _ratio_chart(results: dict[str, Any]) -> str:
    rows = [row for row in results["rows"] if row["ratio"]]
    rows.sort(key=lambda row: (LABELS[row["protocol"]], -row["ratio"]["median"]))
    subtitle = f"{SUBTITLES[results['metric']]}, raw ASGI, native WebSocket = 1"
    bars = [
        Bar(_name(row), row["ratio"]["median"], row["server"], row["ratio"]["low"],
            row["ratio"]["high"])
        for row in rows
    ]  # fmt: skip
    return _chart(results["title"], subtitle, bars)


def _page_chart(results: dict[str, Any]) -> str:
    rows = [row for row in results["rows"] if "error" not in row]
    bars = [
        Bar(row["name"], row["burst_us"], row["server"], row["burst_us"], row["burst_us"])
        for row in rows
    ]
    subtitle = "CPU time of the main thread for a message of a burst, µs"
    return _chart("The page's side", subtitle, bars)


SUBTITLES = {
    "rate": "messages a second",
    "p50_us": "median of the round trip",
    "ms": "time until all have it",
}
CHARTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "w1": _ratio_chart,
    "w16": _ratio_chart,
    "fanout": _ratio_chart,
    "page": _page_chart,
}


class Bar(NamedTuple):
    """One bar of a chart, and how far its value is spread."""

    name: str
    value: float
    server: str
    low: float
    high: float


def _chart(title: str, subtitle: str, bars: list[Bar]) -> str:
    """Draw horizontal bars, ours in colour, with their quartiles."""
    scale = 380 / max([bar.high for bar in bars], default=1)
    height = 60 + 22 * len(bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img"'
        f' font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}: {escape(subtitle)}</title>",
        f'<rect width="760" height="{height}" fill="#fff"/>',
        f'<text x="12" y="24" font-size="15" fill="#222">{escape(title)}</text>',
        f'<text x="12" y="43" fill="#666">{escape(subtitle)}</text>',
    ]
    for index, bar in enumerate(bars):
        y = 56 + 22 * index
        colour = COLOURS.get(bar.server, "#b5bcc4")
        width, low, high = (value * scale for value in (bar.value, bar.low, bar.high))
        text = f"{bar.value:.2f}" if bar.value < 10 else f"{bar.value:.0f}"
        lines += [
            f'<text x="292" y="{y + 12}" text-anchor="end" fill="#222">{escape(bar.name)}</text>',
            f'<rect x="300" y="{y}" width="{width:.1f}" height="16" fill="{colour}"/>',
            f'<path d="M{300 + low:.1f} {y + 8}H{300 + high:.1f}" stroke="#000" opacity=".5"/>',
            f'<text x="{306 + high:.1f}" y="{y + 12}" fill="#222">{text}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
