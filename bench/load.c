/* A load generator for HTTP on one thread. In the open loop requests arrive at random times, whether or not earlier ones
 * were answered, and latency counts from the time at which a request was due. In the closed loop a fixed number of
 * requests is open at a time.
 *
 *   load PORT PATH BODIES --rate N | --concurrency N [--seconds S] [--header "Name: value"] [--seed N] [--from N]
 *
 * BODIES holds one request body in each line; they are sent in turn. Each request has a line on standard output:
 *   index of the body, status (0: connection lost, -1: not answered before the end), due second, milliseconds,
 *   x-rubato-point, x-rubato-flops-ratio, body of the answer */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
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

enum { MOST_CONNECTIONS = 4000, MOST_EVENTS = 256, LEAST_ROOM = 4096 };

typedef struct connection {
    int socket; /* -1: none */
    bool busy, connecting;
    size_t body, sent;
    double due;
    char *request, *in;
    size_t request_bytes, request_room, in_bytes, in_room;
} connection;

typedef struct load {
    int port, poll;
    const char *path, *header;
    char **bodies;
    size_t body_count, next_body, answered, lost;
    connection all[MOST_CONNECTIONS];
    size_t open, idle[MOST_CONNECTIONS], idle_count;
    double begin;
    bool closed_loop;
    double end;
} load;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double uniform(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (double)((x ^ x >> 31) >> 11) * 0x1p-53;
}

static void *room(void *memory, size_t *have, size_t want) {
    if (want <= *have) return memory;
    *have = want + want / 2 + LEAST_ROOM;
    memory = realloc(memory, *have);
    if (!memory) abort();
    return memory;
}

static void finish(const load *self, const connection *c, int status, const char *point, const char *ratio,
                   const char *body, size_t bytes) {
    double now = now_s();
    printf("%zu\t%d\t%.4f\t%.3f\t%s\t%s\t%.*s\n", c->body, status, c->due - self->begin, 1e3 * (now - c->due), point,
           ratio, (int)bytes, body);
}

static void watch(load *self, connection *c, bool fresh, uint32_t what) {
    struct epoll_event event = {.events = what, .data.ptr = c};
    epoll_ctl(self->poll, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->socket, &event);
}

/* Closes a connection. An idle one is in the list of idle connections already. */
static void drop(load *self, connection *c) {
    close(c->socket);
    c->socket = -1;
    if (!c->busy) return;
    finish(self, c, 0, "", "", "", 0);
    self->lost++;
    c->busy = false;
    self->idle[self->idle_count++] = (size_t)(c - self->all);
}

