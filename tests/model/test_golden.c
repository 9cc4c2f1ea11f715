/* Every family and head against what `transformers` computed (tests/model/make_golden.py), on every instruction set
 * of this machine, and in the forms that checkpoints come in: bare names, gamma and beta, F16 and BF16, sharded. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "isas.h"
#include "rubato.h"
#include "store/safetensors.h"

static const char *const families[] = {"bert",
                                       "distilbert",
                                       "electra",
                                       "roberta",
                                       "xlm-roberta",
                                       "albert",
                                       "mpnet",
                                       "funnel",
                                       "funnel-plain",
                                       "funnel-whole",
                                       "mobilebert",
                                       "mobilebert-tiny",
                                       "mobilebert-plain",
                                       "longformer",
                                       "bigbird",
                                       "modernbert",
                                       "modernbert-cls",
                                       "fnet",
                                       "nystromformer",
                                       "xlnet",
                                       "nomic",
                                       "nomic-first",
                                       "gte",
                                       "gte-first",
                                       "jina-v3",
                                       "jina-bert",
                                       "reformer",
                                       "reformer-factors",
                                       "reformer-lsh"};
enum { FAMILY_COUNT = sizeof families / sizeof families[0] };

static json_t *read_json(const char *folder, const char *name) {
    char path[4096];
    rubato_error error;
    json_t *value;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (json_read_file(&value, path, (size_t)1 << 30, &error) != RUBATO_OK) fail_msg("%s", error.message);
    return value;
}

/* A temporary folder with the family's tokenizer, and config.json for one architecture. */
static void make_folder(char *folder, const char *family, const char *architecture) {
    char from[4096], to[4096], path[4096];
    snprintf(from, sizeof from, GOLDEN "/%s", family);
    strcpy(folder, "/tmp/rubato-golden-XXXXXX");
    assert_non_null(mkdtemp(folder));
    json_t *config = read_json(from, "config.json");
    json_object_set_new(config, "architectures", json_pack("[s]", architecture));
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(json_dump_file(config, path, 0), 0);
    json_decref(config);
    snprintf(to, sizeof to, "%s/tokenizer.json", folder);
    snprintf(path, sizeof path, "%s/tokenizer.json", from);
    assert_int_equal(symlink(path, to), 0);
}

static void remove_folder(const char *folder) {
    char path[4096];
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(directory);
    rmdir(folder);
}

static void link_weights(const char *folder, const char *family) {
    char from[4096], to[4096];
    snprintf(from, sizeof from, GOLDEN "/%s/model.safetensors", family);
    snprintf(to, sizeof to, "%s/model.safetensors", folder);
    assert_int_equal(symlink(from, to), 0);
}

/* What the model in `folder` makes of one case, compared; returns the largest difference. */
static double compare_case(rubato_model *model, const char *isa, size_t threads, const json_t *item) {
    rubato_context *context;
    rubato_error error;
    rubato_context_options options = {.size = sizeof options, .isa = isa, .threads = threads};
    if (rubato_context_create(&context, model, &options, &error) != RUBATO_OK) fail_msg("%s: %s", isa, error.message);
    const char *architecture = json_string_value(json_object_get(item, "architecture"));
    const json_t *values = json_object_get(item, "values"), *shape = json_object_get(item, "shape");
    rubato_input input = {.text = json_string_value(json_object_get(item, "text")),
                          .pair = json_string_value(json_object_get(item, "pair"))};
    float *out = NULL;
    size_t count = json_array_size(values), length, columns;
    const rubato_info *info = rubato_model_info(model);
    rubato_status status;
    const bool states_kind = !strstr(architecture, "For") && !strstr(architecture, "LMHead");
    if (strstr(architecture, "Classification") && !strstr(architecture, "Token")) {
        out = calloc(info->label_count, sizeof *out);
        assert_int_equal(count, info->label_count);
        status = rubato_logits(context, out, &input, 1, NULL, NULL, &error);
    } else if (strstr(architecture, "NextSentence")) {
        out = calloc(2, sizeof *out);
        status = rubato_logits(context, out, &input, 1, NULL, NULL, &error);
    } else if (!states_kind) {
        status = rubato_token_logits(context, &out, &length, &columns, &input, NULL, &error);
        if (status == RUBATO_OK) assert_int_equal(length * columns, count);
    } else {
        status = rubato_hidden_states(context, &out, &length, &input, NULL, &error);
        if (status == RUBATO_OK) assert_int_equal(length, json_integer_value(json_array_get(shape, 1)));
    }
    if (status != RUBATO_OK) fail_msg("%s: %s", architecture, error.message);
    /* ALBERT's reference lists a state for each group of inner layers: every second of ours, counted from the first */
    size_t states = (size_t)json_integer_value(json_array_get(shape, 0)), skip = 1;
    if (states_kind) skip = info->layers / (states - 1);
    double worst = 0;
    size_t each = count / states;
    for (size_t i = 0; i < count; i++) {
        size_t at = states_kind ? i / each * skip * each + i % each : i;
        double difference = fabs((double)out[at] - json_number_value(json_array_get(values, i)));
        if (!(difference <= worst)) worst = difference;
    }
    free(out);
    rubato_context_destroy(context);
    return worst;
}

