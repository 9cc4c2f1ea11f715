/* The HTTP side: connections become exchanges and exchanges responses. Over libmicrohttpd. */
#ifndef RUBATO_SERVE_HTTP_H
#define RUBATO_SERVE_HTTP_H

#include "serve/server.h"

typedef struct http http;

/* Listens. *port receives the port, which options->port 0 leaves to the system. */
rubato_status http_start(http **out, server *owner, unsigned *port, rubato_error *error);

/* No new connections; those that are open may finish. */
void http_refuse(http *self);

/* Waits until every exchange was answered and sent, at most so long, then closes everything. */
void http_stop(http *self, double most_ms);

#endif
