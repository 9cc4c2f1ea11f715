/* rubato serve: models behind HTTP. Options also come from the environment, by text-embeddings-inference's names. */
#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/truth.h"
#include "cli/command.h"
#include "serve/serve.h"

static const char *or_environment(const char *given, const char *name) {
    const char *value = getenv(name);
    return given ? given : value && *value ? value : NULL;
}

/* "20ms", "0.05s" or a number of milliseconds. */
static int slo_option(double *out, const char *text) {
    char *end;
    *out = 0;
    if (!text) return EXIT_OK;
    double value = strtod(text, &end);
    if (strcmp(end, "s") == 0)
        value *= 1e3;
    else if (*end && strcmp(end, "ms") != 0)
        value = NAN;
    if (end == text || !(value > 0) || !isfinite(value)) return report_usage("--slo %s: use 20ms or 0.02s", text);
    *out = value;
    return EXIT_OK;
}

/* Containers set HOSTNAME to a name; only an address is used. */
static const char *host_option(const char *given) {
    unsigned char address[16];
    const char *value = or_environment(NULL, "HOSTNAME");
    if (given) return given;
    return value && (inet_pton(AF_INET, value, address) == 1 || inet_pton(AF_INET6, value, address) == 1) ? value
                                                                                                          : NULL;
}

/* A precision by Rubato's names, or from DTYPE in text-embeddings-inference's form; f16 weights are computed in f32. */
static const char *precision_option(const char *given) {
    const char *value = or_environment(given, "DTYPE");
    if (!value) return NULL;
    if (strcmp(value, "float32") == 0 || strcmp(value, "float16") == 0) return "f32";
    return strcmp(value, "bfloat16") == 0 ? "bf16" : value;
}

/* `value`: NULL leaves *out as it is. */
static int truth_option(bool *out, const char *name, const char *value) {
    if (!value || truth_read(out, value)) return EXIT_OK;
    fprintf(stderr, "rubato: %s %.60s: use %s\n", name, value, TRUTH_WORDS);
    return EXIT_USAGE;
}

static int run(const arguments *given) {
    bool truncates = true, json_logs = given->serve.json_log;
    int status = truth_option(&truncates, "--auto-truncate", given->serve.auto_truncate);
    if (status == EXIT_OK) status = truth_option(&json_logs, "JSON_OUTPUT", or_environment(NULL, "JSON_OUTPUT"));
    if (status != EXIT_OK) return status;
    serve_options options = {.models = given->models,
                             .model_count = given->model_count,
                             .host = host_option(given->serve.host),
                             .port = given->serve.port ? (unsigned)given->serve.port : 3000,
                             .threads = given->context.threads,
                             .context_tokens = given->context.batch_tokens,
                             .isa = given->context.isa,
                             .precision = precision_option(given->load.precision),
                             .max_batch_tokens = given->serve.max_batch_tokens,
                             .max_queue = given->serve.max_queue,
                             .max_client_batch = given->serve.max_client_batch_size,
                             .max_body = given->serve.max_body,
                             .client_ms = 1e3 * (double)given->serve.client_timeout,
                             .api_key = given->serve.api_key,
                             .budget = given->run.budget,
                             .tls_cert = given->serve.tls_cert,
                             .tls_key = given->serve.tls_key,
                             .cors = given->serve.cors_allow_origin,
                             .refuse_long = !truncates,
                             .json_logs = json_logs,
                             .log_texts = given->serve.log_texts,
                             .silent = given->quiet};
    status = slo_option(&options.slo_ms, given->serve.slo);
    if (status != EXIT_OK) return status;
    rubato_error error;
    return serve_run(&options, &error) == RUBATO_OK ? EXIT_OK : report(&error);
}

const command command_serve = {
    .name = "serve",
    .operands = "MODEL [MODEL...]",
    .summary = "Serves models over HTTP, to clients of text-embeddings-inference, OpenAI, Cohere and Jina; with --slo "
               "it keeps its deadline under load by choosing cheaper operating points.",
    .options = "serve.* run.budget load.precision context.* quiet help",
    .examples =
        "  rubato serve build/models/all-MiniLM-L6-v2\n"
        "  rubato serve sentiment --slo 50ms --port 8080\n"
        "  rubato serve embed=build/models/all-MiniLM-L6-v2 mood=models/sentiment --api-key $KEY\n"
        "  curl localhost:3000/embed -H 'Content-Type: application/json' -d '{\"inputs\": \"a text\"}'\n"
        "Open http://localhost:3000/ for a page to try it, /docs for all paths. SIGTERM ends it after the accepted\n"
        "requests are answered, a second one at once; SIGHUP loads the models again. The environment variables\n"
        "HOSTNAME (an address), DTYPE and JSON_OUTPUT=true stand for --host, --precision and --log json.\n",
    .run = run};