static void check_family(const char *family, void (*put_weights)(const char *folder, const char *family),
                         double tolerance) {
    char from[4096];
    snprintf(from, sizeof from, GOLDEN "/%s", family);
    json_t *cases = read_json(from, "expected.json"), *item;
    size_t index;
    const char *open = "";
    rubato_model *model = NULL;
    char folder[64] = "";
    double worst = 0;
    json_array_foreach(cases, index, item) {
        const char *architecture = json_string_value(json_object_get(item, "architecture"));
        if (strcmp(open, architecture) != 0) {
            rubato_error error;
            rubato_model_destroy(model);
            if (*folder) remove_folder(folder);
            make_folder(folder, family, architecture);
            put_weights(folder, family);
            if (rubato_model_load(&model, folder, &error) != RUBATO_OK) fail_msg("%s", error.message);
            open = architecture;
        }
        for (size_t isa = 0; isa < ISA_COUNT; isa++)
            for (size_t threads = 1; threads <= 3 && isa_kernels_sampled(isa); threads += 2) {
                double difference = compare_case(model, isa_name(isa), threads, item);
                if (!(difference <= tolerance))
                    fail_msg("%s case %zu (%s, %s, %zu threads): differs by %g", family, index, architecture,
                             isa_name(isa), threads, difference);
                if (difference > worst) worst = difference;
            }
    }
    print_message("%-12s %zu cases, largest difference %.2g\n", family, json_array_size(cases), worst);
    rubato_model_destroy(model);
    remove_folder(folder);
    json_decref(cases);
}

static void test_families(void **state) {
    (void)state;
    for (size_t i = 0; i < FAMILY_COUNT; i++) check_family(families[i], link_weights, 2e-5);
}

/* ---- Other forms of the same weights ---- */

typedef struct rewriting {
    bool bare, gamma, sharded;
    dtype type;
} rewriting;

static rewriting form;

static uint16_t to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t sign = bits >> 16 & 0x8000, mantissa = bits & 0x7fffff;
    int exponent = (int)(bits >> 23 & 0xff) - 112;
    if (exponent <= 0) return (uint16_t)sign; /* small weights become 0 */
    if (exponent > 30) return (uint16_t)(sign | 0x7bff);
    uint32_t half = (uint32_t)exponent << 10 | mantissa >> 13;
    return (uint16_t)(sign | (half + (mantissa >> 12 & 1)));
}

