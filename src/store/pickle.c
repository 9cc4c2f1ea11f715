/* Reading pickles without running them. */
#include "store/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/little.h"

enum { MOST_GLOBAL_BYTES = 256 };

typedef struct machine {
    pickle *self;
    const unsigned char *data;
    size_t size, at;
    const pickle_global *globals;
    size_t global_count;
    pickle_values stack, memo; /* memo: MARK where nothing was put */
    size_t made;               /* values that were pushed so far */
    const char *name;
    rubato_error *error;
} machine;

static rubato_status fail_bad(const machine *m, const char *what) {
    return fail(m->error, RUBATO_BAD_MODEL, "%s: byte %zu of the pickle: %s", m->name, m->at, what);
}

/* ---- Bytes ---- */

/* The next bytes, or NULL: there are not so many. */
static const unsigned char *take(machine *m, uint64_t count) {
    if (count > m->size - m->at) return NULL;
    const unsigned char *here = m->data + m->at;
    m->at += (size_t)count;
    return here;
}

static rubato_status take_number(machine *m, size_t bytes, uint64_t *number) {
    const unsigned char *here = take(m, bytes);
    *number = 0;
    if (!here) return fail_bad(m, "it ends in the middle; is the file cut short?");
    *number = little_number(here, bytes);
    return RUBATO_OK;
}

/* A length of that many bytes, and as many bytes as it says. */
static rubato_status take_span(machine *m, size_t length_bytes, size_t *at, size_t *count) {
    uint64_t length;
    *at = *count = 0;
    TRY(take_number(m, length_bytes, &length));
    *at = m->at;
    *count = (size_t)length;
    if (length > UINT32_MAX || !take(m, length)) return fail_bad(m, "a length goes beyond the end");
    return RUBATO_OK;
}

/* ---- Values ---- */

static rubato_status add(const machine *m, pickle_values *list, pickle_value value) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        pickle_value *grown = realloc(list->items, capacity * sizeof *grown);
        if (!grown) return fail_memory(m->error);
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = value;
    return RUBATO_OK;
}

static rubato_status push(machine *m, pickle_value value) {
    if (m->made++ == MAX_PICKLE_VALUES)
        return fail(m->error, RUBATO_UNSUPPORTED, "%s: the pickle makes more than %d values", m->name,
                    MAX_PICKLE_VALUES);
    return add(m, &m->stack, value);
}

static rubato_status push_kind(machine *m, pickle_kind kind) {
    return push(m, (pickle_value){.kind = (uint8_t)kind});
}

static rubato_status push_whole(machine *m, pickle_kind kind, int64_t whole) {
    return push(m, (pickle_value){.kind = (uint8_t)kind, .whole = whole});
}

static rubato_status push_span(machine *m, pickle_kind kind, size_t length_bytes) {
    size_t at, count;
    TRY(take_span(m, length_bytes, &at, &count));
    return push(m, (pickle_value){.kind = (uint8_t)kind, .count = (uint32_t)count, .at = at});
}

/* A whole number of any length, in two's complement. */
static rubato_status push_long(machine *m, size_t length_bytes) {
    size_t at, count;
    TRY(take_span(m, length_bytes, &at, &count));
    if (count > 8) return push(m, (pickle_value){.kind = PICKLE_WIDE, .count = (uint32_t)count, .at = at});
    uint64_t bits = little_number(m->data + at, count);
    if (count && count < 8 && m->data[at + count - 1] & 0x80) bits |= UINT64_MAX << (8 * count);
    return push_whole(m, PICKLE_WHOLE, (int64_t)bits);
}

/* A new list or dict. */
static rubato_status push_new(machine *m, pickle_kind kind) {
    pickle *self = m->self;
    if (self->list_count == self->list_capacity) {
        size_t capacity = self->list_capacity ? self->list_capacity * 2 : 8;
        pickle_values *grown = realloc(self->lists, capacity * sizeof *grown);
        if (!grown) return fail_memory(m->error);
        self->lists = grown;
        self->list_capacity = capacity;
    }
    self->lists[self->list_count] = (pickle_values){0};
    return push(m, (pickle_value){.kind = (uint8_t)kind, .at = self->list_count++});
}

static rubato_status pop(machine *m, pickle_value *value) {
    *value = (pickle_value){0};
    if (m->stack.count == 0 || m->stack.items[m->stack.count - 1].kind == PICKLE_MARK)
        return fail_bad(m, "a value is missing");
    *value = m->stack.items[--m->stack.count];
    return RUBATO_OK;
}

