"""A laboratory of intermediaries: what stands between pages and servers, on one's own machine.

async with Lab(to=("127.0.0.1", 8000), mode="blackhole") as lab:
    ...  # connect to lab.url instead of the server
"""

from .laboratory import Lab, LabThread
from .modes import FAULTS, INTERMEDIARIES, MODES, make_mode
from .relay import Entry, Exchange, Mode
from .wire import Answer, Body, Headers, reply

__all__ = [
    "FAULTS",
    "INTERMEDIARIES",
    "MODES",
    "Answer",
    "Body",
    "Entry",
    "Exchange",
    "Headers",
    "Lab",
    "LabThread",
    "Mode",
    "make_mode",
    "reply",
]
