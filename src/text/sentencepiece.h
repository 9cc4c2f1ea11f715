/* A SentencePiece model: the parts of its file (a protobuf message) that tokenizers need. */
#ifndef RUBATO_TEXT_SENTENCEPIECE_H
#define RUBATO_TEXT_SENTENCEPIECE_H

#include <stddef.h>

#include "base/error.h"

typedef enum sentencepiece_type {
    PIECE_OTHER = 0,
    PIECE_NORMAL = 1,
    PIECE_CONTROL = 3,
    PIECE_USER_DEFINED = 4
} sentencepiece_type;

/* A run of bytes in the file; those of pieces are valid UTF-8 without NUL. */
typedef struct file_bytes {
    const char *data;
    size_t size;
} file_bytes;

typedef struct sentencepiece {
    file_bytes text;
    float score; /* finite */
    sentencepiece_type type;
} sentencepiece;

enum { SENTENCEPIECE_UNIGRAM = 1, SENTENCEPIECE_BPE = 2 };

typedef struct sentencepiece_model {
    sentencepiece *pieces;
    size_t count, capacity;
    int model_type;
    size_t unknown_id;   /* may be beyond the pieces */
    file_bytes charsmap; /* no bytes: text is not changed */
} sentencepiece_model;

/* Reads a file's bytes, which must stay as long as the model. Fails: BAD_MODEL, OUT_OF_MEMORY. */
rubato_status sentencepiece_read(sentencepiece_model *model, const char *bytes, size_t size, rubato_error *error);
void sentencepiece_free(sentencepiece_model *model);

#endif
