/* Every allocation of training fails once: a few steps of each kind of recipe, a teacher, a run that goes on. */
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/random.h"
#include "failures/writing.h"
#include "store/safetensors_write.h"

static const char classes[] = "text\tlabel\na b\tno\nc d e\tyes\nf g\tyes\nh\tno\ni j k l\tyes\nm n\tno\n";

static const char numbered[] = "text\tlabel\na b\t0\nc d e\t1\nf g\t2\nh\t0\ni j k l\t1\nm n\t2\n";

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

/* ---- Tests ---- */

static int stop(void *user, const rubato_train_progress *progress) {
    (void)progress;
    return ((const writing *)user)->stop;
}

static rubato_status train(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const bool narrows = w->recipe && strstr("slimmable dynabert anytime", w->recipe);
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
                                          .widths = narrows ? "1,0.5" : NULL,
                                          .precision = w->precision,
                                          .tokenizer = w->tokenizer,
                                          .objective = w->tokenizer ? "mlm+nsp" : NULL,
                                          .steps = w->tokenizer ? 2 : 0,
                                          .resume = w->resume,
                                          .progress = stop,
                                          .progress_user = user};
    rubato_train_result *result;
    TRY(rubato_train(&options, &result, error));
    digest_add(out, &result->steps, sizeof result->steps);
    digest_add(out, &result->best, w->teacher ? 0 : sizeof result->best);
    rubato_free(result);
    return RUBATO_OK;
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

/* A model with memories, judged while it learns. */
static void test_memories(void **state) {
    (void)state;
    writing w = {.model = GOLDEN "/memory/res",
                 .task = "mlm",
                 .piecewise = true,
                 .data = write_data(failing_folder(), "data.tsv", "text\na b c d e f\ng h i j k l\nm n o p q r\n")};
    fail_writing(&w, "train a model with memories", train, 0);
}

/* Running text, and a model without weights. */
static void test_beginning(void **state) {
    (void)state;
    const char *text = "A b c. D e f\ng h\n\ni j k l\n";
    const char *shape = "{\"model_type\": \"bert\", \"hidden_size\": 8, \"num_hidden_layers\": 1, "
                        "\"num_attention_heads\": 2, \"intermediate_size\": 8, \"max_position_embeddings\": 19}";
    writing w = {.model = write_data(failing_folder(), "config.json", shape),
                 .tokenizer = GOLDEN "/bert",
                 .task = "mlm",
                 .piecewise = true,
                 .data = write_data(failing_folder(), "data.txt", text)};
    fail_writing(&w, "train a new model on running text", train, 0);
}

/* Students. */
static void test_students(void **state) {
    static const char *const recipes[] = {"distilbert", "tinybert", "minilmv2", "theseus"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "train %s", recipes[i]);
        writing w = {.model = i == 3 ? GOLDEN "/students/half" : GOLDEN "/students/student",
                     .teacher = GOLDEN "/students/teacher",
                     .task = "classification",
                     .recipe = recipes[i],
                     .piecewise = true,
                     .data = write_data(failing_folder(), "data.tsv",
                                        "text\tlabel\na b\tLABEL_0\nc d e\tLABEL_1\nf\tLABEL_2\n")};
        fail_writing(&w, name, train, 0);
    }
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
    w.out = w.old = failing_folder();
    w.stop = true;
    assert_int_equal(train(&w, &result, &error), RUBATO_CANCELLED);
    w.stop = false;
    w.resume = true;
    fail_writing(&w, "train, resumed", train, 0);
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_train),    cmocka_unit_test(test_tags),
                                       cmocka_unit_test(test_memories), cmocka_unit_test(test_beginning),
                                       cmocka_unit_test(test_students), cmocka_unit_test(test_going_on)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
