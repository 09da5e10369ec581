"""Open a URL in QtWebKit, and stay. Runs in Debian's own Python, which has the bindings."""

import sys

from PyQt5.QtCore import QUrl  # type: ignore[import-not-found]
from PyQt5.QtWebKitWidgets import QWebPage  # type: ignore[import-not-found]
from PyQt5.QtWidgets import QApplication  # type: ignore[import-not-found]


class Page(QWebPage):  # type: ignore[misc]
    def javaScriptConsoleMessage(self, message: str, line: int, source: str) -> None:
        print(f"console: {message} ({source}:{line})", flush=True)


application = QApplication(sys.argv)
page = Page()
page.mainFrame().load(QUrl(sys.argv[1]))
application.exec_()
