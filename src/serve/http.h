/* The HTTP side, over libmicrohttpd: connections become exchanges, and exchanges become responses. */
#ifndef RUBATO_SERVE_HTTP_H
#define RUBATO_SERVE_HTTP_H

#include "serve/server.h"

typedef struct http http;

/* Starts to listen. *port receives the port; with options->port 0 the system chooses it. */
rubato_status http_start(http **out, server *owner, unsigned *port, rubato_error *error);

/* Refuses new connections; open ones may finish. */
void http_refuse(http *self);

/* Whether every request that has arrived is answered and the answer sent, and, with `with_visitors`, no connection is
 * open. */
bool http_is_quiet(http *self, bool with_visitors);

/* Waits until no exchange waits for the dispatcher, which goes on meanwhile, then closes everything. */
void http_stop(http *self);

#endif
