/* Training samples. */
#include "train/samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "base/utf8.h"
#include "task/labels.h"
#include "task/words.h"

enum { DEFAULT_STRIDE = 128 };

/* Either every row has a list of labels, or none has. */
static rubato_status find_lists(const dataset *data, const char *path, sample_kind *kind, rubato_error *error) {
    size_t lists = 0;
    for (size_t i = 0; i < data->count; i++) lists += data->items[i].labels != NULL;
    if (lists == 0) return RUBATO_OK;
    if (*kind != SAMPLE_CLASS)
        return fail(error, RUBATO_BAD_DATA, "%s: a list of labels belongs to the task classification", path);
    *kind = SAMPLE_CLASSES;
    for (size_t i = 0; i < data->count; i++)
        if (!data->items[i].labels)
            return fail_example(error, RUBATO_BAD_DATA, path, data->items[i].line,
                                "the label is no list, as in other rows; a text without labels has []");
    return RUBATO_OK;
}

rubato_status samples_read(samples *self, const char *path, sample_kind *kind, const char *columns, size_t limit,
                           uint64_t seed, rubato_error *error) {
    *self = (samples){0};
    dataset_kind form = *kind == SAMPLE_TAGS ? DATASET_TAGS : *kind == SAMPLE_SPAN ? DATASET_QUESTIONS : DATASET_TEXTS;
    TRY(dataset_read(&self->data, path, form, columns, error));
    if (self->data.count == 0) return fail(error, RUBATO_BAD_DATA, "%s: no examples", path);
    self->rows = self->data.count;
    if (form == DATASET_TEXTS) TRY(find_lists(&self->data, path, kind, error));
    return dataset_sample(&self->data, limit, seed, error);
}

void samples_free(samples *self) {
    for (size_t i = 0; i < self->encoding_count; i++) rubato_encoding_destroy(self->encodings[i]);
    for (size_t i = 0; i < self->array_count; i++) free(self->arrays[i]);
    free(self->encodings);
    free(self->arrays);
    free(self->items);
    instances_free(&self->drawn);
    corpus_close(&self->text);
    dataset_free(&self->data);
    *self = (samples){0};
}

/* ---- Labels ---- */

static int by_label(const void *a, const void *b) {
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    char *end_x, *end_y;
    double number_x = strtod(x, &end_x), number_y = strtod(y, &end_y);
    if (*x && *y && !*end_x && !*end_y && number_x != number_y) return number_x < number_y ? -1 : 1;
    if (strcmp(x, "O") == 0 || strcmp(y, "O") == 0) return strcmp(x, y) == 0 ? 0 : strcmp(x, "O") == 0 ? -1 : 1;
    return strcmp(x, y);
}

/* The labels of an example: its own, those of its list, or its words' tags. */
static size_t example_labels(const example *item, sample_kind kind, char *const **out) {
    char *const *list = kind == SAMPLE_TAGS ? item->tags : kind == SAMPLE_CLASSES ? item->labels : &item->label;
    if (out) *out = list;
    return kind == SAMPLE_TAGS ? item->word_count : kind == SAMPLE_CLASSES ? item->label_count : 1;
}

rubato_status samples_labels(const samples *self, sample_kind kind, const char *path, const char ***labels,
                             size_t *count, rubato_error *error) {
    size_t total = 0, at = 0;
    for (size_t i = 0; kind != SAMPLE_TAGS && i < self->data.count; i++) {
        const example *item = &self->data.items[i];
        char *const *own;
        size_t own_count = example_labels(item, kind, &own);
        for (size_t j = 0; j < own_count; j++)
            if (label_missing(own[j]))
                return fail_example(error, RUBATO_BAD_DATA, path, item->line,
                                    own[j] && *own[j] ? "the label is \"nan\": a missing value" : "no label");
    }
    for (size_t i = 0; i < self->data.count; i++) total += example_labels(&self->data.items[i], kind, NULL);
    const char **all = malloc((total + 1) * sizeof *all);
    if (!all) return fail_memory(error);
    for (size_t i = 0; i < self->data.count; i++) {
        char *const *own;
        size_t own_count = example_labels(&self->data.items[i], kind, &own);
        for (size_t j = 0; j < own_count; j++) all[at++] = own[j];
    }
    qsort(all, at, sizeof *all, by_label);
    *count = 0;
    for (size_t i = 0; i < at; i++)
        if (*count == 0 || strcmp(all[*count - 1], all[i]) != 0) all[(*count)++] = all[i];
    *labels = all;
    return RUBATO_OK;
}

