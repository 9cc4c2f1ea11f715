// rubato.h as a C++ program includes it: it compiles as C++17 without a warning, and its functions link.
#include <cstdio>
#include <cstring>

#include <rubato.h>

static_assert(RUBATO_VERSION == RUBATO_VERSION_MAJOR * 10000 + RUBATO_VERSION_MINOR * 100 + RUBATO_VERSION_PATCH &&
                  RUBATO_VERSION > 0,
              "the version is a number for #if");

static int failed = 0;

static void check(const char *what, bool holds) {
    if (!holds) std::printf("FAILED %s\n", what);
    failed += !holds;
}

int main() {
    check("header and library are of one version", std::strcmp(rubato_version(), RUBATO_VERSION_STRING) == 0);
    char value[128];
    std::size_t facts = 0;
    while (const char *name = rubato_build_fact(facts, value, sizeof value)) {
        check(name, *name && *value);
        facts++;
    }
    check("facts of the build", facts >= 5);
    check("a fact fits into a buffer that is too short",
          rubato_build_fact(0, value, 2) && std::strlen(value) < 2 && rubato_build_fact(0, nullptr, 0));

    rubato_model *model = nullptr;
    rubato_error error = {};
    check("errors", rubato_model_load(&model, "no/such/folder", &error) == RUBATO_NOT_FOUND && !model && error.message[0]);
    rubato_load_options options = {};
    rubato_input input = {};
    check("structs begin as zero", !options.precision && !input.text && !input.encoding);
    check("a struct without its size", rubato_model_load_with(&model, "no/such/folder", &options, &error) == RUBATO_BAD_ARGUMENT);
    options.size = sizeof options;
    check("and with it", rubato_model_load_with(&model, "no/such/folder", &options, &error) == RUBATO_NOT_FOUND);
    std::puts(failed ? "failed" : "passed");
    return failed != 0;
}
