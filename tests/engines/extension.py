"""A browser extension whose service worker has a socket."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from tests.support.servers import ROOT

SHIM = ROOT / "emulation" / "static" / "emulation.js"
KEY = b"the tests of websocket-emulation"

# Chromium writes the first half of the key's hash in the letters a to p.
ORIGIN = "chrome-extension://" + "".join(
    chr(ord("a") + int(digit, 16)) for digit in hashlib.sha256(KEY).hexdigest()[:32]
)

WORKER = """
{prelude}
const socket = new WebSocket('{base}/note?token={token}');
let count = 0;
socket.onopen = () => setInterval(() => socket.send('{token}-' + count++), 1000);
"""
PRELUDE = """
delete self.WebSocket;
self.WebSocketEmulation = {{ transports: ['stream'], origins: ['{base}'] }};
importScripts('emulation.js');
"""


def write(directory: Path, url: str, token: str, *, is_ours: bool) -> None:
    """Write an extension that counts the seconds to a server, over our class or the native one."""
    base = url.replace("http", "ws")
    prelude = PRELUDE.format(base=base) if is_ours else ""
    manifest = {
        "manifest_version": 3,
        "name": "A worker with a socket",
        "version": "1",
        "key": base64.b64encode(KEY).decode(),
        "background": {"service_worker": "worker.js"},
        "host_permissions": [f"{url}/*"],
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    (directory / "worker.js").write_text(WORKER.format(prelude=prelude, base=base, token=token))
    (directory / "emulation.js").write_text(SHIM.read_text())
