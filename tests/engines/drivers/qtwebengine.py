"""Open a URL in the Qt WebEngine 5.7 of an unpacked wheel, and stay.

    qtwebengine.py .../PyQt5/Qt URL

The wheel's bindings are for a Python of its time. Qt itself runs in any: its C++ functions are
called by their mangled names, on objects that are zeroed memory of a sufficient size.
"""

import os
import sys
from ctypes import CDLL, RTLD_GLOBAL, byref, c_char_p, c_int, c_void_p, create_string_buffer
from typing import Any

qt, url = sys.argv[1:]
LIBRARY_PATH = f"{qt}/lib"
ENVIRONMENT = {
    "LD_LIBRARY_PATH": LIBRARY_PATH,
    "QT_PLUGIN_PATH": f"{qt}/plugins",
    "QTWEBENGINEPROCESS_PATH": f"{qt}/libexec/QtWebEngineProcess",
    "QTWEBENGINE_RESOURCES_PATH": f"{qt}/resources",
    "QTWEBENGINE_LOCALES_PATH": f"{qt}/translations/qtwebengine_locales",
    "QTWEBENGINE_DISABLE_SANDBOX": "1",
}
if os.environ.get("LD_LIBRARY_PATH") != LIBRARY_PATH:
    # The loader reads it only when a process begins.
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})

libraries = {
    name: CDLL(f"{qt}/lib/libQt5{name}.so.5", RTLD_GLOBAL)
    for name in ("Core", "Gui", "Widgets", "WebEngineCore", "WebEngineWidgets")
}


def call(library: str, name: str, *arguments: Any) -> None:
    getattr(libraries[library], name)(*arguments)


SIZE = 256
QT_VERSION = 0x050701
arguments = [sys.executable.encode(), b"--no-sandbox", b"--disable-gpu"]
argv = (c_char_p * (len(arguments) + 1))(*arguments, None)
argc = c_int(len(arguments))
application, string, location, page = (create_string_buffer(SIZE) for _ in range(4))

call("Widgets", "_ZN12QApplicationC1ERiPPci", application, byref(argc), argv, c_int(QT_VERSION))
encoded = url.encode()
from_utf8 = libraries["Core"]._ZN7QString15fromUtf8_helperEPKci
from_utf8(string, c_char_p(encoded), c_int(len(encoded)))
call("Core", "_ZN4QUrlC1ERK7QStringNS_11ParsingModeE", location, string, c_int(0))
call("WebEngineWidgets", "_ZN14QWebEnginePageC1EP7QObject", page, c_void_p(None))
call("WebEngineWidgets", "_ZN14QWebEnginePage4loadERK4QUrl", page, location)
call("Widgets", "_ZN12QApplication4execEv")