/* The last value, which must be of that kind. It stays. */
static rubato_status look(machine *m, pickle_kind kind, pickle_value *value) {
    *value = (pickle_value){0};
    if (m->stack.count == 0 || m->stack.items[m->stack.count - 1].kind != kind)
        return fail_bad(m, "a value of another kind was expected");
    *value = m->stack.items[m->stack.count - 1];
    return RUBATO_OK;
}

/* Takes off the values behind the last mark, and the mark. They stay valid until something is pushed. */
static rubato_status pop_marked(machine *m, const pickle_value **values, size_t *count) {
    size_t mark = m->stack.count;
    *values = NULL;
    *count = 0;
    while (mark > 0 && m->stack.items[mark - 1].kind != PICKLE_MARK) mark--;
    if (mark == 0) return fail_bad(m, "a mark is missing");
    *values = m->stack.items + mark;
    *count = m->stack.count - mark;
    m->stack.count = mark - 1;
    return RUBATO_OK;
}

/* The last `count` values become a tuple. */
static rubato_status push_tuple(machine *m, const pickle_value *values, size_t count) {
    size_t first = m->self->items.count;
    for (size_t i = 0; i < count; i++) TRY(add(m, &m->self->items, values[i]));
    return push(m, (pickle_value){.kind = PICKLE_TUPLE, .count = (uint32_t)count, .at = first});
}

static rubato_status push_short_tuple(machine *m, size_t count) {
    pickle_value values[3] = {0};
    for (size_t i = count; i-- > 0;) TRY(pop(m, &values[i]));
    return push_tuple(m, values, count);
}

static rubato_status push_marked_tuple(machine *m) {
    const pickle_value *values;
    size_t count;
    TRY(pop_marked(m, &values, &count));
    return push_tuple(m, values, count);
}

/* Adds the values behind the last mark to the list or dict before it. */
static rubato_status add_marked(machine *m, pickle_kind to) {
    const pickle_value *values;
    pickle_value target;
    size_t count;
    TRY(pop_marked(m, &values, &count));
    TRY(look(m, to, &target));
    if (to == PICKLE_DICT && count % 2) return fail_bad(m, "a key has no value");
    for (size_t i = 0; i < count; i++) TRY(add(m, &m->self->lists[target.at], values[i]));
    return RUBATO_OK;
}

static rubato_status add_last(machine *m, pickle_kind to) {
    pickle_value target, value, key;
    TRY(pop(m, &value));
    if (to == PICKLE_DICT) TRY(pop(m, &key));
    TRY(look(m, to, &target));
    if (to == PICKLE_DICT) TRY(add(m, &m->self->lists[target.at], key));
    return add(m, &m->self->lists[target.at], value);
}

/* ---- The memo ---- */

/* Writers count from 0 or 1, so that no place is beyond the number of values. */
static rubato_status put(machine *m, uint64_t place) {
    if (m->stack.count == 0 || m->stack.items[m->stack.count - 1].kind == PICKLE_MARK)
        return fail_bad(m, "a value is missing");
    if (place > m->made) return fail_bad(m, "a place of the memo that no writer uses");
    while (m->memo.count <= place) TRY(add(m, &m->memo, (pickle_value){0}));
    m->memo.items[place] = m->stack.items[m->stack.count - 1];
    return RUBATO_OK;
}

static rubato_status put_numbered(machine *m, size_t bytes) {
    uint64_t place;
    TRY(take_number(m, bytes, &place));
    return put(m, place);
}

static rubato_status get(machine *m, size_t bytes) {
    uint64_t place;
    TRY(take_number(m, bytes, &place));
    if (place >= m->memo.count || m->memo.items[place].kind == PICKLE_MARK)
        return fail_bad(m, "a place of the memo is empty");
    return push(m, m->memo.items[place]);
}

/* ---- Names and calls ---- */

static bool equals(const unsigned char *bytes, size_t count, const char *text) {
    return strlen(text) == count && memcmp(bytes, text, count) == 0;
}

/* A name from a hostile file, for a message. */
static void show(char *out, size_t bytes, const unsigned char *name, size_t count) {
    size_t length = size_min(count, bytes - 1);
    for (size_t i = 0; i < length; i++) out[i] = name[i] >= ' ' && name[i] <= '~' ? (char)name[i] : '?';
    out[length] = 0;
}

static rubato_status push_global(machine *m, const unsigned char *module, size_t module_bytes,
                                 const unsigned char *name, size_t name_bytes) {
    for (size_t i = 0; i < m->global_count; i++)
        if (equals(module, module_bytes, m->globals[i].module) && equals(name, name_bytes, m->globals[i].name))
            return push(m, (pickle_value){.kind = PICKLE_GLOBAL, .global = (uint8_t)i});
    char from[80], what[80];
    show(from, sizeof from, module, module_bytes);
    show(what, sizeof what, name, name_bytes);
    return fail(m->error, RUBATO_UNSUPPORTED,
                "%s: the pickle asks for %s.%s; only tensors are read, and nothing was called", m->name, from, what);
}

