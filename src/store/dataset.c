/* Data sets. */
#define _POSIX_C_SOURCE 200809L
#include "store/dataset.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/columns.h"
#include "base/file.h"
#include "base/gzip.h"
#include "base/json.h"
#include "base/table.h"
#include "base/text_buffer.h"
#include "base/utf8.h"

#define BLANKS " \t\r\v\f"
enum { ROLES = 3 };
static const size_t MAX_DATA_BYTES = (size_t)4 << 30;

typedef struct reading {
    dataset *data;
    const char *name;
    dataset_kind kind;
    char wanted[ROLES][COLUMN_NAME]; /* names or numbers of the columns for text, pair, label; "" for the usual names */
    rubato_error *error;
} reading;

static void free_list(char **list, size_t count) {
    for (size_t i = 0; list && i < count; i++) free(list[i]);
    free(list);
}

void example_free(example *item) {
    free(item->text);
    free(item->pair);
    free(item->label);
    free_list(item->labels, item->label_count);
    free_list(item->answers, item->answer_count);
    free(item->answer_starts);
    free_list(item->words, item->word_count);
    free_list(item->tags, item->word_count);
    *item = (example){0};
}

void dataset_free(dataset *data) {
    for (size_t i = 0; i < data->count; i++) example_free(&data->items[i]);
    free(data->items);
    *data = (dataset){0};
}