typedef struct preparing {
    samples *self;
    const rubato_model *model, *teacher; /* teacher: with other tokens, or NULL */
    const char *path;
    sample_kind kind;
    bool taught;
    rubato_text_options text;
    rubato_error *error;
    size_t capacity;
} preparing;

static rubato_status bad_row(const preparing *p, const example *item, const char *what) {
    return fail_example(p->error, RUBATO_BAD_DATA, p->path, item->line, "%s", what);
}

static rubato_status find_label(const preparing *p, const example *item, const char *text, int32_t *out) {
    size_t found;
    TRY(label_find(&found, &p->model->info, text, p->path, item->line, p->error));
    *out = (int32_t)found;
    return RUBATO_OK;
}

static rubato_status find_value(const preparing *p, const example *item, float *out) {
    char *end = NULL;
    double value = item->label && *item->label ? strtod(item->label, &end) : NAN;
    if (!end || *end || !isfinite(value)) return bad_row(p, item, "the label is not a number");
    *out = (float)value;
    return RUBATO_OK;
}

/* ---- Tokens ---- */

static rubato_status add_sample(preparing *p, sample made) {
    samples *self = p->self;
    if (self->count == p->capacity) {
        size_t capacity = p->capacity * 2 + 1024;
        sample *grown = realloc(self->items, capacity * sizeof *grown);
        if (!grown) return fail_memory(p->error);
        self->items = grown;
        p->capacity = capacity;
    }
    made.number = self->count;
    self->items[self->count++] = made;
    self->tokens += made.window->length + (made.pair ? made.pair->length : 0);
    return RUBATO_OK;
}

static rubato_status encode_by(preparing *p, const rubato_model *by, const example *item, rubato_input input,
                               rubato_encoding **out) {
    samples *self = p->self;
    rubato_text_options text = p->text;
    if (by == p->teacher) text.max_length = size_min(text.max_length, by->info.max_length);
    rubato_status status = rubato_encode(by, &input, &text, out, p->error);
    if (status == RUBATO_BAD_TEXT || status == RUBATO_BAD_ARGUMENT) {
        char message[256];
        snprintf(message, sizeof message, "%.250s", p->error ? p->error->message : "");
        return bad_row(p, item, message);
    }
    TRY(status);
    self->encodings[self->encoding_count++] = *out;
    for (size_t w = 0; w < (*out)->count; w++)
        for (size_t i = 0; i < (*out)->windows[w].length; i++)
            if ((size_t)(*out)->windows[w].ids[i] >= by->body.config.vocabulary)
                return fail(p->error, RUBATO_BAD_MODEL, "the tokenizer's ids are beyond the model's word embeddings");
    return RUBATO_OK;
}

/* In the learner's tokens. */
static rubato_status encode(preparing *p, const example *item, rubato_input input, rubato_encoding **out) {
    samples *self = p->self;
    TRY(encode_by(p, p->model, item, input, out));
    self->cut += (*out)->cut > 0;
    bool worded[2] = {false, !input.pair};
    for (size_t w = 0; w < (*out)->count; w++)
        for (size_t i = 0; i < (*out)->windows[w].length; i++)
            if ((*out)->windows[w].sequences[i] < 2) worded[(*out)->windows[w].sequences[i]] = true;
    for (size_t i = 0; i < 2; i++)
        if (!worded[i]) self->empty++;
    return RUBATO_OK;
}

/* In the teacher's tokens; NULL where these are the learner's. */
static rubato_status encode_taught(preparing *p, const example *item, rubato_input input, const rubato_window **out) {
    rubato_encoding *encoding;
    if (!p->teacher) return RUBATO_OK;
    TRY(encode_by(p, p->teacher, item, input, &encoding));
    *out = &encoding->windows[0];
    return RUBATO_OK;
}

