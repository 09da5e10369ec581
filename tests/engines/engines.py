"""The engines, and how each of them is made to open a URL.

The rest is the page's own work (page.html), so that all are driven alike, whatever their age.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.support.servers import ROOT, end_with_parent

DRIVERS = Path(__file__).parent / "drivers"
INSTALLED = ROOT / ".build" / "engines"
STOP_TIMEOUT = 5.0

# The runs that page.html knows beside the names of the transports.
NATIVE = "native"
OWN = "own"
WITHOUT_WEBSOCKET = "!WebSocket"
# An engine of the time before typed arrays, as Internet Explorer 9; and half of one.
WITHOUT_BYTES = "!WebSocket!EventSource!ArrayBuffer!Uint8Array!DataView!Blob"
WITHOUT_BUFFERS = "!WebSocket!EventSource!ArrayBuffer!Blob"

ALL_TRANSPORTS = ("websocket", "stream", "sse", "xhr-stream", "poll")
TEXT_STREAMS = ("sse", "xhr-stream", "poll")

QUIET_CHROMIUM = (
    "--no-sandbox",
    "--no-zygote",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    # Without it a headless Chromium ends when it has loaded the page.
    "--remote-debugging-port=0",
)
QUIET_FIREFOX = """
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
user_pref("toolkit.telemetry.enabled", false);
"""


class Engine:
    """An engine, what is known of it, and how to start it."""

    name: str
    year: str
    agent: str
    """A pattern for `navigator.userAgent`, whose group is the version."""
    package: str | None = None
    """Debian's package; None where scripts/engines puts the engine into .build/engines."""
    transports: Sequence[str] = ALL_TRANSPORTS
    """Those that it can carry."""
    choice: str = "websocket"
    """The transport that the shim has to choose by itself."""
    choice_without_websocket: str = "stream"
    has_native: bool = True
    """Whether its own class behaves as the standard says."""
    tag: str = "[object WebSocket]"
    """What Object.prototype.toString says of a socket of ours."""
    needs_display: bool = False

    def command(self, url: str, home: Path) -> list[str]:
        """Return what opens `url`; `home` is an empty directory."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {}

    def runs(self) -> dict[str, str | None]:
        """Return all runs of which it is capable, and the transport that each must come to."""
        return {
            **({NATIVE: None} if self.has_native else {}),
            OWN: self.choice,
            OWN + WITHOUT_WEBSOCKET: self.choice_without_websocket,
            **{transport: transport for transport in self.transports},
        }

    def executable(self) -> str | None:
        """Return the program whose absence makes the engine one that cannot be tested."""
        raise NotImplementedError

    def missing(self) -> str | None:
        """Return why the engine cannot be run on this machine, None where it can."""
        if self.needs_display and not shutil.which("Xvfb"):
            return "Xvfb is not installed"
        found = self.executable()
        if found and os.access(found, os.X_OK):
            return None
        if self.package:
            return f"{self.package} is not installed"
        reason = INSTALLED / f"{self.name}.missing"
        log = reason.read_text() if reason.exists() else "scripts/engines has not been run"
        return f"{self.name} is not in .build/engines: {' '.join(log.split())[:200]}"


class Chromium(Engine):
    name = "chromium"
    year = "current"
    agent = r"Chrome/(\d+\.\d+\.\d+)"
    package: str | None = "chromium"

    def executable(self) -> str | None:
        return shutil.which("chromium")

    def command(self, url: str, home: Path) -> list[str]:
        executable = self.executable()
        assert executable
        return [executable, "--headless=new", *QUIET_CHROMIUM, f"--user-data-dir={home}", url]


class OldChromium(Chromium):
    package = None

    def __init__(self, version: int, year: int) -> None:
        self.name = f"chromium-{version}"
        self.year = str(year)
        self.agent = rf"Chrome/({version}\.\d+\.\d+)"

    def executable(self) -> str | None:
        return str(INSTALLED / self.name / "chromium")

    def command(self, url: str, home: Path) -> list[str]:
        command = super().command(url, home)
        return ["--headless" if word == "--headless=new" else word for word in command]


class Chromium49(Engine):
    """Qt WebEngine 5.7."""

    name = "chromium-49"
    year = "2016"
    agent = r"Chrome/(49\.\d+\.\d+)"
    needs_display = True

    def executable(self) -> str | None:
        return str(INSTALLED / self.name / "python" / "bin" / "python3")

    def command(self, url: str, home: Path) -> list[str]:
        qt = INSTALLED / self.name / "PyQt5" / "Qt"
        return [str(self.executable()), str(DRIVERS / "qtwebengine.py"), str(qt), url]

    def environment(self) -> Mapping[str, str]:
        return {"QT_QPA_PLATFORM": "xcb"}


class Firefox(Engine):
    name = "firefox"
    year = "current ESR"
    agent = r"Firefox/([\d.]+)"
    package = "firefox-esr"

    def executable(self) -> str | None:
        return shutil.which("firefox-esr")

    def command(self, url: str, home: Path) -> list[str]:
        (home / "user.js").write_text(QUIET_FIREFOX)
        return ["firefox-esr", "--headless", "--no-remote", "--profile", str(home), url]


class WebKitGTK(Engine):
    name = "webkitgtk"
    year = "current"
    agent = r"Version/([\d.]+) Safari"
    package = "webkit2gtk-driver"
    needs_display = True

    def executable(self) -> str | None:
        found = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.?/MiniBrowser"))
        return str(found[-1]) if found else None

    def command(self, url: str, home: Path) -> list[str]:
        return [str(self.executable()), url]

    def environment(self) -> Mapping[str, str]:
        return {
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
            "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }


class WPE(Engine):
    name = "wpe"
    year = "2022"
    agent = r"Version/([\d.]+) Safari"
    package = "cog"

    def executable(self) -> str | None:
        return shutil.which("cog")

    def command(self, url: str, home: Path) -> list[str]:
        return ["cog", "--platform=headless", url]

    def environment(self) -> Mapping[str, str]:
        return {"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1", "LIBGL_ALWAYS_SOFTWARE": "1"}


class QtWebKit(Engine):
    name = "qtwebkit"
    year = "2016"
    agent = r"AppleWebKit/([\d.]+)"
    package = "python3-pyqt5.qtwebkit"
    transports = ("websocket", *TEXT_STREAMS)
    choice_without_websocket = "sse"

    def executable(self) -> str | None:
        is_there = list(Path("/usr/lib/python3/dist-packages/PyQt5").glob("QtWebKit.*.so"))
        return "/usr/bin/python3" if is_there else None

    def command(self, url: str, home: Path) -> list[str]:
        return [str(self.executable()), str(DRIVERS / "qtwebkit.py"), url]

    def environment(self) -> Mapping[str, str]:
        return {"QT_QPA_PLATFORM": "offscreen"}


class PhantomJS(Engine):
    transports: Sequence[str] = ("websocket", *TEXT_STREAMS)
    choice_without_websocket = "sse"
    tag = "[object Object]"

    def __init__(self, version: str, year: int) -> None:
        self.name = f"phantomjs-{version}"
        self.year = str(year)
        self.agent = rf"PhantomJS/({version})"

    def executable(self) -> str | None:
        return str(INSTALLED / self.name / "phantomjs")

    def command(self, url: str, home: Path) -> list[str]:
        return [str(self.executable()), str(DRIVERS / "phantom.js"), url]

    def environment(self) -> Mapping[str, str]:
        return {"OPENSSL_CONF": "/dev/null"}


class PhantomJS1(PhantomJS):
    """Its own WebSocket is that of a draft of 2010, which no server speaks."""

    transports = TEXT_STREAMS
    choice = "sse"
    has_native = False

    def runs(self) -> dict[str, str | None]:
        return {
            **super().runs(),
            **{
                start + missing: transport
                for missing in (WITHOUT_BYTES, WITHOUT_BUFFERS)
                for start, transport in ((OWN, "xhr-stream"), ("poll", "poll"))
            },
        }

    def environment(self) -> Mapping[str, str]:
        no_ssl = INSTALLED / self.name / "no-ssl"
        return {**super().environment(), "LD_LIBRARY_PATH": str(no_ssl)}


class JavaFX(Engine):
    """It gives every answer at its end, and its own WebSocket has no `close` event."""

    name = "javafx"
    year = "2021"
    agent = r"JavaFX/([\d.]+)"
    transports = ("websocket", "poll")
    choice_without_websocket = "poll"
    has_native = False
    needs_display = True

    def executable(self) -> str | None:
        is_compiled = (INSTALLED / self.name / "Engine.class").exists()
        return shutil.which("java") if is_compiled else None

    def command(self, url: str, home: Path) -> list[str]:
        return [
            str(self.executable()),
            "--module-path=/usr/share/openjfx/lib",
            "--add-modules=javafx.web",
            "-Dprism.order=sw",
            # Else it never sends Origin.
            "-Dsun.net.http.allowRestrictedHeaders=true",
            f"-Duser.home={home}",
            f"-Djava.io.tmpdir={home}",
            "-cp",
            str(INSTALLED / self.name),
            "Engine",
            url,
        ]


class Node(Engine):
    name = "node"
    year = "current"
    agent = r"Node\.js/([\d.]+)"
    package = "nodejs"
    transports = ("stream", "poll")
    choice = "stream"
    has_native = False

    def executable(self) -> str | None:
        return shutil.which("node")

    def command(self, url: str, home: Path) -> list[str]:
        # Newer ones have a WebSocket of their own.
        driver = DRIVERS / "node.mjs"
        return [str(self.executable()), "--no-experimental-websocket", str(driver), url]


ENGINES: tuple[Engine, ...] = (
    Chromium(),
    OldChromium(109, 2022),
    OldChromium(80, 2020),
    OldChromium(64, 2017),
    Chromium49(),
    Firefox(),
    WebKitGTK(),
    WPE(),
    JavaFX(),
    QtWebKit(),
    PhantomJS("2.1.1", 2016),
    PhantomJS1("1.9.8", 2014),
    Node(),
)


@contextlib.contextmanager
def opened(engine: Engine, url: str, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Let `engine` open `url`, in an empty home, for the length of a with block."""
    with contextlib.ExitStack() as stack:
        directory = tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True)
        home = Path(stack.enter_context(directory))
        environment = {**os.environ, **engine.environment(), "HOME": str(home)}
        for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            environment[name] = str(home)
        if engine.needs_display:
            environment["DISPLAY"] = stack.enter_context(display(log))
        yield stack.enter_context(running(engine.command(url, home), environment, log))


@contextlib.contextmanager
def display(log: IO[bytes]) -> Iterator[str]:
    """Run an X server that draws into memory, and yield its name."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with os.fdopen(reader) as numbers:
        with running(command, {**os.environ}, log, keep=(writer,)):
            os.close(writer)
            number = numbers.readline().strip()
            assert number, "Xvfb did not start"
            yield f":{number}"


@contextlib.contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: IO[bytes],
    keep: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*end_with_parent(), *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        pass_fds=keep,
    )
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started, which is its group."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
    process.wait(STOP_TIMEOUT)