rubato_status fail_example(rubato_error *error, rubato_status code, const char *path, size_t line, const char *format,
                           ...) {
    char what[sizeof error->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return fail_line(error, code, line, gzip_name_ends(path, ".json") ? "%s: example %zu: %s" : "%s:%zu: %s", path,
                     line, what);
}

static rubato_status bad_row(const reading *r, size_t line, const char *what) {
    return fail_example(r->error, RUBATO_BAD_DATA, r->name, line, "%s", what);
}

/* A new example at the end, all zero; NULL when memory is short. */
static example *add_example(reading *r, size_t line) {
    dataset *data = r->data;
    if (data->count == data->capacity) {
        size_t capacity = data->capacity * 2 + 256;
        example *items = realloc(data->items, capacity * sizeof *items);
        if (!items) return NULL;
        data->items = items;
        data->capacity = capacity;
    }
    example *made = &data->items[data->count++];
    *made = (example){.line = line};
    return made;
}

static char *copy_text(const char *text) {
    return text ? text_copy(text, strlen(text)) : NULL;
}

/* ---- Which columns ---- */

static const char *const usual_labels[] = {"label",        "labels",  "score",  "gold_label", "category",
                                           "is_duplicate", "Quality", "intent", "class",      "hate"};

/* The names of text, pair and label in a header or an object; NULL for none. Names of --columns count first: with a
 * text named there, a pair is named there or there is none; with a pair alone, the text that goes with it is looked
 * for. */
static rubato_status choose_names(const reading *r, bool (*has)(const void *user, const char *name), const void *user,
                                  size_t line, const char *names[ROLES]) {
    const char *texts[2] = {NULL, NULL}, *clash = NULL;
    bool free_choice = !r->wanted[0][0] && !r->wanted[1][0];
    if (free_choice && !columns_choose(has, user, texts, &clash))
        return fail_line(r->error, RUBATO_BAD_DATA, line,
                         "%s:%zu: \"%.60s\" and \"%.60s\" are not known to go together; --columns text=NAME,pair=NAME "
                         "says it",
                         r->name, line, texts[0] ? texts[0] : "text", clash);
    for (size_t i = 0; i < 2; i++) names[i] = free_choice ? texts[i] : r->wanted[i][0] ? r->wanted[i] : NULL;
    if (!free_choice && !names[0]) names[0] = columns_first(has, user, names[1]);
    names[2] = r->wanted[2][0] ? r->wanted[2] : NULL;
    for (size_t i = 0; i < sizeof usual_labels / sizeof *usual_labels && !r->wanted[2][0]; i++) {
        if (!has(user, usual_labels[i])) continue;
        if (!names[2]) {
            names[2] = usual_labels[i];
        } else if (!r->data->label_from) {
            r->data->label_from = names[2];
            r->data->label_also = usual_labels[i];
        }
    }
    return RUBATO_OK;
}

static rubato_status parse_columns(reading *r, const char *columns) {
    static const char *const roles[ROLES] = {"text", "pair", "label"};
    if (columns_parse(columns, roles, ROLES, r->wanted)) return RUBATO_OK;
    return fail(r->error, RUBATO_BAD_ARGUMENT, "columns \"%.60s\": write text=NAME,pair=NAME,label=NAME", columns);
}

static bool numbered(const reading *r) {
    for (size_t i = 0; i < ROLES; i++)
        if (r->wanted[i][0]) return columns_is_number(r->wanted[i]);
    return false;
}

/* ---- Tables ---- */

static bool has_field(const void *user, const char *name) {
    return columns_find(user, name) != SIZE_MAX;
}

/* A name that two columns have is nobody's, and a column has one role. */
static rubato_status check_roles(const reading *r, const column_names *of, const size_t index[ROLES]) {
    for (size_t role = 0; role < ROLES; role++) {
        if (index[role] == SIZE_MAX) continue;
        if (columns_doubled(of, index[role]))
            return fail_line(r->error, RUBATO_BAD_DATA, 1, "%s:1: two columns are named \"%.60s\"", r->name,
                             of->names[index[role]]);
        for (size_t other = role + 1; other < ROLES; other++)
            if (index[other] == index[role])
                return fail_line(r->error, RUBATO_BAD_ARGUMENT, 1,
                                 "%s: one column cannot be two of text, pair and label", r->name);
    }
    return RUBATO_OK;
}

static rubato_status find_columns(const reading *r, char **fields, size_t count, size_t index[ROLES]) {
    const column_names of = {fields, count};
    const char *names[ROLES];
    for (size_t role = 0; role < ROLES; role++)
        index[role] = r->wanted[role][0] ? strtoul(r->wanted[role], NULL, 10) - 1 : SIZE_MAX;
    if (!numbered(r)) {
        TRY(choose_names(r, has_field, &of, 1, names));
        for (size_t role = 0; role < ROLES; role++) {
            index[role] = names[role] ? columns_find(&of, names[role]) : SIZE_MAX;
            if (index[role] == SIZE_MAX && r->wanted[role][0])
                return fail_line(r->error, RUBATO_BAD_DATA, 1,
                                 "%s:1: the header has no column \"%.60s\", which --columns names", r->name,
                                 r->wanted[role]);
        }
    }
    if (index[0] == SIZE_MAX)
        return bad_row(r, 1,
                       "no column for the text is recognised; name it with --columns text=NAME, or count it in a "
                       "file without a header with --columns text=1");
    return check_roles(r, &of, index);
}

static rubato_status read_table(reading *r, char *text, size_t size, bool csv) {
    char *at = text, *end = text + size, *fields[TABLE_COLUMNS];
    size_t index[ROLES], count, header = SIZE_MAX, line = 1, lines;
    if (!numbered(r)) {
        at = table_cut(at, end, csv, fields, &count, &lines);
        if (count == SIZE_MAX) return bad_row(r, line, "too many columns, or a quote that does not end");
        TRY(find_columns(r, fields, count, index));
        header = count;
        line += lines;
    } else {
        TRY(find_columns(r, fields, 0, index));
    }
    while (at < end) {
        at = table_cut(at, end, csv, fields, &count, &lines);
        if (count == SIZE_MAX) return bad_row(r, line, "too many columns, or a quote that does not end");
        if (count == 1 && !fields[0][0]) { /* an empty line */
            line += lines;
            continue;
        }
        if (count > header)
            return fail_line(r->error, RUBATO_BAD_DATA, line, "%s:%zu: %zu fields, and the header has %zu%s", r->name,
                             line, count, header,
                             csv ? "" : "; a .tsv has no quotes, so that a tab is always a new field");
        for (size_t role = 0; role < ROLES; role++)
            if (index[role] != SIZE_MAX && index[role] >= count)
                return fail_line(r->error, RUBATO_BAD_DATA, line, "%s:%zu: %zu field%s, and column %zu is needed",
                                 r->name, line, count, count == 1 ? "" : "s", index[role] + 1);
        example *made = add_example(r, line);
        if (!made) return fail_memory(r->error);
        char **parts[ROLES] = {&made->text, &made->pair, &made->label};
        for (size_t role = 0; role < ROLES; role++) {
            if (index[role] == SIZE_MAX) continue;
            const char *field = fields[index[role]];
            if (utf8_check(field, strlen(field)) != strlen(field)) return bad_row(r, line, "not valid UTF-8");
            if (!(*parts[role] = copy_text(field))) return fail_memory(r->error);
        }
        line += lines;
    }
    return RUBATO_OK;
}

/* ---- JSON ---- */

static bool has_member(const void *user, const char *name) {
    return json_object_get(user, name) != NULL;
}

/* Strings as they are, numbers and booleans written out. */
static char *scalar_text(const json_t *value) {
    char number[64];
    if (json_is_string(value)) return copy_text(json_string_value(value));
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, sizeof number, "%.17g", json_real_value(value));
    else
        snprintf(number, sizeof number, "%s", json_is_true(value) ? "true" : "false");
    return copy_text(number);
}