/* The first token that begins in a word has the word's label; the other tokens have none. */
static rubato_status add_tagged(preparing *p, const example *item) {
    text_buffer text = {0};
    rubato_encoding *encoding;
    size_t *starts = calloc(item->word_count + 1, sizeof *starts);
    rubato_status status = starts && words_join(item, &text, starts) ? RUBATO_OK : fail_memory(p->error);
    if (status == RUBATO_OK)
        status =
            encode(p, item, (rubato_input){.text = text.data ? text.data : "", .text_bytes = text.length}, &encoding);
    text_free(&text);
    for (size_t w = 0; status == RUBATO_OK && w < encoding->count; w++) {
        const rubato_window *window = &encoding->windows[w];
        int32_t *labels = malloc((window->length + 1) * sizeof *labels);
        if (!labels) {
            status = fail_memory(p->error);
            break;
        }
        p->self->arrays[p->self->array_count++] = labels;
        size_t word = 0, labelled = SIZE_MAX;
        for (size_t i = 0; i < window->length && status == RUBATO_OK; i++) {
            labels[i] = -1;
            if (window->sequences[i] == 255) continue;
            while (word + 1 < item->word_count && starts[word + 1] <= window->offsets[i][0]) word++;
            if (word == labelled || window->offsets[i][0] < starts[word]) continue;
            /* a window that begins within a word does not label the rest of the word */
            if (labelled == SIZE_MAX && w > 0 && window->offsets[i][0] > starts[word]) continue;
            labelled = word;
            status = find_label(p, item, item->tags[word], &labels[i]);
        }
        if (status == RUBATO_OK) status = add_sample(p, (sample){.window = window, .label = -1, .labels = labels});
    }
    free(starts);
    return status;
}

/* Finds the tokens of [start, end), code points of the context; 0, 0 where the window does not hold all of it. */
static void place_answer(sample *made, size_t start, size_t end) {
    const rubato_window *window = made->window;
    size_t first = SIZE_MAX, last = 0, context_first = SIZE_MAX, context_last = 0;
    for (size_t i = 0; i < window->length; i++) {
        if (window->sequences[i] != 1) continue;
        if (context_first == SIZE_MAX) context_first = window->offsets[i][0];
        context_last = window->offsets[i][1];
        if (window->offsets[i][1] > start && window->offsets[i][0] < end) {
            if (first == SIZE_MAX) first = i;
            last = i;
        }
    }
    if (first == SIZE_MAX || start < context_first || end > context_last) return;
    made->start = (int32_t)first;
    made->end = (int32_t)last;
}

static rubato_status add_question(preparing *p, const example *item) {
    rubato_encoding *encoding;
    TRY(encode(p, item, (rubato_input){.text = item->text, .pair = item->pair}, &encoding));
    size_t start = 0, end = 0;
    if (item->answer_count) {
        size_t place = item->answer_starts[0];
        if (place == SIZE_MAX) {
            const char *found = strstr(item->pair, item->answers[0]);
            if (!found) return bad_row(p, item, "the answer does not stand in the context");
            place = utf8_count(item->pair, (size_t)(found - item->pair));
        }
        start = place;
        end = place + utf8_count(item->answers[0], strlen(item->answers[0]));
    }
    for (size_t w = 0; w < encoding->count; w++) {
        sample made = {.window = &encoding->windows[w], .label = -1};
        if (end > start) place_answer(&made, start, end);
        TRY(add_sample(p, made));
    }
    return RUBATO_OK;
}

static rubato_status add_pair(preparing *p, const example *item) {
    rubato_encoding *first, *second;
    sample made = {.label = -1};
    if (!item->pair) return bad_row(p, item, "no second text");
    if (p->kind == SAMPLE_COSINE) TRY(find_value(p, item, &made.value));
    TRY(encode(p, item, (rubato_input){.text = item->text}, &first));
    TRY(encode(p, item, (rubato_input){.text = item->pair}, &second));
    TRY(encode_taught(p, item, (rubato_input){.text = item->text}, &made.taught));
    TRY(encode_taught(p, item, (rubato_input){.text = item->pair}, &made.taught_pair));
    made.window = &first->windows[0];
    made.pair = &second->windows[0];
    return add_sample(p, made);
}

/* A 1 for each label that the text has. */
static rubato_status find_labels(preparing *p, const example *item, const float **out) {
    float *targets = calloc(size_max(p->model->info.label_count, 1), sizeof *targets);
    if (!targets) return fail_memory(p->error);
    p->self->arrays[p->self->array_count++] = targets;
    for (size_t i = 0; i < item->label_count; i++) {
        int32_t found;
        TRY(find_label(p, item, item->labels[i], &found));
        targets[found] = 1;
    }
    *out = targets;
    return RUBATO_OK;
}

