/* The version of this library, and how it was built. */
#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "task/commit.h"
#include "kernels/table.h"
#include "rubato.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char *rubato_version(void) {
    return RUBATO_VERSION_STRING;
}

static const struct {
    const char *name, *words;
} sets[] = {{"scalar", "portable C"},
            {"neon", "NEON instructions"},
            {"dotprod", "NEON dot product instructions"},
            {"i8mm", "NEON matrix instructions"},
            {"avx2", "AVX2 instructions"},
            {"avxvnni", "AVX2 and AVX-VNNI instructions"},
            {"avx512", "AVX-512 instructions"},
            {"vnni", "AVX-512 VNNI instructions"},
            {"bf16", "AVX-512 BF16 instructions"},
            {"amx", "AMX tile instructions"}};
enum { SETS = sizeof sets / sizeof sets[0] };

const char *rubato_isa_words(const char *isa) {
    for (size_t i = 0; i < SETS; i++)
        if (strcmp(isa, sets[i].name) == 0) return sets[i].words;
    return isa;
}

static void list_kernels(char *out, size_t bytes) {
    size_t at = 0;
    for (size_t i = 0; i < SETS && at < bytes; i++)
        if (kernel_table_named(sets[i].name))
            at += (size_t)snprintf(out + at, bytes - at, "%s%s", at ? " " : "", sets[i].name);
}

const char *rubato_build_fact(size_t index, char *value, size_t bytes) {
    char kernels[64] = "";
    list_kernels(kernels, sizeof kernels);
    const struct {
        const char *name, *value;
    } facts[] = {{"commit", *RUBATO_COMMIT ? RUBATO_COMMIT : "unknown"},
                 {"compiler", COMPILER},
                 {"build_type", RUBATO_BUILD_TYPE},
                 {"instruction_sets", kernels},
                 {"kernels", rubato_isa_words(kernel_table_best()->name)},
                 {"no_tiles", kernel_table_no_tiles()},
                 {"jansson", jansson_version_str()},
                 {"utf8proc", utf8proc_version()},
                 {"libcurl", curl_version_info(CURLVERSION_NOW)->version},
                 {"libcrypto", OpenSSL_version(OPENSSL_VERSION)}};
    if (index >= sizeof facts / sizeof facts[0]) return NULL;
    if (value && bytes) snprintf(value, bytes, "%s", facts[index].value);
    return facts[index].name;
}
