/* rubato --version: the version and how the program was built. */
#include <string.h>

#include "cli/command.h"
#include "serve/serve.h"

static void print_fact(bool json, const char *name, const char *value) {
    if (json) {
        printf(", \"%s\": ", name);
        print_json_string(value, strlen(value));
    } else {
        printf("  %-17s %s\n", name, value);
    }
}

int print_version(bool json) {
    const char *name;
    char value[128];
    printf(json ? "{\"version\": \"%s\"" : "rubato %s\n", rubato_version());
    for (size_t i = 0; (name = rubato_build_fact(i, value, sizeof value)); i++) print_fact(json, name, value);
    print_fact(json, "libmicrohttpd", serve_http_version());
    if (json) puts("}");
    return finish_output(EXIT_OK);
}
