/* The load of the benchmarks: one thread, epoll, closed loops of as many clients as are asked for.
 *
 *     load PROTOCOL PORT PID echo CLIENTS WINDOW SIZE WARMUP SECONDS
 *     load PROTOCOL PORT PID open SLOTS WARMUP SECONDS
 *     load PROTOCOL PORT PID steps
 *
 * The last one does what the lines of its standard input say, and keeps its sessions between them:
 *
 *     sessions N              open more, until there are N
 *     talk CLIENTS SECONDS    an echo of the first so many sessions, one message at a time
 *     rest SECONDS            only answer what the server asks for
 *     fan ROUNDS              one message to all, so many times
 *     lose                    forget all sessions without a word
 *
 * A message is filler, '@', the time it was sent in 16 hexadecimal digits, and '~'; it is found in
 * what comes whatever the framing. For our own protocols all of docs/protocol.md that a client
 * checks is checked besides: heads, sections, the order of numbers, acknowledgements, the header of
 * a 204, credit, `end`. Whatever is not as it should be ends the program with a sentence.
 *
 * Each result is one line of JSON; PID is the server's, whose CPU time is measured too.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARK 18               /* '@', 16 digits, '~' */
#define PART 16384            /* of an upload, section 3 */
#define WS_PART 65536
#define ACK_FRAMES 256        /* a quarter of the window, section 5.1 */
#define ACK_BYTES (256 * 1024)
#define OPENING 32            /* sessions that are opened at a time */
#define NAME 23
#define SPARE 500             /* descriptors that are left to the server, which has as many */
#define BACKLOG 500           /* connections that wait for their first answer: servers queue 2,048 */
#define KEEP 3000000000u      /* ns; servers close what is idle for 5 s or more */

enum protocol {
    OUR_WS, OUR_STREAM, OUR_POLL, OUR_SSE,
    RAW_WS, RAW_STREAM, RAW_POLL,
    EIO_WS, EIO_POLL,
    SJS_WS, SJS_STREAM, SJS_POLL,
};
static const char *const names[] = {
    "our-ws", "our-stream", "our-poll", "our-sse",
    "raw-ws", "raw-stream", "raw-poll",
    "eio-ws", "eio-poll",
    "sjs-ws", "sjs-stream", "sjs-poll",
};

typedef struct { char *data; size_t size, capacity; } buffer;

enum state { CLOSED, IDLE, HEAD, LENGTH, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, SOCKET };

typedef struct {
    int fd;
    enum state state;
    bool wants_out, closes, is_new;
    int status;
    size_t left, need;
    uint64_t idle_since;
    buffer in, out;
    buffer again; /* the request on a connection that is used again, should it be closed meanwhile */
    struct client *client;
} conn;

typedef struct client {
    conn down, up;
    enum { NEW, OPENED, READY } stage;
    bool is_uploading, owes_upload, is_events;
    char key[NAME], nonce[NAME], secret[64], node[40], ticket[NAME], sid[64];
    unsigned pending;               /* messages to be sent */
    size_t cut;                     /* bytes of the present message that have been sent */
    char tail[MARK];                /* the end of what was searched, for a mark that was cut */
    unsigned tail_size;
    uint64_t attach, uploads;
    uint64_t sent, sent_bytes, credit_bytes, credit_frames, largest_upload;
    uint64_t received, received_told, unacknowledged_bytes;
    uint64_t repeats; /* of the frames that come next, those that have come before */
    buffer down_frames, up_frames;
    size_t down_offset;
    bool is_down_headed, is_ended;
    unsigned round;
    int slot;
} client;

static enum protocol protocol;
static int port, epoll_fd, server_pid;
static size_t message_size = 64;
static client *clients;
static int count, opening, ready, wanted;
static int connections, most_connections, new_connections;
static bool is_crowded; /* an upload waits for a new connection */
static bool is_measuring;
static uint64_t echoes, opened_sessions, last_echo;
static unsigned window_size = 1;
static void (*on_message)(client *, uint64_t sent);
static char *scratch, *message;
#define SCRATCH (512 * 1024)

/* --- Small things ------------------------------------------------------------------------------*/

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "load %s: ", names[protocol]);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static bool is(enum protocol first, enum protocol last) {
    return protocol >= first && protocol <= last;
}

static bool is_ours(void) { return is(OUR_WS, OUR_SSE); }

static bool is_native(void) {
    return protocol == OUR_WS || protocol == RAW_WS || protocol == EIO_WS || protocol == SJS_WS;
}

static bool polls(void) {
    return protocol == OUR_POLL || protocol == RAW_POLL || protocol == EIO_POLL ||
           protocol == SJS_POLL;
}

static void reserve(buffer *to, size_t more) {
    if (to->size + more <= to->capacity) return;
    size_t capacity = to->capacity ? to->capacity * 2 : 256;
    while (capacity < to->size + more) capacity *= 2;
    to->data = realloc(to->data, capacity);
    if (!to->data) die("no memory");
    to->capacity = capacity;
}

static void append(buffer *to, const void *data, size_t size) {
    reserve(to, size);
    memcpy(to->data + to->size, data, size);
    to->size += size;
}

static void drop(buffer *of, size_t size) {
    of->size -= size;
    if (of->size) memmove(of->data, of->data + size, of->size);
}

static void release(buffer *which) {
    free(which->data);
    *which = (buffer){0};
}

static void print(buffer *to, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size >= (int)sizeof text) die("a text is too long");
    append(to, text, (size_t)size);
}

static void draw_name(char *name) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static uint64_t seed;
    if (!seed) seed = now() ^ ((uint64_t)getpid() << 32);
    for (int i = 0; i < NAME - 1; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        name[i] = alphabet[seed >> 58];
    }
    name[NAME - 2] = 'A'; /* 128 bits: the last of 22 characters has two */
    name[NAME - 1] = 0;
}

static void write_mark(char *at) {
    static const char digits[] = "0123456789abcdef";
    uint64_t time = now();
    at[0] = '@';
    for (int i = 16; i > 0; i--, time >>= 4) at[i] = digits[time & 15];
    at[17] = '~';
}

/* Write the message of this moment into `message`. */
static void compose(void) { write_mark(message + message_size - MARK); }

