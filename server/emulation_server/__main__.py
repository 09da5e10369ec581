"""`python -m emulation_server` is the command `websocket-emulation`."""

from emulation_server.cli import main

main()
