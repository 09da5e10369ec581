"""What `serve` can be told, the same in flags, in the environment and in a TOML file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emulation_server.routing import Backend

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Address", "parse_address", "parse_routes", "read_file"]

Address = tuple[str, int]

_LOOPBACK = "127.0.0.1"


def read_file(path: Path, flags: Mapping[str, bool]) -> dict[str, Any]:
    """Read the settings in a TOML file; keys are the flags' names, with `-` or `_`.

    `flags` says of each whether it is repeatable. Raises ValueError, in a sentence, where the file
    is no TOML, has a key that is no flag, or no list for one that is repeatable.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}.") from None
    settings = {key.replace("-", "_"): value for key, value in content.items()}
    known = sorted(flags)
    for key, value in settings.items():
        if key not in known:
            raise ValueError(f"{path} has the key {key!r}; there are {', '.join(known)}.")
        if key == "route" and isinstance(value, Mapping):
            settings[key] = [f"{prefix}={url}" for prefix, url in value.items()]
        elif isinstance(value, Mapping):
            raise ValueError(f"{path}: {key} must not be a table.")
        elif flags[key] and not isinstance(value, list):
            raise ValueError(f"{path}: {key} must be a list, such as {key} = [{value!r}].")
        elif isinstance(value, list) and not flags[key]:
            raise ValueError(f"{path}: {key} must not be a list.")
    return settings


def parse_address(text: str) -> Address:
    """Read HOST:PORT, or PORT alone for 127.0.0.1. Raises ValueError, in a sentence."""
    host, separator, port = text.rpartition(":")
    if not separator:
        host = _LOOPBACK
    if not port.isdecimal() or not host or int(port) > 65535:
        raise ValueError(f"{text!r} is no address; give HOST:PORT, such as 127.0.0.1:9100.")
    return host.strip("[]"), int(port)


def parse_routes(target: str | None, routes: Iterable[str]) -> dict[str, Backend]:
    """Read the backends by path: PREFIX=URL, and the one of `target` for all other paths.

    Raises ValueError, in a sentence.
    """
    found: dict[str, Backend] = {}
    for route in routes:
        prefix, separator, url = route.partition("=")
        if not separator or not prefix.startswith("/"):
            raise ValueError(
                f"{route!r} is no route; give /PATH=URL, such as /mqtt=ws://mqtt:8080."
            )
        if prefix in found:
            raise ValueError(f"The route {prefix!r} is given twice.")
        found[prefix] = Backend.parse(url)
    if target is not None:
        if "/" in found:
            raise ValueError("The route '/' is given twice: as a route, and as the target.")
        found["/"] = Backend.parse(target)
    return found