static rubato_status add_text(preparing *p, const example *item) {
    rubato_encoding *encoding;
    sample made = {.label = -1};
    bool bare = p->taught && !item->label;
    if (p->kind == SAMPLE_CLASS && !bare) TRY(find_label(p, item, item->label, &made.label));
    if (p->kind == SAMPLE_CLASSES) TRY(find_labels(p, item, &made.targets));
    if (p->kind == SAMPLE_VALUE && !bare) TRY(find_value(p, item, &made.value));
    if (p->kind == SAMPLE_MASKED && item->pair && item->label)
        made.label = strcmp(item->label, "0") == 0 ? 0 : 1; /* 0: the second text follows the first */
    TRY(encode(p, item, (rubato_input){.text = item->text, .pair = item->pair}, &encoding));
    TRY(encode_taught(p, item, (rubato_input){.text = item->text, .pair = item->pair}, &made.taught));
    for (size_t w = 0; w < encoding->count; w++) {
        made.window = &encoding->windows[w];
        if (made.window->length > 0 && (!made.taught || made.taught->length > 0)) TRY(add_sample(p, made));
    }
    return RUBATO_OK;
}

/* Scales similarities to [0, 1] when they have a wider scale, as STS's 0 to 5. */
static void scale_similarities(samples *self) {
    float most = 0;
    for (size_t i = 0; i < self->count; i++) most = fmaxf(most, self->items[i].value);
    for (size_t i = 0; most > 1 && i < self->count; i++) self->items[i].value /= most > 1 && most <= 5 ? 5 : most;
}

rubato_status samples_prepare(samples *self, const rubato_model *model, sample_kind kind, bool taught,
                              const rubato_model *teacher, const rubato_text_options *text, const char *path,
                              rubato_error *error) {
    preparing p = {.self = self,
                   .model = model,
                   .teacher = teacher,
                   .path = path,
                   .kind = kind,
                   .taught = taught,
                   .text = *text,
                   .error = error};
    bool two = sample_takes_pairs(kind);
    p.text.windows = kind == SAMPLE_SPAN || kind == SAMPLE_TAGS || kind == SAMPLE_MASKED || kind == SAMPLE_TEXT;
    if (kind == SAMPLE_SPAN) {
        p.text.truncation = RUBATO_ONLY_SECOND;
        p.text.stride_fits = p.text.stride == 0;
        if (p.text.stride == 0) p.text.stride = size_min(DEFAULT_STRIDE, p.text.max_length / 3);
    }
    self->encodings = calloc(self->data.count * (two ? 2 : 1) * (teacher ? 2 : 1), sizeof *self->encodings);
    size_t words = 0;
    for (size_t i = 0; i < self->data.count; i++) words += self->data.items[i].word_count + 1;
    self->arrays = calloc(kind == SAMPLE_TAGS ? words * 4 : self->data.count, sizeof *self->arrays);
    if (!self->encodings || !self->arrays) return fail_memory(error);
    for (size_t i = 0; i < self->data.count; i++) {
        const example *item = &self->data.items[i];
        if (kind == SAMPLE_TAGS)
            TRY(add_tagged(&p, item));
        else if (kind == SAMPLE_SPAN)
            TRY(add_question(&p, item));
        else if (two)
            TRY(add_pair(&p, item));
        else
            TRY(add_text(&p, item));
    }
    if (kind == SAMPLE_COSINE) scale_similarities(self);
    return RUBATO_OK;
}

/* ---- Running text ---- */

rubato_status samples_read_text(samples *self, const char *paths, const rubato_model *model,
                                const instance_options *drawing, const corpus_options *how, rubato_error *error) {
    *self = (samples){.drawing = *drawing, .template = model->text};
    TRY(corpus_read(&self->text, paths, model->text, how, error));
    TRY(samples_begin_epoch(self, 0, error));
    self->rows = self->count = self->drawn.count;
    self->tokens = self->text.tokens + self->count * tokenizer_specials(model->text, drawing->pairs);
    return RUBATO_OK;
}

rubato_status samples_begin_epoch(samples *self, uint64_t key, rubato_error *error) {
    if (self->items) return RUBATO_OK;
    self->key = key;
    return instances_draw(&self->drawn, &self->text, self->template, &self->drawing, key, error);
}

const sample *samples_at(const samples *self, size_t index, arena *memory) {
    if (self->items) return &self->items[index];
    sample *out = arena_take_array(memory, 1, sizeof *out);
    /* epochs differ a little in their number of sequences */
    const instance *from = &self->drawn.items[index % self->drawn.count];
    const uint64_t key = random_hash(self->key ^ random_hash(index));
    const rubato_window *window = instance_window(from, &self->text, self->template, &self->drawing, key, memory);
    if (!out || !window) return NULL;
    *out = (sample){.window = window, .label = from->second_count ? from->random : -1, .number = index};
    return out;
}
