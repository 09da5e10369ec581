"""Reverse proxies: each as Debian ships it with the shortest directive, and as we recommend it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence

from tests.proxies.programs import packaged
from tests.proxies.running import Kind, Site, fill

__all__ = ["DEFAULT", "PROCESSES", "RECOMMENDED", "TLS", "UNHASHED", "mitmproxy", "squid"]

IS_ROOT = os.geteuid() == 0


def _listening(site: Site) -> str:
    return f"127.0.0.1:{site.port}"


def _certificate(site: Site) -> dict[str, object]:
    assert site.certificate is not None
    return {"/etc/ssl/example.pem": site.certificate}


def _processes(site: Site) -> dict[str, object]:
    return dict(zip(("8001", "8002", "8003"), site.servers, strict=True))


def _without(text: str, *beginnings: str) -> str:
    """Leave out the lines that begin so."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not line.lstrip().startswith(beginnings)]
    assert len(kept) == len(lines) - len(beginnings)
    return "".join(kept)


# nginx. What stands outside of `include` only keeps it from the places of an installed one, and
# lets a reload cut the connections of the workers of before.

_NGINX = """
{user}
worker_processes 1;
worker_shutdown_timeout 1s;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/client-body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type application/octet-stream;
    gzip on;
    include {site};
}}
"""

_NGINX_DEFAULT = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://127.0.0.1:{server};
    }}
}}
"""


def _nginx(content: Callable[[Site], str]) -> Kind:
    def configure(site: Site) -> list[str]:
        directory = site.directory
        configuration = _NGINX.format(
            # A worker of root's is nobody's otherwise, and cannot read the directory.
            user="user root;" if IS_ROOT else "",
            directory=directory,
            site=site.write("site.conf", content(site)),
        )
        path = site.write("nginx.conf", configuration)
        log = str(directory / "error.log")
        return ["-p", str(directory), "-c", path, "-e", log, "-g", "daemon off;"]

    return Kind("nginx", configure, signal.SIGHUP)


def _nginx_default(site: Site) -> str:
    return _NGINX_DEFAULT.format(port=site.port, server=site.server)


def _nginx_recommended(site: Site) -> str:
    listen = {"listen 8080": f"listen {_listening(site)}"}
    return fill("nginx.conf", {**listen, "8001": site.server, "60s": f"{site.idle}s"})


def _nginx_tls(site: Site) -> str:
    listen = {"listen 8443": f"listen {_listening(site)}", **_certificate(site)}
    return fill("nginx-tls.conf", {**listen, "8001": site.server, "60s": f"{site.idle}s"})


def _nginx_processes(site: Site) -> str:
    listen = {"listen 8080": f"listen {_listening(site)}"}
    return fill("nginx-processes.conf", {**listen, **_processes(site)})


# HAProxy, as a master and a worker, so that a signal reloads it.

_HAPROXY = """
global
    hard-stop-after 1s
"""

_HAPROXY_DEFAULT = """
defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
frontend web
    bind 127.0.0.1:{port}
    default_backend application
backend application
    server one 127.0.0.1:{server}
"""


def _haproxy(content: Callable[[Site], str]) -> Kind:
    def configure(site: Site) -> list[str]:
        first = site.write("global.cfg", _HAPROXY)
        second = site.write("haproxy.cfg", content(site))
        return ["-W", "-f", first, "-f", second]

    return Kind("haproxy", configure, signal.SIGUSR2)


def _haproxy_default(site: Site) -> str:
    return _HAPROXY_DEFAULT.format(port=site.port, server=site.server)


def _haproxy_recommended(site: Site) -> str:
    values = {":8080": _listening(site), "8001": site.server, "60s": f"{site.idle}s"}
    return fill("haproxy.cfg", values)


def _haproxy_tls(site: Site) -> str:
    values = {":8443": _listening(site), "8001": site.server, "60s": f"{site.idle}s"}
    return fill("haproxy-tls.cfg", {**_certificate(site), **values})


def _haproxy_processes(site: Site) -> str:
    return fill("haproxy-processes.cfg", {":8080": _listening(site), **_processes(site)})


# Apache. The modules are those that Debian enables, and the ones that the site needs.

_APACHE_MODULES = (
    "mpm_event authz_core deflate env filter mime reqtimeout headers proxy proxy_http"
).split()

_APACHE = """
ServerRoot {directory}
ServerName 127.0.0.1
DefaultRuntimeDir {directory}
PidFile {directory}/apache2.pid
Mutex pthread
ErrorLog {directory}/error.log
TypesConfig /dev/null
{user}
{modules}
Timeout 300
KeepAlive On
KeepAliveTimeout 5
RequestReadTimeout header=20-40,minrate=500
RequestReadTimeout body=10,minrate=500
AddOutputFilterByType DEFLATE text/html text/plain text/xml text/css text/javascript
Include {site}
"""

_APACHE_DEFAULT = """
Listen 127.0.0.1:{port}
<VirtualHost *:{port}>
    ProxyPass / http://127.0.0.1:{server}/