static rubato_status copy_strings(reading *r, const json_t *list, char ***out, size_t count, size_t line) {
    *out = calloc(count + 1, sizeof **out);
    if (!*out) return fail_memory(r->error);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text) return bad_row(r, line, "a list that should hold strings");
        if (!((*out)[i] = copy_text(text))) return fail_memory(r->error);
    }
    return RUBATO_OK;
}

/* "label": ["a", "b"]: any number of labels. */
static rubato_status read_labels(reading *r, const json_t *list, example *made, size_t line) {
    size_t count = json_array_size(list);
    made->labels = calloc(count + 1, sizeof *made->labels);
    if (!made->labels) return fail_memory(r->error);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (json_is_object(value) || json_is_array(value) || json_is_null(value))
            return bad_row(r, line, "a list of labels that holds something else");
        if (!(made->labels[i] = scalar_text(value))) return fail_memory(r->error);
        made->label_count++;
    }
    return RUBATO_OK;
}

/* {"answers": ["..."]} or SQuAD's {"answers": [{"text": ...}]} or {"answers": {"text": [...]}} or {"answer": "..."}. */
static rubato_status read_answers(reading *r, const json_t *row, example *made, size_t line) {
    const json_t *list = json_object_get(row, "answers"), *one = json_object_get(row, "answer"), *places = NULL;
    if (json_is_object(list)) {
        places = json_object_get(list, "answer_start");
        list = json_object_get(list, "text");
    }
    if (json_is_true(json_object_get(row, "is_impossible"))) return RUBATO_OK;
    if (!json_is_string(one) && !json_is_array(list)) return bad_row(r, line, "no \"answers\"");
    size_t count = json_is_string(one) ? 1 : json_array_size(list);
    made->answers = calloc(count + 1, sizeof *made->answers);
    made->answer_starts = calloc(count + 1, sizeof *made->answer_starts);
    if (!made->answers || !made->answer_starts) return fail_memory(r->error);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_string(one) ? one : json_array_get(list, i);
        const json_t *place = json_is_object(item) ? json_object_get(item, "answer_start") : json_array_get(places, i);
        json_int_t start = json_is_integer(place) ? json_integer_value(place) : -1;
        made->answer_starts[i] = start < 0 ? SIZE_MAX : (size_t)start;
        if (json_is_object(item)) item = json_object_get(item, "text");
        if (!json_is_string(item)) return bad_row(r, line, "an answer that is not a string");
        if (!(made->answers[i] = copy_text(json_string_value(item)))) return fail_memory(r->error);
        made->answer_count++;
    }
    return RUBATO_OK;
}

static rubato_status read_object(reading *r, const json_t *row, size_t line) {
    example *made = add_example(r, line);
    if (!made) return fail_memory(r->error);
    if (r->kind == DATASET_TAGS) {
        const json_t *words = json_object_get(row, "tokens"), *tags = json_object_get(row, "tags");
        size_t count = json_array_size(words);
        if (!json_is_array(words) || json_array_size(tags) != count)
            return bad_row(r, line, "needs \"tokens\" and as many \"tags\"");
        made->word_count = count;
        TRY(copy_strings(r, words, &made->words, count, line));
        return copy_strings(r, tags, &made->tags, count, line);
    }
    char **parts[ROLES] = {&made->text, &made->pair, &made->label};
    const char *names[ROLES] = {"question", "context", NULL};
    if (r->kind != DATASET_QUESTIONS || r->wanted[0][0]) TRY(choose_names(r, has_member, row, line, names));
    for (size_t role = 0; role < ROLES; role++) {
        const json_t *value = names[role] ? json_object_get(row, names[role]) : NULL;
        if (!value || json_is_null(value)) continue;
        if (role == 2 && json_is_array(value)) {
            TRY(read_labels(r, value, made, line));
            continue;
        }
        if (role < 2 ? !json_is_string(value) : json_is_object(value))
            return bad_row(r, line, "a text that is not a string, or a label that is an object");
        if (!(*parts[role] = scalar_text(value))) return fail_memory(r->error);
    }
    if (!made->text) return bad_row(r, line, "no text; name its key with --columns text=KEY");
    if (r->kind != DATASET_QUESTIONS) return RUBATO_OK;
    if (!made->pair) return bad_row(r, line, "no \"context\"");
    return read_answers(r, row, made, line);
}

