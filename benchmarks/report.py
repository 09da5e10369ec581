"""Print results, and write docs/performance.md's tables and charts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
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
SERVERS = {"ours": "this library", "limit": "raw ASGI (the limit)"}
UNITS = {"rate": "/s", "p50_us": "µs", "ms": "ms"}
TITLES = {
    "w1": "Echo of 64 bytes, 100 clients, one message at a time",
    "w16": "Echo of 64 bytes, 64 clients, 16 messages in flight",
    "alone": "Round trip of one client alone (median)",
    "big": "Echo of 1 MiB, one client",
    "open": "Sessions opened a second, 32 at a time",
    "fanout": "One message to 5,000 clients, until all have it",
}
METRICS = {"alone": "p50_us", "fanout": "ms"}


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


def show(title: str, metric: str, rows: list[dict[str, Any]]) -> None:
    """Print one workload."""
    print(f"\n{title}")
    for row in rows:
        print(
            f"  {_name(row):44} {_value(row, metric):>14}  {_ratio(row['ratio']):26}"
            f" load {row.get('load_cores', 0):.2f}  {_bar(row)}"
        )


def show_idle(rows: list[dict[str, Any]]) -> None:
    """Print the memory of idle sessions."""
    print("\nMemory of one more idle session")
    for row in rows:
        bar = f"≤ {row['bar']:g}: {'met' if row['is_met'] else 'not met'}" if row["bar"] else ""
        print(f"  {_name(row):44} {row['KiB']:10.1f} KiB  {bar}")


def show_growth(rows: list[dict[str, Any]]) -> None:
    """Print what a message costs with more and more sessions."""
    print("\nServer's CPU time for a message, by the number of sessions")
    for row in rows:
        cost = row["server_us"]
        print(f"  {_name(row):44} {row['sessions']:>6} {cost and round(cost, 1)} µs")


# --- The page -------------------------------------------------------------------------------------


def read() -> dict[str, Any]:
    """Return the results that the page shows."""
    path = ROOT / "docs" / "performance.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(results: dict[str, Any]) -> None:
    """Write the results, the charts, and the tables into the page."""
    (ROOT / "docs" / "performance.json").write_text(json.dumps(results, indent=1) + "\n")
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{_tables(results)}\n{END}{after}")
    for name in ("w1", "w16"):
        if name in results["workloads"]:
            chart = _chart(TITLES[name], results["workloads"][name])
            (IMAGES / f"performance-{name}.svg").write_text(chart)


def _tables(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = [
        f"Measured on {machine['date']}: {machine['cores']} cores of {machine['cpu']}, Linux "
        f"{machine['kernel']}, Python {machine['python']}; {versions}.\n"
    ]
    for name, rows in results["workloads"].items():
        metric = METRICS.get(name, "rate")
        parts.append(f"### {TITLES[name]}\n")
        if name in ("w1", "w16"):
            parts.append(f"![Bars of the ratios below](images/performance-{name}.svg)\n")
        parts.append("| | median | ÷ native WebSocket, raw (quartiles, pairs) | bar |")
        parts.append("|---|---|---|---|")
        for row in rows:
            parts.append(
                f"| {_name(row)} | {_value(row, metric)} | {_ratio(row['ratio'])} | {_bar(row)} |"
            )
        parts.append("")
    if "idle" in results:
        parts += ["### Memory of one more idle session\n", "| | KiB | bar |", "|---|---|---|"]
        for row in results["idle"]:
            bar = f"≤ {row['bar']:g}: {'met' if row['is_met'] else 'not met'}" if row["bar"] else ""
            parts.append(f"| {_name(row)} | {row['KiB']:.1f} | {bar} |")
        parts.append("")
    if "growth" in results:
        parts += _growth_table(results["growth"])
    return "\n".join(parts)


def _growth_table(rows: list[dict[str, Any]]) -> list[str]:
    counts = sorted({row["sessions"] for row in rows})
    lines = [
        "### Server's CPU time for a message by the number of sessions, in µs\n",
        "| | " + " | ".join(f"{count:,}" for count in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    names = dict.fromkeys(_name(row) for row in rows)
    for name in names:
        costs = {row["sessions"]: row["server_us"] for row in rows if _name(row) == name}
        cells = (f"{costs[count]:.0f}" if costs.get(count) else "–" for count in counts)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _chart(title: str, rows: list[dict[str, Any]]) -> str:
    """Draw horizontal bars of the ratios, ours in colour, with their quartiles."""
    rows = [row for row in rows if row["ratio"]]
    rows.sort(key=lambda row: (LABELS[row["protocol"]], -row["ratio"]["median"]))
    scale = 380 / max(row["ratio"]["high"] for row in rows)
    height = 60 + 22 * len(rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img"'
        f' font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}: ratio to a native WebSocket of raw ASGI</title>",
        f'<rect width="760" height="{height}" fill="#fff"/>',
        f'<text x="12" y="24" font-size="15" fill="#222">{escape(title)}</text>',
        '<text x="12" y="43" fill="#666">messages a second, raw ASGI, native WebSocket = 1</text>',
    ]
    for index, row in enumerate(rows):
        ratio, y = row["ratio"], 56 + 22 * index
        colour = {"ours": "#0b6e4f", "limit": "#555"}.get(row["server"], "#b5bcc4")
        width, low, high = (ratio[key] * scale for key in ("median", "low", "high"))
        lines += [
            f'<text x="292" y="{y + 12}" text-anchor="end" fill="#222">{escape(_name(row))}</text>',
            f'<rect x="300" y="{y}" width="{width:.1f}" height="16" fill="{colour}"/>',
            f'<path d="M{300 + low:.1f} {y + 8}H{300 + high:.1f}" stroke="#000" opacity=".5"/>',
            f'<text x="{306 + high:.1f}" y="{y + 12}" fill="#222">{ratio["median"]:.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