static void push(load *self, connection *c) {
    while (c->sent < c->request_bytes) {
        ssize_t n = send(c->socket, c->request + c->sent, c->request_bytes - c->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch(self, c, false, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n <= 0) {
            drop(self, c);
            return;
        }
        c->sent += (size_t)n;
    }
    watch(self, c, false, EPOLLIN);
}

/* Sends the request that is due at that time, over a free connection or a new one. */
static void begin_request(load *self, double due) {
    connection *c;
    if (self->idle_count)
        c = &self->all[self->idle[--self->idle_count]];
    else if (self->open < MOST_CONNECTIONS) {
        c = &self->all[self->open++];
        c->socket = -1;
    } else {
        self->lost++;
        return;
    }
    c->body = self->next_body++ % self->body_count;
    c->due = due;
    c->busy = true;
    c->sent = c->in_bytes = 0;
    const char *body = self->bodies[c->body];
    size_t bytes = strlen(body), most = bytes + strlen(self->path) + strlen(self->header) + 256;
    c->request = room(c->request, &c->request_room, most);
    c->request_bytes = (size_t)snprintf(
        c->request, most,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s%sContent-Length: %zu\r\n\r\n%s",
        self->path, self->header, *self->header ? "\r\n" : "", bytes, body);
    if (c->socket < 0) {
        struct sockaddr_in to = {
            .sin_family = AF_INET, .sin_port = htons((uint16_t)self->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int one = 1;
        c->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->connecting = connect(c->socket, (struct sockaddr *)&to, sizeof to) != 0;
        watch(self, c, true, EPOLLIN | EPOLLOUT);
        if (c->connecting) return;
    }
    push(self, c);
}

static void header_value(const char *head, const char *name, char *out, size_t size) {
    const char *at = strcasestr(head, name);
    *out = 0;
    if (!at) return;
    at += strlen(name);
    size_t length = strcspn(at, "\r\n");
    snprintf(out, size, "%.*s", (int)length, at);
}

/* Reads the received bytes; true when the answer is whole. */
static bool pull(load *self, connection *c) {
    for (;;) {
        c->in = room(c->in, &c->in_room, c->in_bytes + 65536);
        ssize_t n = recv(c->socket, c->in + c->in_bytes, c->in_room - c->in_bytes - 1, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n <= 0) {
            drop(self, c);
            return false;
        }
        c->in_bytes += (size_t)n;
        c->in[c->in_bytes] = 0;
    }
    char *body = c->busy ? strstr(c->in, "\r\n\r\n") : NULL;
    if (!body) return false;
    *body = 0;
    body += 4;
    char length[32], point[64], ratio[32];
    header_value(c->in, "content-length: ", length, sizeof length);
    size_t bytes = strtoul(length, NULL, 10), have = c->in_bytes - (size_t)(body - c->in);
    if (have < bytes) {
        body[-4] = '\r';
        return false;
    }
    header_value(c->in, "x-rubato-point: ", point, sizeof point);
    header_value(c->in, "x-rubato-flops-ratio: ", ratio, sizeof ratio);
    finish(self, c, atoi(c->in + 9), point, ratio, body, bytes);
    self->answered++;
    c->busy = false;
    self->idle[self->idle_count++] = (size_t)(c - self->all);
    return true;
}

static void handle(load *self, double wait_s) {
    struct epoll_event events[MOST_EVENTS];
    struct timespec wait = {.tv_sec = (time_t)wait_s, .tv_nsec = (long)(1e9 * (wait_s - floor(wait_s)))};
    int count = epoll_pwait2(self->poll, events, MOST_EVENTS, &wait, NULL);
    for (int i = 0; i < count; i++) {
        connection *c = events[i].data.ptr;
        if (c->socket < 0) continue;
        if (events[i].events & EPOLLOUT && c->busy) {
            c->connecting = false;
            push(self, c);
        }
        if (c->socket >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && pull(self, c) &&
            self->closed_loop && now_s() < self->end)
            begin_request(self, now_s());
    }
}

static void read_bodies(load *self, const char *path) {
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t room_bytes = 0, most = 0;
    ssize_t bytes;
    if (!in) {
        perror(path);
        exit(2);
    }
    while ((bytes = getline(&line, &room_bytes, in)) > 0) {
        if (line[bytes - 1] == '\n') line[bytes - 1] = 0;
        if (self->body_count == most)
            self->bodies = realloc(self->bodies, (most = 2 * most + 64) * sizeof *self->bodies);
        self->bodies[self->body_count++] = strdup(line);
    }
    free(line);
    fclose(in);
}

int main(int argc, char **argv) {
    static load self;
    double rate = 0, seconds = 10;
    long concurrency = 0;
    uint64_t seed = 1;
    if (argc < 4) {
        fputs("load PORT PATH BODIES --rate N | --concurrency N [--seconds S] [--header H] [--seed N] [--from N]\n",
              stderr);
        return 2;
    }
    self.port = atoi(argv[1]);
    self.path = argv[2];
    self.header = "";
    read_bodies(&self, argv[3]);
    for (int i = 4; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rate") == 0) rate = atof(argv[i + 1]);
        if (strcmp(argv[i], "--concurrency") == 0) concurrency = atol(argv[i + 1]);
        if (strcmp(argv[i], "--seconds") == 0) seconds = atof(argv[i + 1]);
        if (strcmp(argv[i], "--header") == 0) self.header = argv[i + 1];
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--from") == 0) self.next_body = strtoull(argv[i + 1], NULL, 10);
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    self.poll = epoll_create1(0);
    self.begin = now_s();
    self.end = self.begin + seconds;
    self.closed_loop = concurrency > 0;
    for (long i = 0; i < concurrency; i++) begin_request(&self, now_s());
    double due = self.begin;
    while (now_s() < self.end) {
        if (!self.closed_loop)
            while (due <= now_s()) {
                begin_request(&self, due);
                due += -log(1 - uniform(&seed)) / rate;
            }
        double wait = self.closed_loop ? 0.05 : due - now_s();
        handle(&self, wait > 0 ? wait : 0);
    }
    double over = now_s();
    while (now_s() < over + 10) { /* waits for open requests */
        size_t busy = 0;
        for (size_t i = 0; i < self.open; i++) busy += self.all[i].busy;
        if (!busy) break;
        handle(&self, 0.02);
    }
    for (size_t i = 0; i < self.open; i++)
        if (self.all[i].busy) finish(&self, &self.all[i], -1, "", "", "", 0);
    fprintf(stderr, "%zu answered in %.2f s, %zu lost\n", self.answered, over - self.begin, self.lost);
    return 0;
}