/* A line, without its end. */
static rubato_status take_line(machine *m, const unsigned char **line, size_t *count) {
    *line = m->data + m->at;
    *count = 0;
    const unsigned char *end = memchr(*line, '\n', size_min(m->size - m->at, MOST_GLOBAL_BYTES));
    if (!end) return fail_bad(m, "a name has no end");
    *count = (size_t)(end - *line);
    m->at += *count + 1;
    return RUBATO_OK;
}

static rubato_status global_of_lines(machine *m) {
    const unsigned char *module, *name;
    size_t module_bytes, name_bytes;
    TRY(take_line(m, &module, &module_bytes));
    TRY(take_line(m, &name, &name_bytes));
    return push_global(m, module, module_bytes, name, name_bytes);
}

static rubato_status global_of_texts(machine *m) {
    pickle_value module, name;
    TRY(look(m, PICKLE_TEXT, &name));
    TRY(pop(m, &name));
    TRY(look(m, PICKLE_TEXT, &module));
    TRY(pop(m, &module));
    return push_global(m, m->data + module.at, module.count, m->data + name.at, name.count);
}

static rubato_status call(machine *m) {
    pickle_value arguments, callee;
    TRY(look(m, PICKLE_TUPLE, &arguments));
    TRY(pop(m, &arguments));
    TRY(look(m, PICKLE_GLOBAL, &callee));
    TRY(pop(m, &callee));
    const pickle_global *of = &m->globals[callee.global];
    if (!of->dict) {
        arguments.kind = PICKLE_CALL;
        arguments.global = callee.global;
        return push(m, arguments);
    }
    if (arguments.count)
        return fail(m->error, RUBATO_UNSUPPORTED, "%s: the pickle calls %s.%s with arguments", m->name, of->module,
                    of->name);
    return push_new(m, PICKLE_DICT);
}

/* Attributes of a dict: torch notes there which version of a layer wrote it. */
static rubato_status drop_attributes(machine *m) {
    pickle_value attributes, target;
    TRY(pop(m, &attributes));
    return look(m, PICKLE_DICT, &target);
}

static rubato_status refer(machine *m) {
    pickle_value id;
    TRY(look(m, PICKLE_TUPLE, &id));
    TRY(pop(m, &id));
    id.kind = PICKLE_REFERENCE;
    TRY(add(m, &m->self->references, id));
    return push(m, id);
}

/* ---- The program ---- */

static rubato_status skip(machine *m, size_t bytes) {
    uint64_t number;
    return take_number(m, bytes, &number);
}

static rubato_status check_protocol(machine *m) {
    uint64_t protocol;
    TRY(take_number(m, 1, &protocol));
    if (protocol <= 5) return RUBATO_OK;
    return fail(m->error, RUBATO_UNSUPPORTED, "%s: pickle protocol %d; 2 to 5 are read", m->name, (int)protocol);
}

static rubato_status push_number(machine *m, size_t bytes) {
    uint64_t number;
    TRY(take_number(m, bytes, &number));
    return push_whole(m, PICKLE_WHOLE, bytes == 4 ? (int32_t)(uint32_t)number : (int64_t)number);
}

