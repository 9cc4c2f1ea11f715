/* Reading pickles without running them. A pickle is a program for a small machine with a stack. Python's own reader
 * calls whatever function the program names; this one knows a list of names, refuses every other by its name, and calls
 * none: a call becomes a value that says what was called with which values. The opcodes are those with which Python
 * writes dicts, lists, tuples, texts and numbers in protocols 2 to 5.
 *
 * Nothing here recurses, so nesting needs no limit. A program makes at most MAX_PICKLE_VALUES values, whatever it says,
 * and one byte of it makes one value at most. */
#ifndef RUBATO_STORE_PICKLE_H
#define RUBATO_STORE_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { MAX_PICKLE_VALUES = 1 << 20 };

typedef enum pickle_kind {
    PICKLE_MARK,  /* of the machine; no value is one */
    PICKLE_OTHER, /* None, a float, bytes */
    PICKLE_BOOL,
    PICKLE_WHOLE,
    PICKLE_WIDE, /* a whole number beyond 64 bits: little-endian bytes */
    PICKLE_TEXT, /* its bytes, without a NUL behind them */
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,     /* keys and values in turn */
    PICKLE_GLOBAL,   /* one of the names that may stand there */
    PICKLE_CALL,     /* a call of one, with its arguments */
    PICKLE_REFERENCE /* something outside the pickle, described by a tuple */
} pickle_kind;

typedef struct pickle_value {
    uint8_t kind;
    uint8_t global; /* GLOBAL, CALL: its place in the list of names */
    uint32_t count; /* TEXT, WIDE: bytes; TUPLE, CALL, REFERENCE: values */
    union {
        int64_t whole; /* BOOL, WHOLE */
        size_t at;     /* TEXT, WIDE: in the bytes; TUPLE, CALL, REFERENCE: in `items`; LIST, DICT: in `lists` */
    };
} pickle_value;

typedef struct pickle_values {
    pickle_value *items;
    size_t count, capacity;
} pickle_values;

/* A name that a pickle may use. */
typedef struct pickle_global {
    const char *module, *name;
    bool dict; /* a call of it without arguments makes an empty dict */
} pickle_global;

typedef struct pickle {
    const unsigned char *data; /* borrowed */
    size_t size;               /* of the pickle, with its last opcode */
    pickle_value top;          /* what it makes */
    pickle_values items;       /* of tuples */
    pickle_values *lists;      /* the contents of lists and dicts */
    size_t list_count, list_capacity;
    pickle_values references; /* every REFERENCE that was made */
} pickle;

/* Reads the pickle with which `data` begins. `name` is used in messages. On failure nothing is held. Fails: BAD_MODEL,
 * UNSUPPORTED for what is not read, OUT_OF_MEMORY. */
rubato_status pickle_read(pickle *self, const unsigned char *data, size_t size, const pickle_global *globals,
                          size_t global_count, const char *name, rubato_error *error);
void pickle_free(pickle *self);

/* The values of a tuple, call or reference; the contents of a list or dict. */
const pickle_value *pickle_items(const pickle *self, pickle_value of);
const pickle_values *pickle_contents(const pickle *self, pickle_value of);

/* The bytes of a text, and whether it is that one. */
const char *pickle_text(const pickle *self, pickle_value of);
bool pickle_text_is(const pickle *self, pickle_value of, const char *text);

#endif
