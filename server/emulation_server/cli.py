"""The command `websocket-emulation`."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import math
import ssl as tls
import sys
from collections.abc import Callable
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from emulation.testing.http import encoded
from emulation_server import logs
from emulation_server.doctor.terminal import NOTHING, Unreachable, examine
from emulation_server.lab import MODES, Lab
from emulation_server.serving import Settings, run
from emulation_server.settings import parse_address, parse_routes, read_file

__all__ = ["main"]

_ENVIRONMENT = "WEBSOCKET_EMULATION_"
# As uvicorn has it, and with it `serve`.
_CANNOT_LISTEN = 3

app = typer.Typer(
    name="websocket-emulation",
    help="WebSocket for pages and servers where WebSockets do not get through.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class LogFormat(str, Enum):
    """How log lines are written."""

    text = "text"
    json = "json"


class LogLevel(str, Enum):
    """The least that is logged."""

    error = "error"
    warning = "warning"
    info = "info"
    debug = "debug"


def _option(*flags: str, help: str, **more: Any) -> Any:
    """Declare a flag that the environment can give too."""
    name = flags[0].partition("/")[0].lstrip("-").replace("-", "_").upper()
    return typer.Option(
        *flags,
        help=help,
        envvar=_ENVIRONMENT + name,
        **more,
    )


def _file(flag: str, help: str) -> Any:
    """Declare a flag that names a file, which has to be there."""
    return _option(flag, help=help, exists=True, dir_okay=False, readable=True)


def _load(context: typer.Context, path: Path | None) -> Path | None:
    """Let the settings of a file stand in for what neither flags nor the environment say."""
    if path is not None:
        flags = {
            parameter.name: bool(getattr(parameter, "multiple", False))
            for parameter in context.command.params
            if parameter.name and parameter.name != "config"
        }
        context.default_map = {**(context.default_map or {}), **_checked(read_file, path, flags)}
    return path


def _checked(function: Callable[..., Any], *arguments: Any, hint: str | None = None) -> Any:
    """Call a function that raises a sentence, and let it be the user's; `hint` names the option."""
    try:
        return function(*arguments)
    except tls.SSLError as error:
        raise typer.BadParameter(
            "a file given for TLS holds no key or certificate in PEM, they are not a pair, or the"
            f" key's password is wrong: {error}"
        ) from None
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None


