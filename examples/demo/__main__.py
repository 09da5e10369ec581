"""`python -m examples.demo`: the demo, on a port of 127.0.0.1."""

from emulation import WebSocketEmulation
from examples.demo.app import app
from examples.demo.network import Connection, Network
from examples.serve import serve

application = WebSocketEmulation(app)

serve(
    Network(application),
    "One application over every transport, side by side. Cut them while messages flow.",
    http=Connection,
)
