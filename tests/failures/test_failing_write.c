/* Every allocation of what writes files fails once: trimming, quantising, training, searching, .npy. A folder or file
 * is afterwards as it was before, or as the undisturbed call leaves it; nothing temporary stays. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failures/failing.h"
#include "base/json.h"
#include "base/random.h"
#include "store/safetensors_write.h"

typedef struct writing {
    const char *out; /* the folder that is written */
    const char *old; /* what it holds before; NULL: it is not there */
    const char *model, *data;
    bool piecewise; /* files change one by one, each of them whole: a failed run may have written a model */
    bool timed;     /* rubato.json has times */
    folder_state before, after;
    bool known; /* after */
    const char *recipe, *task, *teacher, *to, *precision;
    bool resume;
} writing;

static void prepare(void *user) {
    writing *w = user;
    folder_clear(w->out);
    if (w->old) folder_copy(w->old, w->out);
    folder_read(&w->before, w->out);
}

static uint64_t find(const folder_state *in, const char *name) {
    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->files[i].name, name) == 0) return in->files[i].content;
    return 0;
}

/* Files that have times within. */
static bool is_timed(const writing *w, const char *name) {
    return strstr(name, ".jsonl") || (w->timed && strcmp(name, "rubato.json") == 0);
}

/* The first file that differs, or NULL. */
static const char *differs(const writing *w, const folder_state *a, const folder_state *b) {
    for (size_t i = 0; i < a->count; i++)
        if (!is_timed(w, a->files[i].name) && a->files[i].content != find(b, a->files[i].name)) return a->files[i].name;
    for (size_t i = 0; i < b->count; i++)
        if (!is_timed(w, b->files[i].name) && !find(a, b->files[i].name)) return b->files[i].name;
    return NULL;
}

/* A model that is there can be loaded. */
static bool is_whole(const writing *w, const folder_state *now) {
    rubato_model *model;
    const char *folder = find(now, "config.json") ? w->out : NULL;
    if (!folder || rubato_model_load(&model, folder, NULL) != RUBATO_OK) return !folder;
    rubato_model_destroy(model);
    return true;
}

static const char *look(void *user, rubato_status status) {
    static char why[256];
    writing *w = user;
    folder_state now;
    folder_read(&now, w->out);
    for (size_t i = 0; i < now.count; i++)
        if (strstr(now.files[i].name, ".part")) {
            snprintf(why, sizeof why, "%s is left", now.files[i].name);
            return why;
        }
    if (status == RUBATO_OK && !w->known) {
        w->known = true;
        w->after = now;
        return NULL;
    }
    const char *new = differs(w, &now, &w->after);
    bool good = status == RUBATO_OK ? !new : w->piecewise ? is_whole(w, &now) : !new || !differs(w, &now, &w->before);
    if (good) return NULL;
    snprintf(why, sizeof why, "the folder is neither as before nor as after; %s differs", new ? new : "");
    return why;
}

static void fail_writing(writing *w, const char *name,
                         rubato_status (*call)(void *user, digest *result, rubato_error *error), size_t exhaustive) {
    char out[128];
    snprintf(out, sizeof out, "%s/out", failing_folder());
    w->out = out;
    w->known = false;
    fail_allocations(
        &(attempt){.name = name, .call = call, .user = w, .prepare = prepare, .look = look, .exhaustive = exhaustive});
}

/* ---- Data ---- */

static const char classes[] = "text\tlabel\na b\tno\nc d e\tyes\nf g\tyes\nh\tno\ni j k l\tyes\nm n\tno\n";

static const char numbered[] = "text\tlabel\na b\t0\nc d e\t1\nf g\t2\nh\t0\ni j k l\t1\nm n\t2\n";