@app.command()
def serve(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            envvar=_ENVIRONMENT + "TARGET",
            help="The backend, ws://host:port[/prefix] or wss://…; or an ASGI application of this"
            " process, module:name.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        _option(
            "--config", help="A TOML file with any of these options.", is_eager=True, callback=_load
        ),
    ] = None,
    route: Annotated[
        list[str],
        _option(
            "--route", help="Another backend for a path: /mqtt=ws://host:port[/path]. Repeatable."
        ),
    ] = [],  # noqa: B006 (typer copies it)
    host: Annotated[str, _option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, _option("--port", help="The port; 0 for any free one.", min=0, max=65535)
    ] = 8000,
    unix: Annotated[str, _option("--unix", help="Listen on this Unix socket instead.")] = "",
    origin: Annotated[
        list[str],
        _option(
            "--origin",
            help="Pages of this origin may connect, besides those of the gateway's own: such as"
            " https://example.com; '*' for all. Repeatable.",
        ),
    ] = [],  # noqa: B006
    admin: Annotated[
        str,
        _option(
            "--admin",
            help="Metrics, readiness and sessions on this HOST:PORT, or PORT of 127.0.0.1.",
        ),
    ] = "",
    admin_token: Annotated[
        str,
        _option(
            "--admin-token", help="What a request for the sessions must bring as its bearer token."
        ),
    ] = "",
    doctor: Annotated[
        bool,
        _option(
            "--doctor/--no-doctor",
            help="Serve a page, /.websocket-emulation/doctor/, that shows what a visitor's network"
            " lets pass.",
        ),
    ] = False,
    ssl_keyfile: Annotated[Path | None, _file("--ssl-keyfile", help="The private key.")] = None,
    ssl_keyfile_password: Annotated[
        str, _option("--ssl-keyfile-password", help="The private key's password.")
    ] = "",
    ssl_certfile: Annotated[
        Path | None, _file("--ssl-certfile", help="The certificate, with its chain.")
    ] = None,
    ssl_ca_certs: Annotated[
        Path | None, _file("--ssl-ca-certs", help="The authorities of clients' certificates.")
    ] = None,
    ssl_cert_reqs: Annotated[
        int,
        _option(
            "--ssl-cert-reqs", help="Whether clients need one: 0 no, 1 may, 2 must.", min=0, max=2
        ),
    ] = 0,
    ssl_ciphers: Annotated[
        str, _option("--ssl-ciphers", help="The ciphers, as OpenSSL names them.")
    ] = "",
    forwarded_allow_ips: Annotated[
        str,
        _option(
            "--forwarded-allow-ips",
            help="The proxies in front, by address or network, with commas between, whose"
            " X-Forwarded-* is believed; '*' for whoever connects.",
        ),
    ] = "127.0.0.1",
    pass_host: Annotated[
        bool,
        _option(
            "--pass-host/--no-pass-host", help="Give the backend the Host that the page asked for."
        ),
    ] = False,
    backend_ca: Annotated[
        Path | None,
        _file("--backend-ca", help="The authorities of wss: backends, instead of the system's."),
    ] = None,
    backend_timeout: Annotated[
        float,
        _option(
            "--backend-timeout",
            help="Seconds for a backend's answer to the handshake.",
            min=0.1,
        ),
    ] = 20.0,
    heartbeat: Annotated[
        float,
        _option("--heartbeat", help="Seconds between pings; below the idle limits on the way."),
    ] = 15.0,
    poll_time: Annotated[
        float, _option("--poll-time", help="Seconds after which a poll is answered.")
    ] = 20.0,
    resume_time: Annotated[
        float,
        _option(
            "--resume-time",
            help="Seconds for which a page may be out of reach; at least two heartbeats and 5.",
        ),
    ] = 30.0,
    send_timeout: Annotated[
        float, _option("--send-timeout", help="Seconds for which a page may take nothing.")
    ] = 60.0,
    transport: Annotated[
        list[str],
        _option("--transport", help="Only these transports may be used. Repeatable; default: all."),
    ] = [],  # noqa: B006
    max_message_size: Annotated[
        int, _option("--max-message-size", help="Bytes of the largest message, either way.")
    ] = 16 * 1024 * 1024,
    max_sessions: Annotated[
        int, _option("--max-sessions", help="The most emulated WebSockets.")
    ] = 20_000,
    max_sessions_per_client: Annotated[
        int, _option("--max-sessions-per-client", help="The same for one address; 0 for no limit.")
    ] = 0,
    limit_concurrency: Annotated[
        int | None,
        _option("--limit-concurrency", help="The most connections and requests.", min=1),
    ] = None,
    timeout_keep_alive: Annotated[
        int,
        _option(
            "--timeout-keep-alive", help="Seconds for which an idle connection is kept.", min=1
        ),
    ] = 75,
    node: Annotated[
        str, _option("--node", help="This process's name, where several stand behind a balancer.")
    ] = "",
    log_level: Annotated[
        LogLevel, _option("--log-level", help="The least that is logged.")
    ] = LogLevel.info,
    log_format: Annotated[
        LogFormat, _option("--log-format", help="How it is logged.")
    ] = LogFormat.text,
    access_log: Annotated[
        bool,
        _option(
            "--access-log/--no-access-log",
            help="Log requests that are no carrier's; never queries.",
        ),
    ] = False,
) -> None:
    """Stand in front of a WebSocket backend, or of an application in this process.

    \b
    websocket-emulation serve ws://localhost:9000
    websocket-emulation serve --origin https://example.com wss://chat.internal/v1
    websocket-emulation serve --route /mqtt=ws://localhost:8080 --route /chat=ws://localhost:9000
    websocket-emulation serve main:app

    A page loads /emulation.js from here and uses WebSocket as ever. Each option is also a variable
    of the environment (--log-level is WEBSOCKET_EMULATION_LOG_LEVEL) and a key of the file given
    with --config (log_level = "debug"). Flags come before the environment, and that before the
    file.
    """
    is_app = target is not None and "://" not in target
    if is_app and route:
        raise typer.BadParameter("A route needs backends: give no application beside it.")
    if target is None and not route:
        raise typer.BadParameter("Say in front of what: websocket-emulation serve ws://host:port")
    if is_app and ":" not in (target or ""):
        raise typer.BadParameter(f"{target!r} is neither a URL nor module:name.")
    tls = _given(
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
        ssl_keyfile_password=ssl_keyfile_password,
        ssl_ca_certs=ssl_ca_certs,
        ssl_cert_reqs=ssl_cert_reqs,
        ssl_ciphers=ssl_ciphers,
    )
    if tls and not ssl_certfile:
        # Nothing would be encrypted, without a word.
        option = next(iter(tls)).replace("_", "-")
        raise typer.BadParameter(f"--{option} is of no use without --ssl-certfile.")
    settings = Settings(
        routes={}
        if is_app
        else _checked(parse_routes, target, route, hint="'target' or '--route'"),
        app=target if is_app and target else "",
        origins=origin,
        host=host,
        port=port,
        unix=unix,
        admin=_checked(parse_address, admin, hint="'--admin'") if admin else None,
        admin_token=admin_token,
        doctor=doctor,
        forwarded_allow_ips=[
            item.strip() for item in forwarded_allow_ips.split(",") if item.strip()
        ],
        access_log=access_log,
        timeout_keep_alive=timeout_keep_alive,
        limit_concurrency=limit_concurrency,
        tls=tls,
        pass_host=pass_host,
        backend_ca=backend_ca,
        backend_timeout=backend_timeout,
        emulation={
            "heartbeat": heartbeat,
            "poll_time": poll_time,
            "resume_time": resume_time,
            "send_timeout": send_timeout,
            "max_message_size": max_message_size,
            "max_sessions": max_sessions,
            "max_sessions_per_client": max_sessions_per_client,
            **_given(node=node, transports=transport),
        },
    )
    logs.set_up(log_level.value, as_json=log_format is LogFormat.json)
    if is_app:
        sys.path.insert(0, "")
    _checked(run, settings)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


