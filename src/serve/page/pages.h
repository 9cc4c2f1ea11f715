/* The server's pages as bytes, made at build time from the files beside this one. */
#ifndef RUBATO_SERVE_PAGE_PAGES_H
#define RUBATO_SERVE_PAGE_PAGES_H

#include <stddef.h>

extern const unsigned char page_playground_html[], page_docs_html[], page_openapi_json[];
extern const size_t page_playground_html_size, page_docs_html_size, page_openapi_json_size;

#endif