static uint64_t mark_of(const char *at) {
    uint64_t time = 0;
    for (int i = 1; i <= 16; i++)
        time = time << 4 | (uint64_t)(at[i] <= '9' ? at[i] - '0' : at[i] - 'a' + 10);
    return time;
}

/* Find the marks in what came, also those that a cut has parted. */
static void search(client *c, const char *data, size_t size) {
    if (c->tail_size) {
        char joined[2 * MARK];
        size_t more = size < MARK ? size : MARK;
        memcpy(joined, c->tail, c->tail_size);
        memcpy(joined + c->tail_size, data, more);
        if (c->tail_size + more < MARK) {
            memcpy(c->tail + c->tail_size, data, more);
            c->tail_size += (unsigned)more;
            return;
        }
        size_t used = MARK - c->tail_size;
        c->tail_size = 0;
        on_message(c, mark_of(joined));
        data += used;
        size -= used;
    }
    const char *at = data, *end = data + size;
    while ((at = memchr(at, '@', (size_t)(end - at)))) {
        if (end - at < MARK) {
            c->tail_size = (unsigned)(end - at);
            memcpy(c->tail, at, c->tail_size);
            return;
        }
        on_message(c, mark_of(at));
        at += MARK;
    }
}

/* --- Connections -------------------------------------------------------------------------------*/

static void settle(conn *which) {
    if (which->is_new) new_connections--;
    which->is_new = false;
}

static void close_conn(conn *which) {
    if (which->state != CLOSED) {
        close(which->fd);
        connections--;
        settle(which);
    }
    which->state = CLOSED;
    release(&which->in);
    release(&which->out);
    release(&which->again);
    which->wants_out = false;
}

static void open_conn(conn *which) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    which->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (which->fd < 0) die("socket: %s", strerror(errno));
    /* Never waited for: where the server's backlog is full, that is a second and more. */
    if (connect(which->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    int one = 1;
    setsockopt(which->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = which};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, which->fd, &event);
    connections++;
    new_connections++;
    which->is_new = true;
    which->state = IDLE;
    which->need = 0;
    which->idle_since = 0;
}

static void flush(conn *which) {
    size_t done = 0;
    while (done < which->out.size) {
        ssize_t size = send(which->fd, which->out.data + done, which->out.size - done,
                            MSG_NOSIGNAL);
        if (size < 0) {
            if (errno == EAGAIN) break;
            if (!which->again.size) die("send: %s", strerror(errno));
            done = which->out.size; /* on_gone sends it again */
            break;
        }
        done += (size_t)size;
    }
    drop(&which->out, done);
    if (!which->out.size && which->out.capacity > 4096) release(&which->out);
    bool wants_out = which->out.size > 0;
    if (wants_out != which->wants_out) {
        which->wants_out = wants_out;
        struct epoll_event event = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0),
                                    .data.ptr = which};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, which->fd, &event);
    }
}