</VirtualHost>
"""


def _apache(content: Callable[[Site], str]) -> Kind:
    def configure(site: Site) -> list[str]:
        modules = packaged("usr/lib/apache2/modules")
        lines = [f"LoadModule {name}_module {modules}/mod_{name}.so" for name in _APACHE_MODULES]
        configuration = _APACHE.format(
            directory=site.directory,
            user="User nobody\nGroup nogroup" if IS_ROOT else "",
            modules="\n".join(lines),
            site=site.write("site.conf", content(site)),
        )
        path = site.write("apache2.conf", configuration)
        return ["-d", str(site.directory), "-f", path, "-DFOREGROUND"]

    return Kind("apache2", configure, signal.SIGUSR1)


def _apache_default(site: Site) -> str:
    return _APACHE_DEFAULT.format(port=site.port, server=site.server)


def _apache_recommended(site: Site) -> str:
    values = {
        "Listen 8080": f"Listen {_listening(site)}",
        "*:8080": f"*:{site.port}",
        "8001": site.server,
        "60": site.idle,
    }
    return fill("apache.conf", values)


# Varnish, whose configuration is C in the end.

_VARNISH_DEFAULT = """
vcl 4.1;
backend default {{
    .host = "127.0.0.1";
    .port = "{server}";
}}
"""


def _varnish(content: Callable[[Site], str], options: Callable[[Site], Sequence[str]]) -> Kind:
    def configure(site: Site) -> list[str]:
        vcl = site.write("default.vcl", content(site))
        private = ["-n", str(site.directory / "work"), "-s", "default,16m", "-j", "none"]
        return ["-F", *private, "-a", _listening(site), "-f", vcl, *options(site)]

    return Kind("varnishd", configure, _varnish_reload, needs=["cc"])


def _varnish_reload(site: Site) -> list[list[str]]:
    administer = ["varnishadm", "-n", str(site.directory / "work")]
    vcl = str(site.directory / "default.vcl")
    return [[*administer, "vcl.load", "anew", vcl], [*administer, "vcl.use", "anew"]]


def _varnish_default(site: Site) -> str:
    return _VARNISH_DEFAULT.format(server=site.server)


def _varnish_recommended(site: Site) -> str:
    return fill("varnish.vcl", {"8001": site.server, "60s": f"{site.idle}s"})


def _varnish_timeouts(site: Site) -> list[str]:
    names = ("timeout_idle", "pipe_timeout")
    return [word for name in names for word in ("-p", f"{name}={site.idle}")]


# Squid as an accelerator.

_SQUID = """
pid_filename {directory}/squid.pid
cache_log {directory}/cache.log
access_log stdio:{directory}/access.log
coredump_dir {directory}
mime_table {share}/mime.conf
icon_directory {share}/icons
error_directory {errors}
cache_effective_user nobody
unlinkd_program {unlinkd}
visible_hostname 127.0.0.1
pinger_enable off
shutdown_lifetime 0 seconds
"""

_SQUID_DEFAULT = """
http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1
cache_peer 127.0.0.1 parent {server} 0 no-query originserver
http_access allow all
"""


def squid(content: Callable[[Site], str]) -> Kind:
    """Return Squid with these lines behind those that keep it from an installed one's places."""

    def configure(site: Site) -> list[str]:
        own = _SQUID.format(
            directory=site.directory,
            share=packaged("usr/share/squid"),
            errors=packaged("usr/share/squid-langpack/en"),
            unlinkd=packaged("usr/lib/squid/unlinkd"),
        )
        path = site.write("squid.conf", own + content(site))
        # Several squids of one name share memory.
        return ["-N", "-f", path, "-n", f"squid{site.port}"]

    return Kind("squid", configure, signal.SIGHUP)


def _squid_default(site: Site) -> str:
    return _SQUID_DEFAULT.format(port=site.port, server=site.server)


