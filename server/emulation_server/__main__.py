"""The command `websocket-emulation`, which is `python -m emulation_server` too."""

from __future__ import annotations

import sys

__all__ = ["main"]

_USAGE = 2


def main() -> None:
    """Run the command; where the packages of its extra are missing, say how to get them."""
    try:
        from emulation_server.cli import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("emulation", "emulation_server"):
            raise
        print(
            f"The command websocket-emulation needs packages that are not installed ({error.name})."
            "\nInstall them:  pip install 'websocket-emulation[server]'",
            file=sys.stderr,
        )
        sys.exit(_USAGE)
    run()


if __name__ == "__main__":
    main()