static rubato_status read_jsonl(reading *r, const char *text, size_t size) {
    size_t line = 0;
    for (const char *at = text, *end = text + size; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        line++;
        if (strspn(at, " \t\r") < (size_t)(stop - at)) {
            json_error_t where;
            json_t *row;
            if (json_parse(&row, at, (size_t)(stop - at), JSON_REJECT_DUPLICATES, &where) == RUBATO_OUT_OF_MEMORY)
                return fail_memory(r->error);
            if (!row || !json_is_object(row)) {
                json_decref(row);
                return bad_row(r, line, row ? "not a JSON object" : where.text);
            }
            rubato_status status = read_object(r, row, line);
            json_decref(row);
            TRY(status);
        }
        at = stop < end ? stop + 1 : end;
    }
    return RUBATO_OK;
}

/* SQuAD: data -> paragraphs -> qas; or a plain list of objects. */
static rubato_status read_json(reading *r, const char *text, size_t size) {
    json_t *root;
    TRY(json_read_bytes(&root, text, size, r->name, r->error));
    rubato_status status = RUBATO_OK;
    const json_t *articles = json_object_get(root, "data");
    if (json_is_array(root)) {
        for (size_t i = 0; i < json_array_size(root) && status == RUBATO_OK; i++)
            status = read_object(r, json_array_get(root, i), i + 1);
    } else if (!json_is_array(articles)) {
        status = fail(r->error, RUBATO_BAD_DATA, "%s: neither SQuAD's \"data\" nor a list", r->name);
    }
    for (size_t i = 0; i < json_array_size(articles) && status == RUBATO_OK; i++) {
        const json_t *paragraphs = json_object_get(json_array_get(articles, i), "paragraphs");
        for (size_t j = 0; j < json_array_size(paragraphs) && status == RUBATO_OK; j++) {
            const json_t *paragraph = json_array_get(paragraphs, j), *list = json_object_get(paragraph, "qas");
            const char *context = json_string_value(json_object_get(paragraph, "context"));
            for (size_t k = 0; k < json_array_size(list) && status == RUBATO_OK; k++) {
                const json_t *row = json_array_get(list, k);
                const char *question = json_string_value(json_object_get(row, "question"));
                example *made = add_example(r, r->data->count + 1);
                if (!made)
                    status = fail_memory(r->error);
                else if (!question || !context)
                    status = fail(r->error, RUBATO_BAD_DATA,
                                  "%s: article %zu, paragraph %zu: a question or context "
                                  "is missing",
                                  r->name, i, j);
                else if (!(made->text = copy_text(question)) || !(made->pair = copy_text(context)))
                    status = fail_memory(r->error);
                else
                    status = read_answers(r, row, made, made->line);
            }
        }
    }
    json_decref(root);
    return status;
}

/* ---- Plain text ---- */

/* A text in each line, without a label; blank lines are left out. */
static rubato_status read_lines(reading *r, char *text, size_t size) {
    size_t line = 0;
    for (char *at = text, *end = text + size; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at)), *next = stop ? stop + 1 : end;
        if (!stop) stop = end;
        size_t length = (size_t)(stop - at);
        line++;
        if (length && at[length - 1] == '\r') length--;
        if (memchr(at, 0, length) || utf8_check(at, length) != length) return bad_row(r, line, "not valid UTF-8 text");
        at[length] = 0;
        if (at[strspn(at, BLANKS)]) {
            example *made = add_example(r, line);
            if (!made || !(made->text = text_copy(at, length))) return fail_memory(r->error);
        }
        at = next;
    }
    return RUBATO_OK;
}

/* ---- CoNLL ---- */

/* Cuts a line into fields in place: at tabs where it has any, else at runs of blanks. Blanks around a field go, and
 * empty fields; a first field of one blank stays, since data sets of single characters have it. */
