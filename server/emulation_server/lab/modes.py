"""The registry of modes, by the name users give."""

from __future__ import annotations

from . import faults, intermediaries
from .relay import Mode

FAULTS: dict[str, type[Mode]] = {
    "plain": Mode,
    "drop": faults.Drop,
    "truncate": faults.Truncate,
    "stall": faults.Stall,
    "duplicate": faults.Duplicate,
    "lose-answer": faults.LoseAnswer,
    "swap": faults.Swap,
    "cut-bodies": faults.CutBodies,
    "cut-tunnel": faults.CutTunnel,
    "delay": faults.Delay,
    "jitter": faults.Jitter,
    "slow": faults.Slow,
    "portal": faults.Portal,
    "chaos": faults.Chaos,
}

INTERMEDIARIES: dict[str, type[Mode]] = {
    "strip": intermediaries.Strip,
    "blind101": intermediaries.Blind101,
    "blind101bad": intermediaries.Blind101Bad,
    "blackhole": intermediaries.BlackHole,
    "httpbytes": intermediaries.HttpBytes,
    "buffer": intermediaries.Buffer,
    "buffer4k": intermediaries.Buffer4K,
    "firstbytes": intermediaries.FirstBytes,
    "cacheall": intermediaries.CacheAll,
    "cachepath": intermediaries.CachePath,
    "http10": intermediaries.Http10,
    "idlekill": intermediaries.IdleKill,
    "maxdur": intermediaries.MaxDuration,
    "retry": intermediaries.Retry,
    "dup": intermediaries.Dup,
    "nochunk": intermediaries.NoChunk,
    "halfopen": intermediaries.HalfOpen,
    "gzip": intermediaries.Gzip,
    "striphdr": intermediaries.StripHeaders,
    "reorder": intermediaries.Reorder,
    "getpost": intermediaries.GetPost,
    "limit2k": intermediaries.Limit2K,
    "swallow": intermediaries.Swallow,
}

MODES: dict[str, type[Mode]] = {**FAULTS, **INTERMEDIARIES}


def make_mode(name: str, **options: object) -> Mode:
    """Return the mode of that name. Raises ValueError for an unknown one, TypeError for options."""
    if name not in MODES:
        raise ValueError(f"there is no mode {name!r}; there are {', '.join(MODES)}")
    return MODES[name](**options)  # type: ignore[arg-type]  # each mode has options of its own
