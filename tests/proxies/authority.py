"""An authority of the tests' own, and a certificate of 127.0.0.1 that it has signed."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

__all__ = ["Authority", "found"]

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


class Authority(NamedTuple):
    """`certificate` is the server's, with its key in a file beside it; `context` trusts it."""

    certificate: Path
    context: ssl.SSLContext


def found(directory: Path) -> Authority:
    """Make an authority and a certificate in a directory."""
    root, root_key = directory / "root.pem", directory / "root.key"
    certificate, key = directory / "server.pem", directory / "server.pem.key"
    _request("/CN=Tests", "-keyout", root_key, "-out", root)
    _request(
        *("/CN=127.0.0.1", "-keyout", key, "-out", certificate, "-CA", root, "-CAkey", root_key),
        *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
    )
    return Authority(certificate, ssl.create_default_context(cafile=root))


def _request(subject: str, *arguments: str | Path) -> None:
    command = ["openssl", "req", "-x509", *_KEY, "-subj", subject, *arguments]
    subprocess.run(command, check=True, capture_output=True)