static uint16_t to_bfloat(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void new_name(char *out, size_t bytes, const char *name) {
    static const char *const prefixes[] = {"bert.", "distilbert.", "electra.", "roberta.", "albert.", "mpnet."};
    for (size_t i = 0; form.bare && i < 6; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            name += strlen(prefixes[i]);
            break;
        }
    snprintf(out, bytes, "%s", name);
    char *tail = strstr(out, "LayerNorm.weight");
    if (form.gamma && tail) strcpy(tail, "LayerNorm.gamma");
    tail = strstr(out, "LayerNorm.bias");
    if (form.gamma && tail) strcpy(tail, "LayerNorm.beta");
}

static void write_file(const char *folder, const char *file, const tensor_file *from, size_t first, size_t step,
                       json_t *map) {
    char path[4096], name[512];
    json_t *header = json_object();
    size_t at = 0;
    for (size_t i = first; i < from->count; i += step) {
        const stored_tensor *t = &from->tensors[i];
        size_t bytes = t->elements * dtype_bits(form.type) / 8;
        json_t *shape = json_array();
        for (size_t d = 0; d < t->rank; d++) json_array_append_new(shape, json_integer((json_int_t)t->shape[d]));
        new_name(name, sizeof name, t->name);
        json_object_set_new(header, name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(form.type), "shape", shape,
                                      "data_offsets", (json_int_t)at, (json_int_t)(at + bytes)));
        json_object_set_new(map, name, json_string(file));
        at += bytes;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    uint64_t length = strlen(text);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *out = fopen(path, "wb");
    fwrite(&length, 8, 1, out);
    fwrite(text, 1, length, out);
    for (size_t i = first; i < from->count; i += step) {
        const stored_tensor *t = &from->tensors[i];
        float *values = malloc(t->elements * sizeof *values);
        dtype_read(values, t->type, t->data, 0, t->elements);
        for (size_t j = 0; j < t->elements; j++) {
            uint16_t half = form.type == DTYPE_F16 ? to_half(values[j]) : to_bfloat(values[j]);
            if (form.type == DTYPE_F32)
                fwrite(&values[j], 4, 1, out);
            else
                fwrite(&half, 2, 1, out);
        }
        free(values);
    }
    fclose(out);
    free(text);
    json_decref(header);
}

static void put_rewritten(const char *folder, const char *family) {
    char path[4096];
    tensor_file from;
    rubato_error error;
    snprintf(path, sizeof path, GOLDEN "/%s/model.safetensors", family);
    if (tensor_file_open(&from, path, safetensors_parse, NULL, &error) != RUBATO_OK) fail_msg("%s", error.message);
    json_t *map = json_object();
    if (form.sharded) {
        for (size_t i = 0; i < 3; i++) {
            snprintf(path, sizeof path, "model-0000%zu-of-00003.safetensors", i + 1);
            write_file(folder, path, &from, i, 3, map);
        }
        json_t *index = json_pack("{s:{}, s:o}", "metadata", "weight_map", map);
        snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
        json_dump_file(index, path, 0);
        json_decref(index);
    } else {
        write_file(folder, "model.safetensors", &from, 0, 1, map);
        json_decref(map);
    }
    tensor_file_close(&from);
}

static void test_forms(void **state) {
    (void)state;
    /* rounding of the weights shows in the results: half precision keeps 11 bits, bfloat16 keeps 8 */
    const struct {
        rewriting form;
        double tolerance;
    } forms[] = {{{.bare = true, .type = DTYPE_F32}, 2e-5},
                 {{.gamma = true, .type = DTYPE_F32}, 2e-5},
                 {{.sharded = true, .type = DTYPE_F32}, 2e-5},
                 {{.type = DTYPE_F16}, 0.05},
                 {{.sharded = true, .bare = true, .type = DTYPE_BF16}, 0.4}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        form = forms[i].form;
        check_family("bert", put_rewritten, forms[i].tolerance);
        check_family("electra", put_rewritten, forms[i].tolerance);
    }
}

/* ---- A text alone and in any batch ---- */

static void compare_batches(rubato_model *model, const char *isa) {
    rubato_error error;
    enum { COUNT = 57 };
    char texts[COUNT][64];
    rubato_input inputs[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t words = 1 + (i * 7) % 15, at = 0;
        for (size_t w = 0; w < words; w++)
            at += (size_t)snprintf(texts[i] + at, 64 - at, "%c ", (int)('a' + (i + w) % 26));
        inputs[i] = (rubato_input){.text = texts[i]};
    }
    float alone[COUNT][3], together[COUNT][3];
    rubato_context *one;
    rubato_context_options single = {.size = sizeof single, .threads = 1, .isa = isa};
    assert_int_equal(rubato_context_create(&one, model, &single, &error), RUBATO_OK);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(rubato_logits(one, alone[i], &inputs[i], 1, NULL, NULL, &error), RUBATO_OK);
    rubato_context_destroy(one);
    for (size_t threads = 1; threads <= 4; threads++)
        for (size_t tokens = 8; tokens <= 512; tokens *= 4) {
            rubato_context *many;
            rubato_context_options options = {
                .size = sizeof options, .threads = threads, .batch_tokens = tokens, .isa = isa};
            assert_int_equal(rubato_context_create(&many, model, &options, &error), RUBATO_OK);
            assert_int_equal(rubato_logits(many, together[0], inputs, COUNT, NULL, NULL, &error), RUBATO_OK);
            assert_memory_equal(alone, together, sizeof alone); /* to the bit */
            rubato_context_destroy(many);
        }
}

static void test_batches(void **state) {
    (void)state;
    char folder[64];
    rubato_model *model;
    rubato_error error;
    make_folder(folder, "bert", "BertForSequenceClassification");
    link_weights(folder, "bert");
    assert_int_equal(rubato_model_load(&model, folder, &error), RUBATO_OK);
    for (size_t isa = 0; isa < ISA_COUNT; isa++)
        if (isa_kernels_sampled(isa)) compare_batches(model, isa_name(isa));
    rubato_model_destroy(model);
    remove_folder(folder);
}

/* ---- Errors ---- */

static void expect_load_error(const char *folder, rubato_status status, const char *part) {
    rubato_model *model;
    rubato_error error;
    rubato_status got = rubato_model_load(&model, folder, &error);
    assert_null(model);
    if (got != status || !strstr(error.message, part))
        fail_msg("expected status %d and \"%s\", got %d: %s", (int)status, part, (int)got, error.message);
}

static void write_config(const char *folder, const char *family, const char *key, json_t *value) {
    char from[4096], path[4096];
    snprintf(from, sizeof from, GOLDEN "/%s", family);
    json_t *config = read_json(from, "config.json");
    if (key) json_object_set_new(config, key, value);
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_dump_file(config, path, 0);
    json_decref(config);
}

static void test_errors(void **state) {
    (void)state;
    char folder[64], path[4096];
    make_folder(folder, "bert", "BertModel");
    expect_load_error(folder, RUBATO_NOT_FOUND, "model.safetensors");
    link_weights(folder, "bert");
    write_config(folder, "bert", "hidden_size", json_integer(32));
    expect_load_error(folder, RUBATO_BAD_MODEL, "hidden size 32 is not a multiple of 3");
    write_config(folder, "bert", "intermediate_size", json_integer(48));
    expect_load_error(folder, RUBATO_BAD_MODEL,
                      "intermediate.dense.weight\" is [40, 24], config.json makes it [48, 24]");
    write_config(folder, "bert", "num_hidden_layers", json_integer(5));
    expect_load_error(folder, RUBATO_BAD_MODEL, "layer.3.attention.self.query.weight\" is missing");
    write_config(folder, "bert", "hidden_act", json_string("prelu"));
    expect_load_error(folder, RUBATO_UNSUPPORTED, "\"hidden_act\" is \"prelu\"; known are gelu");
    write_config(folder, "bert", "num_attention_heads", json_string("x"));
    expect_load_error(folder, RUBATO_BAD_MODEL, "\"num_attention_heads\" should be a whole number");
    write_config(folder, "bert", "id2label", json_pack("{s:s}", "7", "x"));
    write_config(folder, "bert", NULL, NULL);
    /* NaN among the weights */
    tensor_file from;
    rubato_error error;
    snprintf(path, sizeof path, GOLDEN "/bert/model.safetensors");
    assert_int_equal(tensor_file_open(&from, path, safetensors_parse, NULL, &error), RUBATO_OK);
    size_t size = from.file.size,
           at = (size_t)(tensor_file_find(&from, "bert.encoder.layer.1.output.dense.weight")->data - from.file.data);
    unsigned char *copy = malloc(size);
    memcpy(copy, from.file.data, size);
    tensor_file_close(&from);
    memset(copy + at + 40, 0xff, 4);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    unlink(path);
    FILE *out = fopen(path, "wb");
    fwrite(copy, 1, size, out);
    fclose(out);
    expect_load_error(folder, RUBATO_BAD_MODEL, "layer.1.output.dense.weight\" holds NaN");
    out = fopen(path, "wb");
    fwrite(copy, 1, size / 2, out);
    fclose(out);
    expect_load_error(folder, RUBATO_BAD_MODEL, "is it cut short?");
    free(copy);
    remove_folder(folder);
    /* the wrong task for a head */
    make_folder(folder, "bert", "BertForTokenClassification");
    link_weights(folder, "bert");
    rubato_model *model;
    rubato_context *context;
    assert_int_equal(rubato_model_load(&model, folder, &error), RUBATO_OK);
    assert_int_equal(rubato_context_create(&context, model, NULL, &error), RUBATO_OK);
    rubato_input input = {.text = "a b", .pair = "c"}, bad = {.text = "a \xff b"};
    rubato_answer_span span;
    float scores[8];
    assert_int_equal(rubato_answer(context, &span, &input, 1, NULL, NULL, &error), RUBATO_WRONG_TASK);
    assert_non_null(strstr(error.message, "a model for tagging"));
    assert_int_equal(rubato_classify(context, scores, &input, 1, NULL, NULL, &error), RUBATO_WRONG_TASK);
    rubato_tags *tags;
    rubato_input three[3] = {input, bad, input};
    assert_int_equal(rubato_tag(context, &tags, three, 3, NULL, NULL, &error), RUBATO_BAD_TEXT);
    assert_int_equal(error.line, 2);
    assert_null(tags);
    rubato_options options = {.size = sizeof options, .budget = "0.4x"};
    assert_int_equal(rubato_tag(context, &tags, &input, 1, &options, NULL, &error), RUBATO_BAD_ARGUMENT);
    rubato_context_destroy(context);
    rubato_model_destroy(model);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families), cmocka_unit_test(test_forms),
                                       cmocka_unit_test(test_batches), cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