static const char *write_data(const char *folder, const char *name, const char *text) {
    static char paths[8][160];
    static size_t count;
    char *path = paths[count++ % 8];
    file_write(folder, name, text);
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *old_folder(void) {
    const char *folder = failing_folder();
    file_write(folder, "config.json", "{\"old\": 1}");
    file_write(folder, "model.safetensors", "old");
    return folder;
}

/* ---- A checkpoint whose layers can be narrower, which the golden ones' cannot ---- */

enum { HIDDEN = 32, INNER = 64, LAYERS = 2, POSITIONS = 19, MOST_TENSORS = 64 };

static void read_noise(const void *user, size_t first, size_t count, float *out) {
    const size_t *columns = user;
    for (size_t i = 0; i < count * *columns; i++) {
        uint64_t state = (first * *columns + i) * 1000 + *columns;
        out[i] = (float)(0.1 * (random_real(&state) - 0.5));
    }
}

typedef struct tensors {
    tensor_source sources[MOST_TENSORS];
    char names[MOST_TENSORS][96];
    size_t columns[MOST_TENSORS], count;
} tensors;

static void add(tensors *all, size_t rows, size_t columns, const char *format, size_t layer_number, const char *name) {
    size_t at = all->count++;
    snprintf(all->names[at], sizeof all->names[0], format, layer_number, name); /* NOLINT */
    all->columns[at] = columns;
    all->sources[at] = (tensor_source){.name = all->names[at],
                                       .type = DTYPE_F32,
                                       .rows = rows,
                                       .columns = columns,
                                       .read = read_noise,
                                       .user = &all->columns[at]};
}

static void make_wide_model(const char *folder) {
    static const struct {
        const char *name;
        size_t rows, columns; /* columns 0: a norm */
    } parts[] = {{"attention.self.query", HIDDEN, HIDDEN},  {"attention.self.key", HIDDEN, HIDDEN},
                 {"attention.self.value", HIDDEN, HIDDEN},  {"attention.output.dense", HIDDEN, HIDDEN},
                 {"attention.output.LayerNorm", HIDDEN, 0}, {"intermediate.dense", INNER, HIDDEN},
                 {"output.dense", HIDDEN, INNER},           {"output.LayerNorm", HIDDEN, 0}};
    static tensors all;
    char path[256];
    json_t *config;
    rubato_error error;
    const size_t sizes[] = {HIDDEN, INNER, LAYERS, 4, POSITIONS};
    static const char *const keys[] = {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                                       "max_position_embeddings"};
    make_model(folder, "bert", "BertForSequenceClassification", 3);
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (json_read_file(&config, path, 1 << 20, &error) != RUBATO_OK) fail_msg("%s", error.message);
    for (size_t i = 0; i < 5; i++) json_object_set_new(config, keys[i], json_integer((json_int_t)sizes[i]));
    if (json_dump_file(config, path, 0) != 0) fail_msg("%s: cannot be written", path);
    json_decref(config);
    all.count = 0;
    add(&all, 61, HIDDEN, "%.0zubert.embeddings.%s.weight", 0, "word_embeddings");
    add(&all, POSITIONS, HIDDEN, "%.0zubert.embeddings.%s.weight", 0, "position_embeddings");
    add(&all, 2, HIDDEN, "%.0zubert.embeddings.%s.weight", 0, "token_type_embeddings");
    add(&all, 0, HIDDEN, "%.0zubert.embeddings.%s.weight", 0, "LayerNorm");
    add(&all, 0, HIDDEN, "%.0zubert.embeddings.%s.bias", 0, "LayerNorm");
    for (size_t i = 0; i < LAYERS; i++)
        for (size_t j = 0; j < sizeof parts / sizeof *parts; j++) {
            bool matrix = parts[j].columns > 0;
            add(&all, matrix ? parts[j].rows : 0, matrix ? parts[j].columns : parts[j].rows,
                "bert.encoder.layer.%zu.%s.weight", i, parts[j].name);
            add(&all, 0, parts[j].rows, "bert.encoder.layer.%zu.%s.bias", i, parts[j].name);
        }
    add(&all, HIDDEN, HIDDEN, "%.0zubert.pooler.%s.weight", 0, "dense");
    add(&all, 0, HIDDEN, "%.0zubert.pooler.%s.bias", 0, "dense");
    add(&all, 3, HIDDEN, "%.0zu%s.weight", 0, "classifier");
    add(&all, 0, 3, "%.0zu%s.bias", 0, "classifier");
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (unlink(path) != 0 || safetensors_write(path, all.sources, all.count, NULL, &error) != RUBATO_OK)
        fail_msg("%s", error.message);
}

/* ---- Calls ---- */

static rubato_status trim(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_trim_options options = {.size = sizeof options,
                                         .model = w->model,
                                         .out = w->out,
                                         .layers = "0,2",
                                         .vocabulary = 50,
                                         .data = w->data,
                                         .positions = 12};
    rubato_trim_result *result;
    TRY(rubato_trim(&options, &result, error));
    digest_add(out, result, sizeof *result);
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status quantize(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_quantize_options options = {.size = sizeof options,
                                             .model = w->model,
                                             .out = w->out,
                                             .to = w->to,
                                             .task = w->task,
                                             .data = w->data,
                                             .smooth = w->task && strcmp(w->to, "int8") == 0 ? 0.5 : 0,
                                             .threads = 1};
    rubato_quantize_result *result;
    TRY(rubato_quantize(&options, &result, error));
    digest_add(out, &result->bytes_after, sizeof result->bytes_after);
    digest_add(out, &result->after, w->task ? sizeof result->after : 0);
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status npy(void *user, digest *out, rubato_error *error) {
    static const float numbers[] = {1, 2, 3, 4, 5, 6};
    const writing *w = user;
    char path[160];
    (void)out;
    TRY(folder_create(w->out, error));
    snprintf(path, sizeof path, "%s/a.npy", w->out);
    return rubato_npy_write(path, numbers, 2, 3, error);
}

static rubato_status train(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_train_options options = {.size = sizeof options,
                                          .model = w->model,
                                          .task = w->task,
                                          .recipe = w->recipe,
                                          .teacher = w->teacher,
                                          .data = w->data,
                                          .dev = w->teacher ? NULL : w->data,
                                          .out = w->out,
                                          .epochs = 1,
                                          .batch = 3,
                                          .threads = 1,
                                          .eval_steps = 2,
                                          .checkpoint_steps = 1,
                                          .widths = "1,0.5",
                                          .precision = w->precision,
                                          .resume = w->resume};
    rubato_train_result *result;
    TRY(rubato_train(&options, &result, error));
    digest_add(out, &result->steps, sizeof result->steps);
    digest_add(out, &result->best, w->teacher ? 0 : sizeof result->best);
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status search(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_search_options options = {.size = sizeof options,
                                           .model = w->model,
                                           .task = "classification",
                                           .data = w->data,
                                           .out = w->out,
                                           .iterations = 1,
                                           .mutations = 2,
                                           .crossovers = 1,
                                           .threads = 1,
                                           .resume = w->resume};
    rubato_search_result *result;
    TRY(rubato_search(&options, &result, error));
    digest_add(out, &result->points, sizeof result->points);
    digest_add(out, &result->full_quality, sizeof result->full_quality);
    rubato_free(result);
    return RUBATO_OK;
}

/* ---- Tests ---- */

static void test_npy(void **state) {
    (void)state;
    writing w = {0};
    fail_writing(&w, "npy_write", npy, 300);
}

static void test_trim(void **state) {
    (void)state;
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertModel", 0);
    file_write(folder, "tokenizer_config.json", "{\"model_max_length\": 100, \"added_tokens_decoder\": {\"0\": {}}}");
    file_write(folder, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n");
    writing w = {.model = folder, .data = write_data(failing_folder(), "data.tsv", classes)};
    fail_writing(&w, "trim", trim, 100);
    w.old = old_folder();
    fail_writing(&w, "trim over an older folder", trim, 20);
}

static void test_quantize(void **state) {
    (void)state;
    writing w = {.model = GOLDEN "/bert", .to = "int8"};
    fail_writing(&w, "quantize int8", quantize, 100);
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertForSequenceClassification", 3);
    file_write(folder, "rubato.json",
               "{\"significance\": \"received\", \"metric\": \"accuracy\", \"points\": [{\"name\": "
               "\"half\", \"quality\": 0.9, \"flops_ratio\": 0.5, \"ms\": 1, \"keep\": [0.5, 0.4, "
               "0.3]}]}");
    w = (writing){.model = folder,
                  .old = old_folder(),
                  .to = "int8",
                  .task = "classification",
                  .data = write_data(failing_folder(), "data.tsv", "text\tlabel\na b\t0\nc d e\t1\nf\t2\n")};
    fail_writing(&w, "quantize int8, judged and smoothed", quantize, 20);
    w.to = "bf16";
    fail_writing(&w, "quantize bf16, judged", quantize, 20);
}

static void test_train(void **state) {
    static const struct {
        const char *recipe, *task, *data, *precision;
    } runs[] = {{"finetune", "classification", classes, NULL},
                {"finetune", "classification", classes, "int8"},
                {"length-adaptive", "classification", classes, "bf16"},
                {"power-bert", "classification", classes, NULL},
                {"slimmable", "classification", numbered, NULL},
                {"branchynet", "classification", classes, NULL},
                {"fastbert", "classification", classes, NULL},
                {"act", "classification", classes, NULL},
                {"dynabert", "classification", numbered, NULL},
                {"anytime", "classification", numbered, NULL},
                {"finetune", "sts", "text\tpair\tlabel\na b\tc\t1\nd\te f\t3\ng\th i\t5\n", NULL},
                {"finetune", "retrieval", "text\tpair\tlabel\na b\tc\t1\nd\te f\t1\ng\th i\t1\n", NULL},
                {"finetune", "mlm", "text\na b c d e f\ng h i j k l\nm n o p q r\n", NULL}};
    (void)state;
    const char *classifier = failing_folder();
    make_wide_model(classifier);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char name[64];
        snprintf(name, sizeof name, "train %s %s", runs[i].recipe, runs[i].task);
        writing w = {.model = runs[i].data == numbered ? classifier : GOLDEN "/bert",
                     .precision = runs[i].precision,
                     .task = runs[i].task,
                     .recipe = runs[i].recipe,
                     .piecewise = true,
                     .data = write_data(failing_folder(), "data.tsv", runs[i].data)};
        fail_writing(&w, name, train, 0);
    }
}

static void test_tags(void **state) {
    (void)state;
    writing w = {.model = GOLDEN "/bert",
                 .task = "tagging",
                 .recipe = "tokee",
                 .piecewise = true,
                 .data = write_data(failing_folder(), "data.conll", "a O\nb B-X\nc I-X\n\nd O\ne B-X\n\nf O\n")};
    fail_writing(&w, "train tokee tagging", train, 0);
}

/* A teacher; and a run that goes on from a checkpoint. */
static void test_going_on(void **state) {
    (void)state;
    const char *teacher = failing_folder(), *data = write_data(failing_folder(), "data.tsv", classes);
    writing w = {
        .model = GOLDEN "/bert", .task = "classification", .recipe = "finetune", .piecewise = true, .data = data};
    digest result = {0};
    rubato_error error;
    w.out = teacher;
    if (train(&w, &result, &error) != RUBATO_OK) fail_msg("%s", error.message);
    w.teacher = teacher;
    fail_writing(&w, "train with a teacher", train, 0);
    w.teacher = NULL;
    w.old = teacher;
    w.resume = true;
    fail_writing(&w, "train, resumed", train, 0);
}

static void test_search(void **state) {
    (void)state;
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertForSequenceClassification", 3);
    writing w = {.model = folder,
                 .piecewise = true,
                 .timed = true,
                 .data = write_data(failing_folder(), "data.tsv", "text\tlabel\na b\t0\nc d e\t1\nf\t2\ng h\t0\n")};
    fail_writing(&w, "search", search, 20);
    /* a log from which it goes on */
    const char *old = failing_folder();
    digest result = {0};
    rubato_error error;
    w.out = old;
    if (search(&w, &result, &error) != RUBATO_OK) fail_msg("%s", error.message);
    w.old = old;
    w.resume = true;
    fail_writing(&w, "search, resumed", search, 20);
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_npy),      cmocka_unit_test(test_trim),
                                       cmocka_unit_test(test_quantize), cmocka_unit_test(test_train),
                                       cmocka_unit_test(test_tags),     cmocka_unit_test(test_going_on),
                                       cmocka_unit_test(test_search)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
