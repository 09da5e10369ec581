# /etc/varnish/default.vcl: the server listens on 8001. To varnishd's options add
#   -p timeout_idle=60 -p pipe_timeout=60
vcl 4.1;

backend application {
    .host = "127.0.0.1";
    .port = "8001";
    .first_byte_timeout = 60s;
    .between_bytes_timeout = 60s;
}

sub vcl_recv {
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    if (req.url ~ "[?&]emulation=") {
        return (pass);
    }
}

sub vcl_pipe {
    if (req.http.Upgrade) {
        set bereq.http.Upgrade = req.http.Upgrade;
        set bereq.http.Connection = req.http.Connection;
    }
}