@app.command()
def lab(
    mode: Annotated[str, typer.Argument(help=f"One of: {', '.join(MODES)}.")],
    to: Annotated[str, typer.Option(help="HOST:PORT of the server.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="The port; 0 for any free one.", min=0, max=65535)
    ] = 8001,
    option: Annotated[
        list[str],
        typer.Option("--set", "-s", help="An option of the mode: name=value. Repeatable."),
    ] = [],  # noqa: B006
    then: Annotated[
        list[str],
        typer.Option(help="A mode that follows. Repeatable; behind the last comes the first."),
    ] = [],  # noqa: B006
    every: Annotated[float, typer.Option(help="Seconds of each mode.", min=0.1)] = 10.0,
) -> None:
    """Stand before a server as an intermediary that misbehaves in a chosen way.

    \b
    websocket-emulation lab blackhole --to localhost:8000
    websocket-emulation lab drop --to localhost:8000 --set after=10000 --set probability=0.5
    websocket-emulation lab plain --to localhost:8000 --then buffer --then blackhole --every 20
    """
    server = _checked(parse_address, to, hint="'--to'")
    for name in (mode, *then):
        if name not in MODES:
            raise typer.BadParameter(f"there is no mode {name!r}; there are {', '.join(MODES)}.")
    options = dict(_checked(_lab_option, mode, text) for text in option)
    _checked(lambda: MODES[mode](**options))  # what they say together
    turns: list[tuple[str, dict[str, object]]] = [(mode, options), *((name, {}) for name in then)]
    logs.set_up("info", as_json=False)
    try:
        asyncio.run(_run_lab(Lab(server, host=host, port=port), turns, every))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        typer.echo(f"The lab cannot listen at {host}, port {port}: {error.strerror}.", err=True)
        raise typer.Exit(_CANNOT_LISTEN) from None


@app.command()
def doctor(
    url: Annotated[
        str,
        typer.Argument(help="Of a WebSocket, or of a server: http(s)://… or ws(s)://…."),
    ],
    header: Annotated[
        list[str],
        typer.Option("--header", "-H", help="With every request: 'Name: value'. Repeatable."),
    ] = [],  # noqa: B006
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca", help="The authorities of its certificate.", exists=True, dir_okay=False
        ),
    ] = None,
) -> None:
    """Try each transport against a running server, and say what passes.

    \b
    websocket-emulation doctor https://example.com/chat
    websocket-emulation doctor http://localhost:8000

    Where the server runs with --doctor its checks are used: messages are echoed, and streams timed.
    Otherwise a WebSocket is opened and closed at the URL itself.

    The exit status is 0 where WebSocket works, 1 where only others do, 2 where nothing does.
    """
    headers = [_checked(_header, text, hint="'--header'") for text in header]
    try:
        status = _checked(asyncio.run, examine(url, headers=headers, ca=ca, say=typer.echo))
    except Unreachable as unreachable:
        typer.echo(str(unreachable), err=True)
        status = NOTHING
    raise typer.Exit(status)


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator or not name.strip():
        raise ValueError(f"{text!r} is no header; give 'Name: value'.")
    header = name.strip(), value.strip()
    encoded([header])  # for what it raises
    return header


def _lab_option(mode: str, text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    known = inspect.signature(MODES[mode]).parameters
    if name not in known:
        raise ValueError(f"the mode {mode} has no option {name!r}; it has {', '.join(known)}.")
    option = known[name]
    if isinstance(option.default, str):
        return name, value
    is_whole = str(option.annotation).startswith(("int", "bool"))
    try:
        number = int(value) if is_whole else float(value)
    except ValueError:
        number = math.nan
    where = f"the mode {mode}, option {name}"
    if not math.isfinite(number):
        raise ValueError(f"{where}: {value!r} is no {'whole ' if is_whole else ''}number.")
    if name == "probability" and not 0 <= number <= 1:
        raise ValueError(f"{where}: {value} must be from 0 to 1.")
    least = 1 if name == "every" else 0
    if number < least:
        raise ValueError(f"{where}: {value} must be at least {least}.")
    return name, number


async def _run_lab(lab: Lab, turns: list[tuple[str, dict[str, object]]], seconds: float) -> None:
    logger = logging.getLogger("emulation_server.lab")
    lab.set_mode(turns[0][0], **turns[0][1])
    async with lab:
        logger.info("listening on %s as %s", lab.url, turns[0][0])
        for mode, options in itertools.islice(itertools.cycle(turns), 1, None):
            await asyncio.sleep(seconds)
            if len(turns) > 1:
                lab.set_mode(mode, **options)
                logger.info("now %s", mode)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        print(version("websocket-emulation"))
        raise typer.Exit


@app.callback()
def main_options(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """WebSocket for pages and servers where WebSockets do not get through."""


def main() -> None:
    """Run the command."""
    app()