static size_t cut_line(char *at, char **fields) {
    bool tabs = strchr(at, '\t') != NULL;
    size_t count = 0;
    for (char *next; at && count < TABLE_COLUMNS; at = next) {
        next = strpbrk(at, tabs ? "\t" : BLANKS);
        if (next) *next++ = 0;
        size_t length = strlen(at), before = strspn(at, BLANKS);
        if (before == length && (!tabs || count || length != 1)) continue;
        if (before < length) at += before;
        for (length = strlen(at); length > 1 && strchr(BLANKS, at[length - 1]); length--) at[length - 1] = 0;
        fields[count++] = at;
    }
    return count;
}

/* Running text is no CoNLL: its lines have different numbers of words, and a table of texts has blanks in its words. */
static rubato_status check_columns(const reading *r, size_t line, char **fields, size_t word, size_t count, bool blanks,
                                   size_t *before) {
    if (strpbrk(fields[word], BLANKS) && strlen(fields[word]) > 1)
        return fail_line(
            r->error, RUBATO_BAD_DATA, line,
            "%s:%zu: the word \"%.40s\" holds blanks; tagging reads one word in each line, with its tag in "
            "the last column",
            r->name, line, fields[word]);
    if (blanks && *before && *before != count)
        return fail_line(r->error, RUBATO_BAD_DATA, line,
                         "%s:%zu: %zu columns, and %zu in the lines before; tagging reads one word in each line, with "
                         "its tag in the last column",
                         r->name, line, count, *before);
    if (blanks) *before = count;
    return RUBATO_OK;
}

/* One token in each line. Its tag is the last column, except in Universal NER's files (index, token, tag, two more
 * columns). A blank line ends a sentence; '#' at the beginning and -DOCSTART- mark comments. */
static rubato_status read_conll(reading *r, char *text, size_t size) {
    example *open = NULL;
    size_t line = 0, capacity = 0, columns = 0;
    bool indexed = gzip_name_ends(r->name, ".iob2");
    for (char *at = text, *end = text + size; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at)), *next = stop ? stop + 1 : end;
        if (!stop) stop = end;
        *stop = 0;
        line++;
        bool blank = !at[strspn(at, BLANKS)];
        bool comment = strncmp(at, "##", 2) == 0 || strncmp(at, "# ", 2) == 0 || strncmp(at, "-DOCSTART-", 10) == 0;
        if (blank || comment) {
            if (blank || strncmp(at, "##", 2) == 0) open = NULL;
            at = next;
            continue;
        }
        char *fields[TABLE_COLUMNS];
        bool blanks = !strchr(at, '\t');
        size_t count = cut_line(at, fields);
        size_t word = indexed ? 1 : 0, tag = indexed ? 2 : count - 1;
        if (count < 2 || tag >= count || tag == word)
            return bad_row(r, line, "a token and its tag are needed, divided by a tab or space");
        if (utf8_check(fields[word], strlen(fields[word])) != strlen(fields[word]))
            return bad_row(r, line, "not valid UTF-8");
        TRY(check_columns(r, line, fields, word, count, blanks, &columns));
        if (!open) {
            open = add_example(r, line);
            capacity = 0;
            if (!open) return fail_memory(r->error);
        }
        if (open->word_count == capacity) {
            capacity = capacity * 2 + 16;
            char **words = realloc(open->words, capacity * sizeof *words);
            if (words) open->words = words;
            char **tags = realloc(open->tags, capacity * sizeof *tags);
            if (tags) open->tags = tags;
            if (!words || !tags) return fail_memory(r->error);
        }
        open->words[open->word_count] = copy_text(fields[word]);
        open->tags[open->word_count++] = copy_text(fields[tag]);
        if (!open->words[open->word_count - 1] || !open->tags[open->word_count - 1]) return fail_memory(r->error);
        at = next;
    }
    return RUBATO_OK;
}