/* Every request has what a browser's would have, Origin included. */
static void request(conn *which, const char *method, const char *path, const char *type,
                    const char *body, size_t size) {
    if (which->state == IDLE && which->idle_since && now() - which->idle_since > KEEP)
        close_conn(which);
    if (which->state == CLOSED) open_conn(which);
    if (which->state != IDLE) die("two requests on one connection");
    buffer *out = &which->out;
    print(out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: load\r\nAccept: */*\r\n"
               "Origin: http://127.0.0.1:%d\r\nSec-Fetch-Site: same-origin\r\n", method, path, port, port);
    if (type) print(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, size);
    append(out, "\r\n", 2);
    if (size) append(out, body, size);
    which->again.size = 0;
    if (which->idle_since) append(&which->again, out->data, out->size);
    which->state = HEAD;
    flush(which);
}

static void handshake(conn *which, const char *path, const char *subprotocol) {
    open_conn(which);
    print(&which->out,
          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: load\r\n"
          "Origin: http://127.0.0.1:%d\r\nSec-Fetch-Site: same-origin\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
          path, port, port);
    if (subprotocol) print(&which->out, "Sec-WebSocket-Protocol: %s\r\n", subprotocol);
    append(&which->out, "\r\n", 2);
    which->state = HEAD;
    flush(which);
}

/* Put one frame of a native WebSocket into the buffer; the mask of zeros costs a server the same. */
static void frame(conn *which, int opcode, const char *data, size_t size) {
    unsigned char head[14] = {(unsigned char)(0x80 | opcode)};
    size_t used = 2;
    if (size < 126) {
        head[1] = (unsigned char)(0x80 | size);
    } else if (size < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(size >> 8);
        head[3] = (unsigned char)size;
        used = 4;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++) head[2 + i] = (unsigned char)(size >> (56 - 8 * i));
        used = 10;
    }
    memset(head + used, 0, 4);
    append(&which->out, head, used + 4);
    append(&which->out, data, size);
}

/* --- Sessions ----------------------------------------------------------------------------------*/

static void start(client *c);
static void upload(client *c);
static void on_ready(client *c);

static void path_of(client *c, char *path, const char *verb) {
    sprintf(path, "/?emulation=%s.%s", verb, c->key);
}

static void put_frame(buffer *to, int kind, const char *data, size_t size) {
    unsigned char head[6];
    size_t used = 0, digits = 1;
    head[used++] = (unsigned char)kind;
    for (size_t rest = size; rest >>= 7;) digits++;
    while (digits--) head[used++] = (unsigned char)((size >> (7 * digits) & 0x7f) | (digits ? 0x80 : 0));
    append(to, head, used);
    if (data) append(to, data, size);
}

static void put_document(buffer *to, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put_frame(to, 0x40, text, (size_t)size);
}

static void put_end(buffer *to) { put_document(to, "[\"end\",%zu]", to->size); }

static void put_head(buffer *to, client *c, uint64_t number) {
    to->size = 0;
    put_document(to, "[\"head\",1,\"%s\",%lu,\"%s\"]", c->secret, number, c->node);
}

static void put_section(buffer *to, client *c, uint64_t first) {
    put_document(to, "[\"section\",1,%lu,%lu]", c->received, first);
    c->received_told = c->received;
    c->unacknowledged_bytes = 0;
    c->owes_upload = false;
}

static buffer body; /* of the request that is being made */

static void ask(client *c, conn *which, const char *verb) {
    char path[128];
    path_of(c, path, verb);
    request(which, "POST", path, "application/octet-stream", body.data, body.size);
}

static void attach(client *c, const char *verb) {
    put_head(&body, c, ++c->attach);
    put_section(&body, c, 0);
    put_end(&body);
    if (c->down_frames.size) die("a downstream has ended within a frame");
    c->is_down_headed = c->is_ended = false;
    c->down_offset = 0;
    ask(c, &c->down, verb);
}

static void start(client *c) {
    char path[128];
    draw_name(c->key);
    draw_name(c->nonce);
    opening++;
    c->stage = NEW;
    switch (protocol) {
    case OUR_WS: {
        char subprotocol[64];
        path_of(c, path, "ws");
        sprintf(subprotocol, "emulation.%s", c->nonce);
        handshake(&c->down, path, subprotocol);
        break;
    }
    case OUR_STREAM: case OUR_POLL: case OUR_SSE:
        put_head(&body, c, 1);
        put_document(&body, "[\"open\",1,\"%s\",[],\"%s\"]", c->nonce, names[protocol] + 4);
        put_end(&body);
        ask(c, &c->down, "open");
        break;
    case RAW_WS: handshake(&c->down, "/", NULL); break;
    case RAW_STREAM:
        sprintf(path, "/stream?%s", c->key);
        request(&c->down, "GET", path, NULL, NULL, 0);
        break;
    case RAW_POLL:
        sprintf(path, "/open?%s", c->key);
        request(&c->down, "POST", path, "application/octet-stream", NULL, 0);
        break;
    case EIO_WS: handshake(&c->down, "/engine.io/?EIO=4&transport=websocket", NULL); break;
    case EIO_POLL:
        request(&c->down, "GET", "/engine.io/?EIO=4&transport=polling", NULL, NULL, 0);
        break;
    case SJS_WS:
        sprintf(path, "/echo/000/%s/websocket", c->key);
        handshake(&c->down, path, NULL);
        break;
    case SJS_STREAM: case SJS_POLL:
        sprintf(path, "/echo/000/%s/%s", c->key, polls() ? "xhr" : "xhr_streaming");
        request(&c->down, "POST", path, "text/plain", NULL, 0);
        break;
    }
}

/* Ask again for what comes down. */
static void renew(client *c) {
    char path[128];
    switch (protocol) {
    case OUR_STREAM: attach(c, "stream"); break;
    case OUR_POLL: attach(c, "poll"); break;
    case OUR_SSE:
        c->is_events = !c->is_events && *c->ticket;
        if (!c->is_events) {
            attach(c, "ticket");
            break;
        }
        c->is_down_headed = c->is_ended = false;
        c->down_offset = 0;
        sprintf(path, "/?emulation=sse.%s.%s", c->key, c->ticket);
        *c->ticket = 0;
        request(&c->down, "GET", path, NULL, NULL, 0);
        break;
    case RAW_POLL:
        sprintf(path, "/poll?%s", c->key);
        request(&c->down, "GET", path, NULL, NULL, 0);
        break;
    case EIO_POLL:
        sprintf(path, "/engine.io/?EIO=4&transport=polling&sid=%s", c->sid);
        request(&c->down, "GET", path, NULL, NULL, 0);
        break;
    case SJS_STREAM: case SJS_POLL:
        sprintf(path, "/echo/000/%s/%s", c->key, polls() ? "xhr" : "xhr_streaming");
        request(&c->down, "POST", path, "text/plain", NULL, 0);
        break;
    default: die("a downstream has ended");
    }
}

static void now_ready(client *c) {
    if (c->stage == READY) return;
    c->stage = READY;
    opening--;
    ready++;
    on_ready(c);
}

/* Forget the session without a word, as a page that is gone. */
static void abandon(client *c) {
    if (c->stage == READY) ready--;
    close_conn(&c->down);
    close_conn(&c->up);
    release(&c->down_frames);
    release(&c->up_frames);
    int slot = c->slot;
    memset(c, 0, sizeof *c);
    c->down.client = c->up.client = c;
    c->slot = slot;
}

/* --- What we send ------------------------------------------------------------------------------*/

/* Take the next piece of what is to be sent; 0 where credit does not allow it yet. */
static size_t next_piece(client *c, size_t most, bool *is_last) {
    size_t left = message_size - c->cut;
    size_t size = left < most ? left : most;
    if (c->sent_bytes + size > c->credit_bytes || c->sent + 1 > c->credit_frames) return 0;
    if (!c->cut) compose();
    *is_last = size == left;
    c->sent++;
    c->sent_bytes += size;
    c->cut += size;
    return size;
}

static void end_message(client *c) {
    c->cut = 0;
    c->pending--;
}

/* Frames of messages, cut as section 3 has it, as far as credit and the size of a body go. */
static void put_parts(client *c, size_t limit) {
    size_t size;
    bool is_last;
    while (c->pending && body.size + PART + 64 <= limit && (size = next_piece(c, PART, &is_last))) {
        put_frame(&body, is_last ? 0x01 : 0x03, message + c->cut - size, size);
        if (is_last) end_message(c);
    }
}

static void upload_ours(client *c) {
    put_head(&body, c, ++c->uploads);
    uint64_t sent = c->sent;
    put_section(&body, c, c->pending ? sent + 1 : 0);
    put_parts(c, c->largest_upload - 64);
    if (c->pending && c->sent == sent) {
        /* No credit: only the acknowledgement goes. */
        put_head(&body, c, c->uploads);
        put_section(&body, c, 0);
    }
    put_end(&body);
    c->is_uploading = true;
    ask(c, &c->up, "send");
}

static void upload_peer(client *c, const char *path, const char *type, const char *open_text,
                        const char *prefix, const char *between, const char *close_text) {
    body.size = 0;
    append(&body, open_text, strlen(open_text));
    for (bool first = true; c->pending; c->pending--, first = false) {
        if (!first) append(&body, between, strlen(between));
        append(&body, prefix, strlen(prefix));
        compose();
        append(&body, message, message_size);
    }
    append(&body, close_text, strlen(close_text));
    c->is_uploading = true;
    request(&c->up, "POST", path, type, body.data, body.size);
}

static void send_ours_native(client *c) {
    size_t size;
    bool is_last;
    while (c->pending && (size = next_piece(c, WS_PART, &is_last))) {
        if (!is_last) frame(&c->down, 1, "\0[\"part\"]", 9);
        frame(&c->down, 1, message + c->cut - size, size);
        if (is_last) end_message(c);
    }
    if (c->owes_upload) {
        char text[64];
        int length = sprintf(text + 1, "[\"ack\",%lu]", c->received) + 1;
        text[0] = 0;
        frame(&c->down, 1, text, (size_t)length);
        c->received_told = c->received;
        c->unacknowledged_bytes = 0;
        c->owes_upload = false;
    }
    flush(&c->down);
}

static void send_native(client *c) {
    if (protocol == OUR_WS) {
        send_ours_native(c);
        return;
    }
    for (; c->pending; c->pending--) {
        compose();
        switch (protocol) {
        case RAW_WS: frame(&c->down, 1, message, message_size); break;
        case EIO_WS:
            body.size = 0;
            append(&body, "4", 1);
            append(&body, message, message_size);
            frame(&c->down, 1, body.data, body.size);
            break;
        case SJS_WS:
            body.size = 0;
            append(&body, "[\"", 2);
            append(&body, message, message_size);
            append(&body, "\"]", 2);
            frame(&c->down, 1, body.data, body.size);
            break;
        default: break;
        }
    }
    flush(&c->down);
}

/* Send what waits, unless an upload is under way. */
static void upload(client *c) {
    char path[128];
    if (c->stage != READY || c->is_uploading) return;
    if (!c->pending && !c->owes_upload) return;
    if (is_native()) {
        send_native(c);
        return;
    }
    if (c->up.state == CLOSED &&
        (connections >= most_connections || new_connections >= BACKLOG)) {
        is_crowded = true;
        return;
    }
    switch (protocol) {
    case OUR_STREAM: case OUR_POLL: case OUR_SSE: upload_ours(c); break;
    case RAW_STREAM: case RAW_POLL:
        sprintf(path, "/send?%s", c->key);
        upload_peer(c, path, "application/octet-stream", "", "", "\n", "");
        break;
    case EIO_POLL:
        if (!c->pending) { /* a ping is to be answered */
            c->owes_upload = false;
            sprintf(path, "/engine.io/?EIO=4&transport=polling&sid=%s", c->sid);
            c->is_uploading = true;
            request(&c->up, "POST", path, "text/plain;charset=UTF-8", "3", 1);
            break;
        }
        sprintf(path, "/engine.io/?EIO=4&transport=polling&sid=%s", c->sid);
        upload_peer(c, path, "text/plain;charset=UTF-8", "", "4", "\x1e", "");
        break;
    default:
        sprintf(path, "/echo/000/%s/xhr_send", c->key);
        upload_peer(c, path, "text/plain", "[\"", "", "\",\"", "\"]");
    }
}

/* --- What comes: our protocol --------------------------------------------------------------------*/

/* Return where the element of this index of a JSON array stands; documents hold no nested commas
 * before the elements that are asked for. */
static const char *element(const char *text, int index) {
    const char *at = text + 1;
    while (index-- && at) {
        at = strchr(at, ',');
        if (at) at++;
    }
    if (!at) die("a document is too short: %s", text);
    return at;
}

static uint64_t number(const char *text, int index) {
    return strtoull(element(text, index), NULL, 10);
}

static void copy_string(const char *text, int index, char *to, size_t room) {
    const char *at = element(text, index);
    const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
    if (!end || (size_t)(end - at) > room) die("a string that is none: %s", text);
    memcpy(to, at + 1, (size_t)(end - at - 1));
    to[end - at - 1] = 0;
}

static uint64_t member(const char *text, const char *name) {
    const char *at = strstr(text, name);
    if (!at) die("no %s in %s", name, text);
    return strtoull(at + strlen(name), NULL, 10);
}

static void take_frames(client *c, uint64_t frames, size_t size) {
    c->received += frames;
    c->unacknowledged_bytes += size;
    if (protocol == OUR_POLL) return; /* its answers are read whole, and the next poll tells it */
    if (c->received - c->received_told >= ACK_FRAMES || c->unacknowledged_bytes >= ACK_BYTES)
        c->owes_upload = true;
}

static void check_head(client *c, const char *text, uint64_t wanted_number) {
    char key[64];
    if (strncmp(text, "[\"head\",", 8) || number(text, 1) != 1) die("no head: %s", text);
    copy_string(text, 2, key, sizeof key);
    if (strcmp(key, c->key) || number(text, 3) != wanted_number)
        die("another request's head: %s", text);
}

static void take_opened(client *c, const char *text) {
    c->credit_bytes = member(text, "\"bytes\":");
    c->credit_frames = member(text, "\"frames\":");
    c->largest_upload = member(text, "\"upload\":");
}

/* Take a document of an answer; `is_down` where it came on a downstream. */
static void take_document(client *c, const char *text, size_t offset, bool is_down) {
    if (!strncmp(text, "[\"section\",", 11)) {
        uint64_t first = number(text, 3);
        if (number(text, 1) != 1) die("another socket: %s", text);
        if (number(text, 2) > c->sent) die("an ack of what was never sent: %s", text);
        c->repeats = first && first <= c->received ? c->received + 1 - first : 0;
        /* What the answer to an upload has brought, a poll may bring again. */
        if ((first && first > c->received + 1) || (c->repeats && protocol != OUR_POLL))
            die("a gap or a repeat: %s, %lu", text, c->received);
    } else if (!strncmp(text, "[\"credit\",", 10)) {
        uint64_t size = number(text, 1), frames = number(text, 2);
        if (size > c->credit_bytes) c->credit_bytes = size;
        if (frames > c->credit_frames) c->credit_frames = frames;
    } else if (!strncmp(text, "[\"end\",", 7)) {
        if (number(text, 1) != offset) die("a wrong count: %s, %zu", text, offset);
        c->is_ended = true;
    } else if (!strncmp(text, "[\"ping\"", 7)) {
        c->owes_upload = true;
    } else if (!strncmp(text, "[\"secret\",", 10)) {
        copy_string(text, 1, c->secret, sizeof c->secret);
        copy_string(text, 2, c->node, sizeof c->node);
    } else if (!strncmp(text, "[\"opened\",", 10)) {
        take_opened(c, text);
        c->stage = OPENED;
    } else if (!strncmp(text, "[\"ticket\",", 10)) {
        copy_string(text, 1, c->ticket, sizeof c->ticket);
    } else if (strncmp(text, "[\"written\",", 11) && strncmp(text, "[\"opening\",", 11) &&
               strncmp(text, "[\"flows\"", 8)) {
        die("an unexpected document (%s): %s", is_down ? "down" : "up", text);
    }
}

/* Take what came of a body in the binary form; returns when no frame is whole any more. */
static void take_binary(client *c, buffer *frames, size_t *base, bool *is_headed,
                        uint64_t head_number, bool is_down) {
    size_t at = 0;
    while (frames->size - at >= 2 && !c->is_ended) {
        const unsigned char *data = (const unsigned char *)frames->data + at;
        size_t available = frames->size - at, length = 0, used = 1;
        do {
            if (used >= available) goto out;
            length = length << 7 | (data[used] & 0x7f);
        } while (data[used++] & 0x80);
        if (available < used + length) break;
        const char *payload = (const char *)data + used;
        if (data[0] == 0x40) {
            char text[1024];
            if (length >= sizeof text) die("a document is too long");
            memcpy(text, payload, length);
            text[length] = 0;
            if (!*is_headed) {
                check_head(c, text, head_number);
                *is_headed = true;
            } else {
                take_document(c, text, *base + at, is_down);
            }
        } else if (!*is_headed) {
            die("frames before the head");
        } else if (data[0] >= 1 && data[0] <= 4 && c->repeats) {
            c->repeats--;
        } else if (data[0] >= 1 && data[0] <= 4) {
            take_frames(c, 1, length);
            search(c, payload, length);
        } else {
            die("a frame of type %d", data[0]);
        }
        at += used + length;
    }
out:
    *base += at;
    drop(frames, at);
    if (!frames->size && frames->capacity > 4096) release(frames);
}

static const char *end_of_string(const char *at, const char *end) {
    for (at++; at < end; at++) {
        if (*at == '\\') at++;
        else if (*at == '"') return at;
    }
    die("a string without its end");
    return NULL;
}

/* Take one line of the JSON form. */
static void take_line(client *c, const char *line, size_t size) {
    const char *at = line, *end = line + size;
    if (size < 2 || *at != '[' || end[-1] != ']') die("a line that is no array");
    at++;
    while (at < end - 1) {
        if (*at == '"') {
            const char *close = end_of_string(at, end);
            take_frames(c, 1, (size_t)(close - at - 1));
            search(c, at + 1, (size_t)(close - at - 1));
            at = close + 1;
        } else if (*at == '[') {
            const char *close = at;
            int depth = 0;
            do {
                if (*close == '[') depth++;
                else if (*close == ']') depth--;
                else if (*close == '"') close = end_of_string(close, end);
                close++;
            } while (depth && close < end);
            if (close - at > 5 && !strncmp(at, "[\"t\",", 5)) {
                take_frames(c, 1, (size_t)(close - at - 7));
                search(c, at, (size_t)(close - at));
            } else {
                char text[1024];
                if ((size_t)(close - at) >= sizeof text) die("a document is too long");
                memcpy(text, at, (size_t)(close - at));
                text[close - at] = 0;
                if (!c->is_down_headed) {
                    check_head(c, text, c->attach);
                    c->is_down_headed = true;
                } else {
                    take_document(c, text, c->down_offset, true);
                }
            }
            at = close;
        } else if (*at == ',') {
            at++;
        } else {
            die("a line that is not JSON: %.*s", (int)size, line);
        }
    }
    c->down_offset += size + 1;
}

static void take_events(client *c) {
    size_t at = 0;
    buffer *events = &c->down_frames;
    for (;;) {
        const char *line = events->data + at;
        const char *end = memchr(line, '\n', events->size - at);
        if (!end) break;
        size_t size = (size_t)(end - line);
        if (size > 6 && !memcmp(line, "data: ", 6)) {
            size -= 6;
            line += 6;
            if (line[size - 1] == '\r') size--;
            take_line(c, line, size);
        } else if (size > 1 && line[0] != ':') {
            die("no event: %.*s", (int)size, line);
        }
        at = (size_t)(end - events->data) + 1;
    }
    drop(events, at);
    if (!events->size && events->capacity > 4096) release(events);
}

static void take_our_message(client *c, const char *data, size_t size) {
    char text[1024];
    if (!size || data[0]) {
        take_frames(c, 1, size);
        search(c, data, size);
        return;
    }
    if (size > sizeof text) die("a document is too long");
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    if (!strncmp(text, "[\"ack\",", 7)) {
        if (number(text, 1) > c->sent) die("an ack of what was never sent");
    } else if (strncmp(text, "[\"hello\"", 8) && strncmp(text, "[\"part\"", 7)) {
        take_document(c, text, 0, true);
    }
    if (c->stage == OPENED) {
        char head[128];
        int length = sprintf(head + 1, "[\"head\",1,\"\",1,\"\"]") + 1;
        head[0] = 0;
        frame(&c->down, 1, head, (size_t)length);
        flush(&c->down);
        now_ready(c);
    }
}

/* --- What comes --------------------------------------------------------------------------------*/

static void on_native(client *c, int opcode, const char *data, size_t size) {
    if (opcode == 8) die("the server has closed");
    if (opcode == 9) {
        frame(&c->down, 10, data, size);
        flush(&c->down);
        return;
    }
    switch (protocol) {
    case OUR_WS: take_our_message(c, data, size); break;
    case EIO_WS:
        if (c->stage == NEW) {
            now_ready(c);
        } else if (size == 1 && data[0] == '2') {
            frame(&c->down, 1, "3", 1);
            flush(&c->down);
        } else {
            search(c, data, size);
        }
        break;
    case SJS_WS:
        if (c->stage == NEW) now_ready(c);
        else search(c, data, size);
        break;
    default: search(c, data, size);
    }
}

static void on_head(conn *which, const char *head, size_t size) {
    client *c = which->client;
    if (which->status == 101) {
        if (protocol == RAW_WS) now_ready(c);
        return;
    }
    if (which->status != 200 && which->status != 204) die("answered with %.*s", (int)size, head);
    if (protocol == RAW_STREAM && which == &c->down) now_ready(c);
    if (which == &c->up && is_ours() && which->status == 204) {
        char expected[96];
        int length = sprintf(expected, "\nemulation: 1 %s %lu ", c->key, c->uploads);
        const char *at = memmem(head, size, expected, (size_t)length);
        uint64_t attach_number = 0, frames = 0;
        if (!at || sscanf(at + length, "%lu %lu", &attach_number, &frames) != 2)
            die("a 204 without its header: %.*s", (int)size, head);
    }
}

static void take_eio_session(client *c, const char *data, size_t size) {
    const char *at = memmem(data, size, "\"sid\":\"", 7);
    if (!at) die("no session id");
    const char *end = memchr(at + 7, '"', size - (size_t)(at + 7 - data));
    if (!end || end - at > 60) die("no session id");
    memcpy(c->sid, at + 7, (size_t)(end - at - 7));
    c->stage = OPENED;
}

static void on_body(conn *which, const char *data, size_t size) {
    client *c = which->client;
    bool is_down = which == &c->down;
    if (is_ours()) {
        if (is_down && c->is_events) {
            append(&c->down_frames, data, size);
            take_events(c);
            if (c->is_down_headed) now_ready(c);
        } else if (is_down) {
            append(&c->down_frames, data, size);
            take_binary(c, &c->down_frames, &c->down_offset, &c->is_down_headed,
                        c->stage == NEW ? 1 : c->attach, true);
            if (protocol == OUR_STREAM && c->stage == OPENED && c->attach && c->is_down_headed)
                now_ready(c);
        } else {
            append(&c->up_frames, data, size); /* read whole: see on_end */
        }
        return;
    }
    if (!is_down) return;
    if (c->stage == NEW) {
        if (protocol == EIO_POLL) take_eio_session(c, data, size);
        else if (is(SJS_STREAM, SJS_POLL) && memmem(data, size, "o\n", 2)) {
            c->stage = OPENED;
            if (protocol == SJS_STREAM) now_ready(c);
        }
        return;
    }
    if (protocol == EIO_POLL && (data[0] == '2' || memmem(data, size, "\x1e" "2", 2)))
        c->owes_upload = true;
    search(c, data, size);
}

static void take_answer(client *c) {
    if (c->up_frames.size) {
        size_t base = 0;
        bool is_headed = false;
        bool was_ended = c->is_ended;
        c->is_ended = false;
        take_binary(c, &c->up_frames, &base, &is_headed, c->uploads, false);
        if (!is_headed || !c->is_ended) die("an answer without head or end");
        c->is_ended = was_ended;
    }
}

static void on_end(conn *which) {
    client *c = which->client;
    which->idle_since = now();
    if (which->closes) close_conn(which);
    if (which == &c->up) {
        if (is_ours()) take_answer(c);
        c->is_uploading = false;
        upload(c);
        return;
    }
    if (is_ours() && !c->is_ended) die("a body without end");
    if (protocol == RAW_POLL && c->stage == NEW) c->stage = OPENED;
    if (c->stage == NEW) die("the session was not opened");
    renew(c);
    if (polls() && c->stage == OPENED) now_ready(c);
    else upload(c);
}

static size_t parse_head(conn *which, const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t used = (size_t)(end - data) + 4;
    which->status = atoi(data + 9);
    which->left = 0;
    which->closes = false;
    enum state next = LENGTH;
    for (const char *line = data; line < end;) {
        line = (const char *)memchr(line, '\n', used) + 1;
        if (!strncasecmp(line, "content-length:", 15)) which->left = strtoul(line + 15, NULL, 10);
        else if (!strncasecmp(line, "transfer-encoding:", 18)) next = CHUNK_SIZE;
        else if (!strncasecmp(line, "connection: close", 17)) which->closes = true;
        if (line > end) break;
    }
    if (which->status == 101) next = SOCKET;
    if (which->status == 204) which->left = 0;
    which->state = next;
    on_head(which, data, used);
    return used;
}

static size_t parse_native(conn *which, const char *data, size_t size) {
    if (size < 2) return 0;
    const unsigned char *bytes = (const unsigned char *)data;
    size_t length = bytes[1] & 0x7f, used = 2;
    if (length == 126) {
        if (size < 4) return 0;
        length = (size_t)bytes[2] << 8 | bytes[3];
        used = 4;
    } else if (length == 127) {
        if (size < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | bytes[i];
        used = 10;
    }
    if (size < used + length) {
        which->need = used + length;
        return 0;
    }
    on_native(which->client, bytes[0] & 15, data + used, length);
    return used + length;
}

/* Take what came, as far as it is whole; returns how much that was. */
static size_t parse(conn *which, const char *data, size_t size) {
    size_t at = 0;
    for (;;) {
        size_t left = size - at, used = 0;
        const char *here = data + at;
        switch (which->state) {
        case HEAD: used = left ? parse_head(which, here, left) : 0;
            if (!used) return at;
            break;
        case LENGTH:
            used = left < which->left ? left : which->left;
            if (used) on_body(which, here, used);
            if (which->state == CLOSED) return size;
            which->left -= used;
            if (!which->left) {
                which->state = IDLE;
                on_end(which);
            } else if (!used) {
                return at;
            }
            break;
        case CHUNK_SIZE: {
            const char *end = left ? memmem(here, left, "\r\n", 2) : NULL;
            if (!end) return at;
            which->left = strtoul(here, NULL, 16);
            used = (size_t)(end - here) + 2;
            which->state = which->left ? CHUNK : TRAILER;
            break;
        }
        case CHUNK:
            if (!left) return at;
            used = left < which->left ? left : which->left;
            on_body(which, here, used);
            if (which->state == CLOSED) return size;
            which->left -= used;
            if (!which->left) which->state = CHUNK_END;
            break;
        case CHUNK_END: case TRAILER:
            if (left < 2) return at;
            used = 2;
            if (which->state == TRAILER) {
                which->state = IDLE;
                on_end(which);
            } else {
                which->state = CHUNK_SIZE;
            }
            break;
        case SOCKET:
            used = parse_native(which, here, left);
            if (!used) return at;
            break;
        case IDLE:
            if (left) die("more than was asked for");
            return at;
        case CLOSED: return size;
        }
        if (which->state == CLOSED) return size;
        at += used;
    }
}

static void on_gone(conn *which, const char *why) {
    /* Servers close connections that nobody uses; the next request opens another one. One that was
     * sent in the moment of the close goes again, as browsers have it (RFC 9112 section 9.3.1). */
    if (which->state == HEAD && which->again.size && !which->in.size) {
        buffer again = which->again;
        which->again = (buffer){0};
        close_conn(which);
        open_conn(which);
        append(&which->out, again.data, again.size);
        release(&again);
        which->state = HEAD;
        flush(which);
        return;
    }
    if (which->state != IDLE)
        die("the server has cut a connection (%s, state %d, stage %d): %s",
            which == &which->client->down ? "down" : "up", which->state, which->client->stage, why);
    close_conn(which);
}

static void on_readable(conn *which) {
    ssize_t size = recv(which->fd, scratch, SCRATCH, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        on_gone(which, size ? strerror(errno) : "its end");
        return;
    }
    settle(which);
    client *c = which->client;
    if (!which->in.size) {
        which->need = 0;
        size_t used = parse(which, scratch, (size_t)size);
        if (which->state != CLOSED && used < (size_t)size)
            append(&which->in, scratch + used, (size_t)size - used);
    } else {
        append(&which->in, scratch, (size_t)size);
        if (which->in.size >= which->need) {
            which->need = 0;
            /* The callbacks may close the connection and release the buffer. */
            buffer in = which->in;
            which->in = (buffer){0};
            size_t used = parse(which, in.data, in.size);
            if (which->state != CLOSED && used < in.size)
                append(&which->in, in.data + used, in.size - used);
            release(&in);
        }
    }
    upload(c);
}

static void turn(int timeout) {
    struct epoll_event events[256];
    int size = epoll_wait(epoll_fd, events, 256, timeout);
    for (int i = 0; i < size; i++) {
        conn *which = events[i].data.ptr;
        if (which->state == CLOSED) continue;
        if (events[i].events & EPOLLOUT) flush(which);
        if (events[i].events & ~(unsigned)EPOLLOUT) on_readable(which);
    }
    if (!is_crowded) return;
    is_crowded = false;
    static int turn_of;
    for (int i = 0; i < count && !is_crowded; i++) {
        client *c = &clients[turn_of++ % count];
        if (c->up.state == IDLE && connections >= most_connections) close_conn(&c->up);
        upload(c);
    }
}

/* --- Workloads ---------------------------------------------------------------------------------*/

#define STEPS 2000000 /* of 0.5 us: latencies up to a second */
static uint32_t *latencies;

static void (*ready_hook)(client *);
static void on_ready(client *c) { if (ready_hook) ready_hook(c); }

static void no_message(client *c, uint64_t sent) { (void)c; (void)sent; }

static void make_clients(int number_of) {
    wanted = number_of;
    int next = count;
    uint64_t limit = now() + 120000000000u;
    while (ready < wanted) {
        while (opening < OPENING && next < wanted) {
            clients[next].slot = next;
            clients[next].down.client = clients[next].up.client = &clients[next];
            start(&clients[next++]);
        }
        turn(1000);
        if (now() > limit) die("%d of %d sessions after 120 s", ready, wanted);
    }
    count = wanted;
}

typedef struct { uint64_t at; double server, all, own; uint64_t echoes; } sample;

static double cpu_of(int pid) {
    char path[64], text[1024];
    sprintf(path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) die("the server is gone");
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = 0;
    unsigned long user = 0, system = 0;
    sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
           &system);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double cpu_of_all(void) {
    unsigned long user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0;
    FILE *file = fopen("/proc/stat", "r");
    if (!file || fscanf(file, "cpu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system, &idle,
                        &wait, &irq, &soft) < 7)
        die("no /proc/stat");
    fclose(file);
    return (double)(user + nice + system + irq + soft) / (double)sysconf(_SC_CLK_TCK);
}

static double cpu_of_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static sample take_sample(void) {
    return (sample){now(), cpu_of(server_pid), cpu_of_all(), cpu_of_us(), echoes};
}

static void print_cpu(sample a, sample b) {
    double seconds = (double)(b.at - a.at) / 1e9, server = b.server - a.server,
           own = b.own - a.own, all = b.all - a.all, foreign = all - server - own;
    printf("\"seconds\":%.4f,\"server_cores\":%.3f,\"load_cores\":%.3f,\"foreign_cores\":%.3f",
           seconds, server / seconds, own / seconds, foreign > 0 ? foreign / seconds : 0.0);
}

static void run_until(uint64_t end) {
    for (uint64_t at; (at = now()) < end;) turn((int)((end - at) / 1000000) + 1);
}

static void on_echo(client *c, uint64_t sent) {
    uint64_t at = now();
    echoes++;
    c->pending++;
    if (is_measuring && at >= sent) {
        uint64_t step = (at - sent) / 500;
        latencies[step < STEPS ? step : STEPS - 1]++;
    }
}

/* Go on until a message has come back, for 20 s at most. */
static void run_for_an_echo(uint64_t before) {
    for (uint64_t end = now() + 20000000000u; echoes == before && now() < end;) turn(100);
}

static double quantile(double share) {
    uint64_t all = 0, seen = 0;
    for (int i = 0; i < STEPS; i++) all += latencies[i];
    for (int i = 0; i < STEPS; i++) {
        seen += latencies[i];
        if (seen && (double)seen >= share * (double)all) return i * 0.5;
    }
    return 0;
}

/* Let the first clients talk, and print what came of it. */
static void talk(int talkers, double warmup, double seconds) {
    memset(latencies, 0, STEPS * sizeof *latencies);
    on_message = on_echo;
    uint64_t echoes_before = echoes;
    for (int i = 0; i < talkers; i++) {
        clients[i].pending = window_size;
        upload(&clients[i]);
    }
    run_until(now() + (uint64_t)(warmup * 1e9));
    run_for_an_echo(echoes_before);
    sample before = take_sample();
    is_measuring = true;
    run_until(before.at + (uint64_t)(seconds * 1e9));
    run_for_an_echo(before.echoes);
    sample after = take_sample();
    is_measuring = false;
    uint64_t messages = after.echoes - before.echoes;
    if (!messages) die("no message has come back");
    double elapsed = (double)(after.at - before.at) / 1e9;
    printf("{\"rate\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"server_us\":%.2f,",
           (double)messages / elapsed, quantile(0.5), quantile(0.99),
           (after.server - before.server) * 1e6 / (double)messages);
    print_cpu(before, after);
    puts("}");
}

static unsigned fan_round;
static int fan_missing;

static void on_fan(client *c, uint64_t sent) {
    (void)sent;
    c->round++;
    if (c->round != fan_round) die("a message came twice or not at all");
    fan_missing--;
    last_echo = now();
}

static void fan(int rounds) {
    on_message = on_fan;
    message[0] = 'F';
    sample before = take_sample();
    printf("{\"ms\":[");
    for (int round = 0; round < rounds; round++) {
        uint64_t at = now();
        fan_missing = count;
        fan_round++;
        clients[0].pending = 1;
        upload(&clients[0]);
        while (fan_missing) {
            turn(1000);
            if (now() > at + 20000000000u) die("%d have not got it in 20 s", fan_missing);
        }
        printf("%s%.2f", round ? "," : "", (double)(last_echo - at) / 1e6);
        run_until(now() + 100000000);
    }
    printf("],");
    print_cpu(before, take_sample());
    puts("}");
    message[0] = 'x';
}

static client *finished[4 * OPENING];
static int finished_count;

static void on_opened(client *c) {
    opened_sessions++;
    finished[finished_count++] = c; /* its connection is still being read from */
}

static void open_sessions(int slots, double warmup, double seconds) {
    on_message = no_message;
    ready_hook = on_opened;
    for (int i = 0; i < slots; i++) {
        clients[i].slot = i;
        clients[i].down.client = clients[i].up.client = &clients[i];
        start(&clients[i]);
    }
    uint64_t begin = now() + (uint64_t)(warmup * 1e9), end = begin + (uint64_t)(seconds * 1e9);
    sample before = {0};
    uint64_t opened_before = 0;
    while (now() < end) {
        turn(100);
        for (int i = 0; i < finished_count; i++) {
            abandon(finished[i]);
            start(finished[i]);
        }
        finished_count = 0;
        if (!before.at && now() >= begin) {
            before = take_sample();
            opened_before = opened_sessions;
        }
    }
    sample after = take_sample();
    printf("{\"rate\":%.1f,", (double)(opened_sessions - opened_before) /
                                  ((double)(after.at - before.at) / 1e9));
    print_cpu(before, after);
    puts("}");
}

static void rest(double seconds) {
    sample before = take_sample();
    run_until(before.at + (uint64_t)(seconds * 1e9));
    printf("{");
    print_cpu(before, take_sample());
    puts("}");
}

static void step(const char *line) {
    int number_of = 0;
    double seconds = 0;
    if (sscanf(line, "sessions %d", &number_of) == 1) {
        make_clients(number_of);
        run_until(now() + 700000000);
        printf("{\"sessions\":%d}\n", ready);
    } else if (sscanf(line, "talk %d %lf", &number_of, &seconds) == 2) {
        if (number_of > count) die("there are no %d sessions", number_of);
        talk(number_of, seconds / 2, seconds);
        on_message = no_message;
        run_until(now() + 500000000);
    } else if (sscanf(line, "rest %lf", &seconds) == 1) {
        rest(seconds);
    } else if (sscanf(line, "fan %d", &number_of) == 1) {
        fan(number_of);
        on_message = no_message;
    } else if (!strncmp(line, "lose", 4)) {
        for (int i = 0; i < count; i++) abandon(&clients[i]);
        count = 0;
        puts("{}");
    } else {
        die("no step: %s", line);
    }
    fflush(stdout);
}

/* What is asked for is done at once; meanwhile the server has its answers. */
static void steps(void) {
    char line[64];
    on_message = no_message;
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (;;) {
        ssize_t size = read(0, line, sizeof line - 1);
        if (size == 0) return;
        if (size > 0) {
            line[size] = 0;
            step(line);
        }
        turn(20);
    }
}

int main(int argc, char **argv) {
    if (argc < 5) die("see the head of load.c for how it is used");
    for (protocol = 0; strcmp(names[protocol], argv[1]);)
        if (++protocol == sizeof names / sizeof *names) { protocol = 0; die("no protocol %s", argv[1]); }
    port = atoi(argv[2]);
    server_pid = atoi(argv[3]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    most_connections = (int)limit.rlim_cur - SPARE;
    epoll_fd = epoll_create1(0);
    clients = calloc(20000, sizeof *clients);
    latencies = calloc(STEPS, sizeof *latencies);
    scratch = malloc(SCRATCH);
    const char *workload = argv[4];
    int numbers[3] = {0};
    for (int i = 0; i < 3 && 5 + i < argc; i++) numbers[i] = atoi(argv[5 + i]);
    if (!strcmp(workload, "echo")) message_size = (size_t)numbers[2];
    if (message_size < MARK + 1) die("a message has at least %d bytes", MARK + 1);
    message = malloc(message_size);
    memset(message, 'x', message_size);
    if (!strcmp(workload, "echo") && argc == 10) {
        window_size = (unsigned)numbers[1];
        on_message = no_message;
        make_clients(numbers[0]);
        talk(count, atof(argv[8]), atof(argv[9]));
    } else if (!strcmp(workload, "open") && argc == 8) {
        open_sessions(numbers[0], atof(argv[6]), atof(argv[7]));
    } else if (!strcmp(workload, "steps")) {
        steps();
    } else {
        die("see the head of load.c for how it is used");
    }
    return 0;
}