/* One opcode; their names are those of Python's module pickle. */
static rubato_status step(machine *m, unsigned char code) {
    const pickle_value *values;
    pickle_value value;
    size_t at, count;
    switch (code) {
    case 0x80: return check_protocol(m);                                             /* PROTO */
    case 0x95: return skip(m, 8);                                                    /* FRAME */
    case '(': return push_kind(m, PICKLE_MARK);                                      /* MARK */
    case '0': return pop(m, &value);                                                 /* POP */
    case '1': return pop_marked(m, &values, &count);                                 /* POP_MARK */
    case 'N': return push_kind(m, PICKLE_OTHER);                                     /* NONE */
    case 0x88: return push_whole(m, PICKLE_BOOL, 1);                                 /* NEWTRUE */
    case 0x89: return push_whole(m, PICKLE_BOOL, 0);                                 /* NEWFALSE */
    case 'K': return push_number(m, 1);                                              /* BININT1 */
    case 'M': return push_number(m, 2);                                              /* BININT2 */
    case 'J': return push_number(m, 4);                                              /* BININT */
    case 0x8a: return push_long(m, 1);                                               /* LONG1 */
    case 0x8b: return push_long(m, 4);                                               /* LONG4 */
    case 'G': TRY(skip(m, 8)); return push_kind(m, PICKLE_OTHER);                    /* BINFLOAT */
    case 'U': return push_span(m, PICKLE_TEXT, 1);                                   /* SHORT_BINSTRING, of Python 2 */
    case 'T': return push_span(m, PICKLE_TEXT, 4);                                   /* BINSTRING */
    case 0x8c: return push_span(m, PICKLE_TEXT, 1);                                  /* SHORT_BINUNICODE */
    case 'X': return push_span(m, PICKLE_TEXT, 4);                                   /* BINUNICODE */
    case 0x8d: return push_span(m, PICKLE_TEXT, 8);                                  /* BINUNICODE8 */
    case 'C': TRY(take_span(m, 1, &at, &count)); return push_kind(m, PICKLE_OTHER);  /* SHORT_BINBYTES */
    case 'B': TRY(take_span(m, 4, &at, &count)); return push_kind(m, PICKLE_OTHER);  /* BINBYTES */
    case 0x8e: TRY(take_span(m, 8, &at, &count)); return push_kind(m, PICKLE_OTHER); /* BINBYTES8 */
    case ')': return push_short_tuple(m, 0);                                         /* EMPTY_TUPLE */
    case 0x85: return push_short_tuple(m, 1);                                        /* TUPLE1 */
    case 0x86: return push_short_tuple(m, 2);                                        /* TUPLE2 */
    case 0x87: return push_short_tuple(m, 3);                                        /* TUPLE3 */
    case 't': return push_marked_tuple(m);                                           /* TUPLE */
    case ']': return push_new(m, PICKLE_LIST);                                       /* EMPTY_LIST */
    case 'a': return add_last(m, PICKLE_LIST);                                       /* APPEND */
    case 'e': return add_marked(m, PICKLE_LIST);                                     /* APPENDS */
    case '}': return push_new(m, PICKLE_DICT);                                       /* EMPTY_DICT */
    case 's': return add_last(m, PICKLE_DICT);                                       /* SETITEM */
    case 'u': return add_marked(m, PICKLE_DICT);                                     /* SETITEMS */
    case 'q': return put_numbered(m, 1);                                             /* BINPUT */
    case 'r': return put_numbered(m, 4);                                             /* LONG_BINPUT */
    case 0x94: return put(m, m->memo.count);                                         /* MEMOIZE */
    case 'h': return get(m, 1);                                                      /* BINGET */
    case 'j': return get(m, 4);                                                      /* LONG_BINGET */
    case 'c': return global_of_lines(m);                                             /* GLOBAL */
    case 0x93: return global_of_texts(m);                                            /* STACK_GLOBAL */
    case 'R': return call(m);                                                        /* REDUCE */
    case 'b': return drop_attributes(m);                                             /* BUILD */
    case 'Q': return refer(m);                                                       /* BINPERSID */
    default:
        return fail(m->error, RUBATO_UNSUPPORTED, "%s: byte %zu of the pickle: opcode 0x%02x, which no tensor needs",
                    m->name, m->at - 1, code);
    }
}

static rubato_status run(machine *m) {
    for (;;) {
        uint64_t code;
        TRY(take_number(m, 1, &code));
        if (code == '.') break; /* STOP */
        TRY(step(m, (unsigned char)code));
    }
    TRY(pop(m, &m->self->top));
    m->self->size = m->at;
    return m->stack.count ? fail_bad(m, "values are left over") : RUBATO_OK;
}

rubato_status pickle_read(pickle *self, const unsigned char *data, size_t size, const pickle_global *globals,
                          size_t global_count, const char *name, rubato_error *error) {
    *self = (pickle){.data = data};
    machine m = {.self = self,
                 .data = data,
                 .size = size,
                 .globals = globals,
                 .global_count = global_count,
                 .name = name,
                 .error = error};
    rubato_status status = run(&m);
    free(m.stack.items);
    free(m.memo.items);
    if (status != RUBATO_OK) pickle_free(self);
    return status;
}

void pickle_free(pickle *self) {
    for (size_t i = 0; i < self->list_count; i++) free(self->lists[i].items);
    free(self->lists);
    free(self->items.items);
    free(self->references.items);
    *self = (pickle){0};
}

const pickle_value *pickle_items(const pickle *self, pickle_value of) {
    return self->items.items + of.at;
}

const pickle_values *pickle_contents(const pickle *self, pickle_value of) {
    return &self->lists[of.at];
}

const char *pickle_text(const pickle *self, pickle_value of) {
    return (const char *)self->data + of.at;
}

bool pickle_text_is(const pickle *self, pickle_value of, const char *text) {
    return of.kind == PICKLE_TEXT && equals(self->data + of.at, of.count, text);
}