rubato_status dataset_parse(dataset *data, const char *text, size_t size, const char *name, dataset_kind kind,
                            const char *columns, rubato_error *error) {
    *data = (dataset){0};
    reading r = {.data = data, .name = name, .kind = kind, .error = error};
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* the mark of some editors is no part of the data */
        size -= 3;
    }
    TRY(parse_columns(&r, columns));
    char *copy = text_copy(text, size); /* tables are cut in place */
    if (!copy) return fail_memory(error);
    rubato_status status;
    if (gzip_name_ends(name, ".jsonl"))
        status = read_jsonl(&r, copy, size);
    else if (gzip_name_ends(name, ".json"))
        status = read_json(&r, copy, size);
    else if (kind == DATASET_QUESTIONS)
        status = fail(error, RUBATO_BAD_DATA, "%s: questions with answers are read from .json and .jsonl", name);
    else if (kind == DATASET_TAGS && gzip_name_ends(name, ".csv"))
        status =
            fail(error, RUBATO_BAD_DATA, "%s: tagged words are read from CoNLL, .iob2 and .jsonl, not from .csv", name);
    else if (kind == DATASET_TAGS)
        status = read_conll(&r, copy, size);
    else if (gzip_name_ends(name, ".txt") && !columns && !memchr(copy, '\t', strcspn(copy, "\n")))
        status = read_lines(&r, copy, size);
    else if (gzip_name_ends(name, ".csv") && !(memchr(copy, '\t', size_min(size, strcspn(copy, "\n")))))
        status = read_table(&r, copy, size, true);
    else
        status = read_table(&r, copy, size, false);
    free(copy);
    if (status != RUBATO_OK) dataset_free(data);
    return status;
}

/* One line from each of two files: words and their tags, or a text and its label. */
static rubato_status read_line_pair(reading *r, char *first, char *second, size_t line) {
    example *made = add_example(r, line);
    if (!made) return fail_memory(r->error);
    if (utf8_check(first, strlen(first)) != strlen(first)) return bad_row(r, line, "not valid UTF-8");
    if (r->kind != DATASET_TAGS) {
        made->text = copy_text(first);
        made->label = copy_text(second);
        return made->text && made->label ? RUBATO_OK : fail_memory(r->error);
    }
    size_t most = strlen(first) / 2 + 1;
    made->words = calloc(most, sizeof *made->words);
    made->tags = calloc(most, sizeof *made->tags);
    if (!made->words || !made->tags) return fail_memory(r->error);
    char *rest[2] = {NULL, NULL}, *word = strtok_r(first, " ", &rest[0]), *tag = strtok_r(second, " ", &rest[1]);
    for (; word && tag; word = strtok_r(NULL, " ", &rest[0]), tag = strtok_r(NULL, " ", &rest[1])) {
        made->words[made->word_count] = copy_text(word);
        made->tags[made->word_count++] = copy_text(tag);
        if (!made->words[made->word_count - 1] || !made->tags[made->word_count - 1]) return fail_memory(r->error);
    }
    return word || tag ? bad_row(r, line, "not as many tags as words") : RUBATO_OK;
}

static rubato_status read_folder(reading *r) {
    char path[2][4096], *text[2] = {NULL, NULL};
    size_t size;
    rubato_status status;
    snprintf(path[0], sizeof path[0], "%s/seq.in", r->name);
    snprintf(path[1], sizeof path[1], "%s/%s", r->name, r->kind == DATASET_TAGS ? "seq.out" : "label");
    for (int i = 0; i < 2; i++) TRY_DONE(file_read(&text[i], &size, path[i], MAX_DATA_BYTES, r->error));
    char *at[2] = {text[0], text[1]};
    r->name = path[0];
    for (size_t line = 1; *at[0]; line++) {
        char *next[2];
        for (int i = 0; i < 2; i++) {
            size_t length = strcspn(at[i], "\n");
            next[i] = at[i] + length + (at[i][length] != 0);
            at[i][length] = 0;
            if (length && at[i][length - 1] == '\r') at[i][length - 1] = 0;
        }
        TRY_DONE(read_line_pair(r, at[0], at[1], line));
        at[0] = next[0];
        at[1] = next[1];
    }
done:
    free(text[0]);
    free(text[1]);
    if (status != RUBATO_OK) dataset_free(r->data);
    return status;
}

rubato_status dataset_read(dataset *data, const char *path, dataset_kind kind, const char *columns,
                           rubato_error *error) {
    *data = (dataset){0};
    char *text;
    size_t size;
    if (folder_exists(path)) {
        reading r = {.data = data, .name = path, .kind = kind, .error = error};
        return read_folder(&r);
    }
    if (!gzip_named(path)) {
        TRY(file_read(&text, &size, path, MAX_DATA_BYTES, error));
    } else {
        TRY(file_check_regular(path, error)); /* another file's reading might not end */
        TRY(gzip_read(&text, &size, path, MAX_DATA_BYTES, error));
    }
    rubato_status status = dataset_parse(data, text, size, path, kind, columns, error);
    free(text);
    return status;
}