def _squid_recommended(site: Site) -> str:
    values = {"8080": _listening(site), "8001": site.server, "60": site.idle}
    return fill("squid.conf", values)


# Traffic Server

_TRAFFIC_SERVER = """
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.body_factory.template_sets_dir STRING {directory}/etc/body_factory
CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1
"""

_RUN_ROOT = """
prefix: {directory}
exec_prefix: {directory}
bindir: {bin}
sbindir: {bin}
sysconfdir: {directory}/etc
datadir: {directory}
includedir: {directory}
libdir: {library}
libexecdir: {library}/modules
localstatedir: {directory}
runtimedir: {directory}
logdir: {directory}
mandir: {directory}
cachedir: {directory}
"""


def _traffic_server(records: Callable[[Site], str], remap: Callable[[Site], str]) -> Kind:
    def configure(site: Site) -> list[str]:
        etc = site.directory / "etc"
        shutil.copytree(packaged("etc/trafficserver"), etc, dirs_exist_ok=True)
        site.write("etc/storage.config", "")  # nothing is to be cached
        site.write("etc/remap.config", remap(site))
        with open(etc / "records.config", "a") as file:
            file.write(records(site))
        places = {
            "directory": site.directory,
            "bin": packaged("usr/bin"),
            "library": packaged("usr/lib/trafficserver"),
        }
        site.write("runroot.yaml", _RUN_ROOT.format(**places))
        return []

    # Without its manager, it is restarted to read anything anew.
    return Kind("traffic_server", configure, variables=_run_root)


def _run_root(site: Site) -> Mapping[str, str]:
    return {"TS_RUNROOT": str(site.directory / "runroot.yaml")}


def _records_default(site: Site) -> str:
    return _TRAFFIC_SERVER.format(directory=site.directory, port=site.port)


def _remap_default(site: Site) -> str:
    return f"map http://127.0.0.1:{site.port}/ http://127.0.0.1:{site.server}/\n"


def _records_recommended(site: Site) -> str:
    port = f"{site.port}:ip-in=127.0.0.1"
    values = {"STRING 8080": f"STRING {port}", "60": site.idle}
    return _records_default(site) + fill("trafficserver/records.config", values)


def _remap_recommended(site: Site) -> str:
    return fill("trafficserver/remap.config", {"8001": site.server})


# mitmproxy


def mitmproxy(content: Callable[[Site], str]) -> Kind:
    """Return mitmproxy with this configuration."""

    def configure(site: Site) -> list[str]:
        site.write("config.yaml", content(site))
        # Without a line for each message.
        options = [f"confdir={site.directory}", "flow_detail=0", "listen_host=127.0.0.1"]
        return [word for option in options for word in ("--set", option)]

    return Kind("mitmdump", configure)


def _mitmproxy_default(site: Site) -> str:
    return f"mode: ['reverse:http://127.0.0.1:{site.server}']\nlisten_port: {site.port}\n"


def _mitmproxy_recommended(site: Site) -> str:
    return fill("mitmproxy.yaml", {"8080": site.port, "8001": site.server})


DEFAULT = {
    "nginx": _nginx(_nginx_default),
    "HAProxy": _haproxy(_haproxy_default),
    "Apache": _apache(_apache_default),
    "Varnish": _varnish(_varnish_default, lambda site: ()),
    "Squid": squid(_squid_default),
    "Traffic Server": _traffic_server(_records_default, _remap_default),
    "mitmproxy": mitmproxy(_mitmproxy_default),
}

RECOMMENDED = {
    "nginx": _nginx(_nginx_recommended),
    "HAProxy": _haproxy(_haproxy_recommended),
    "Apache": _apache(_apache_recommended),
    "Varnish": _varnish(_varnish_recommended, _varnish_timeouts),
    "Squid": squid(_squid_recommended),
    "Traffic Server": _traffic_server(_records_recommended, _remap_recommended),
    "mitmproxy": mitmproxy(_mitmproxy_recommended),
}

TLS = {"nginx": _nginx(_nginx_tls), "HAProxy": _haproxy(_haproxy_tls)}

PROCESSES = {"nginx": _nginx(_nginx_processes), "HAProxy": _haproxy(_haproxy_processes)}

# As many processes, to which requests are dealt out in turn.
UNHASHED = {
    "nginx": _nginx(lambda site: _without(_nginx_processes(site), "hash ")),
    "HAProxy": _haproxy(lambda site: _without(_haproxy_processes(site), "balance ", "hash-type ")),
}
