/* The log: one line for each request, as text or as JSON. It holds the users' texts only where an option asks for
 * them. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "serve/json_text.h"
#include "serve/server.h"

static void add_time(text_buffer *out) {
    struct timespec now;
    struct tm parts;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    text_add_format(out, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

static void write_json_line(text_buffer *out, const exchange *e, int status, double ms, size_t tokens) {
    bool answered = e->count && status == 200;
    text_add_string(out, "{\"time\":\"");
    add_time(out);
    text_add_format(out, "\",\"id\":");
    text_add_json(out, e->id, strlen(e->id));
    text_add_format(out, ",\"method\":");
    text_add_json(out, e->method, strlen(e->method));
    text_add_format(out, ",\"path\":");
    text_add_json(out, e->path, strlen(e->path));
    text_add_format(out, ",\"status\":%d,\"ms\":%.2f", status, ms);
    if (answered) {
        text_add_format(out, ",\"texts\":%zu,\"tokens\":%zu,\"point\":\"%s\",\"queue_ms\":%.2f,\"compute_ms\":%.2f",
                        e->count, tokens, e->items[0].cost.point, e->waited_ms, e->running_ms);
        if (e->model) {
            text_add_string(out, ",\"model\":");
            text_add_json(out, e->model->name, strlen(e->model->name));
        }
        if (e->server->options.log_texts) {
            text_add_string(out, ",\"text\":");
            text_add_json(out, e->items[0].input.text, e->items[0].input.text_bytes);
        }
    }
    text_add_string(out, "}\n");
}

static void write_line(text_buffer *out, const exchange *e, int status, double ms, size_t tokens) {
    bool answered = e->count && status == 200;
    add_time(out);
    text_add_format(out, " %s %s %s %d %.1f ms", e->id, e->method, e->path, status, ms);
    if (answered)
        text_add_format(out, ", %zu text%s, %zu tokens, %s, queue %.1f ms, compute %.1f ms", e->count,
                        e->count == 1 ? "" : "s", tokens, e->items[0].cost.point, e->waited_ms, e->running_ms);
    if (answered && e->server->options.log_texts) {
        text_add_string(out, ", ");
        text_add_json(out, e->items[0].input.text, e->items[0].input.text_bytes);
    }
    text_add(out, "\n", 1);
}

void journal_exchange(const exchange *e, int status) {
    text_buffer out = {0};
    double ms = e->sent_ms - e->arrived_ms;
    size_t tokens = 0;
    if (e->server->options.silent) return;
    for (size_t i = 0; i < e->count; i++) tokens += e->items[i].tokens;
    if (e->server->options.json_logs)
        write_json_line(&out, e, status, ms, tokens);
    else
        write_line(&out, e, status, ms, tokens);
    if (!out.failed) fwrite(out.data, 1, out.length, stderr);
    text_free(&out);
}
