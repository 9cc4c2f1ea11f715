/* Reading a SentencePiece model. A protobuf message is a sequence of fields: a key (number << 3 | form), then a number,
 * or a length and so many bytes. The bytes of a message inside are fields again. Of fields that may occur once, the
 * last one counts. */
#include "text/sentencepiece.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum { MAX_PIECES = 1 << 22 };

typedef enum field_form { FORM_NUMBER = 0, FORM_64_BITS = 1, FORM_BYTES = 2, FORM_32_BITS = 5 } field_form;

typedef struct field {
    uint64_t number;
    field_form form;
    uint64_t value;   /* of a number and of bits */
    file_bytes bytes; /* of bytes */
} field;

static bool read_number(file_bytes *from, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64 && from->size > 0; shift += 7) {
        unsigned char byte = (unsigned char)*from->data++;
        from->size--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool read_bits(file_bytes *from, size_t size, uint64_t *value) {
    if (from->size < size) return false;
    *value = 0;
    for (size_t i = 0; i < size; i++) *value |= (uint64_t)(unsigned char)from->data[i] << 8 * i;
    from->data += size;
    from->size -= size;
    return true;
}

/* The next field of a message, which shrinks to what follows. */
static bool read_field(file_bytes *from, field *out) {
    uint64_t key, size;
    if (!read_number(from, &key)) return false;
    *out = (field){.number = key >> 3, .form = (field_form)(key & 7)};
    switch (out->form) {
    case FORM_NUMBER: return read_number(from, &out->value);
    case FORM_64_BITS: return read_bits(from, 8, &out->value);
    case FORM_32_BITS: return read_bits(from, 4, &out->value);
    case FORM_BYTES:
        if (!read_number(from, &size) || size > from->size) return false;
        out->bytes = (file_bytes){from->data, (size_t)size};
        from->data += size;
        from->size -= (size_t)size;
        return true;
    }
    return false;
}

static bool is(const field *f, uint64_t number, field_form form) {
    return f->number == number && f->form == form;
}

static rubato_status fail_broken(rubato_error *error, const char *part) {
    return fail(error, RUBATO_BAD_MODEL, "not a SentencePiece model: %s is cut short or no protobuf message", part);
}

static sentencepiece_type type_of(uint64_t value) {
    switch (value) {
    case PIECE_NORMAL: return PIECE_NORMAL;
    case PIECE_CONTROL: return PIECE_CONTROL;
    case PIECE_USER_DEFINED: return PIECE_USER_DEFINED;
    default: return PIECE_OTHER;
    }
}

static rubato_status add_piece(sentencepiece_model *model, file_bytes from, rubato_error *error) {
    sentencepiece made = {.type = PIECE_NORMAL};
    for (field f; from.size > 0;) {
        if (!read_field(&from, &f)) return fail_broken(error, "a piece");
        if (is(&f, 1, FORM_BYTES)) made.text = f.bytes;
        if (is(&f, 3, FORM_NUMBER)) made.type = type_of(f.value);
        if (is(&f, 2, FORM_32_BITS)) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&made.score, &bits, sizeof made.score);
        }
    }
    if (!isfinite(made.score) || utf8_check(made.text.data, made.text.size) < made.text.size ||
        (made.text.size && memchr(made.text.data, 0, made.text.size)))
        return fail(error, RUBATO_BAD_MODEL,
                    "piece %zu is not valid UTF-8, holds the character U+0000 or has no finite score", model->count);
    if (model->count == MAX_PIECES)
        return fail(error, RUBATO_BAD_MODEL, "more than %d pieces; no real model is near", MAX_PIECES);
    if (model->count == model->capacity) {
        size_t capacity = model->capacity * 2 + 1024;
        sentencepiece *pieces = realloc(model->pieces, capacity * sizeof *pieces);
        if (!pieces) return fail_memory(error);
        model->pieces = pieces;
        model->capacity = capacity;
    }
    model->pieces[model->count++] = made;
    return RUBATO_OK;
}

static rubato_status read_trainer(sentencepiece_model *model, file_bytes from, rubato_error *error) {
    for (field f; from.size > 0;) {
        if (!read_field(&from, &f)) return fail_broken(error, "trainer_spec");
        if (is(&f, 40, FORM_NUMBER)) model->unknown_id = f.value < MAX_PIECES ? (size_t)f.value : MAX_PIECES;
        if (is(&f, 3, FORM_NUMBER)) model->model_type = f.value < 64 ? (int)f.value : 0;
    }
    return RUBATO_OK;
}

static rubato_status read_normalizer(sentencepiece_model *model, file_bytes from, rubato_error *error) {
    for (field f; from.size > 0;) {
        if (!read_field(&from, &f)) return fail_broken(error, "normalizer_spec");
        if (is(&f, 2, FORM_BYTES)) model->charsmap = f.bytes;
    }
    return RUBATO_OK;
}

static rubato_status read_model(sentencepiece_model *model, file_bytes from, rubato_error *error) {
    for (field f; from.size > 0;) {
        if (!read_field(&from, &f)) return fail_broken(error, "the file");
        if (is(&f, 1, FORM_BYTES)) TRY(add_piece(model, f.bytes, error));
        if (is(&f, 2, FORM_BYTES)) TRY(read_trainer(model, f.bytes, error));
        if (is(&f, 3, FORM_BYTES)) TRY(read_normalizer(model, f.bytes, error));
    }
    return model->count ? RUBATO_OK : fail(error, RUBATO_BAD_MODEL, "not a SentencePiece model: it has no pieces");
}

rubato_status sentencepiece_read(sentencepiece_model *model, const char *bytes, size_t size, rubato_error *error) {
    *model = (sentencepiece_model){.model_type = SENTENCEPIECE_UNIGRAM};
    rubato_status status = read_model(model, (file_bytes){bytes, size}, error);
    if (status != RUBATO_OK) sentencepiece_free(model);
    return status;
}

void sentencepiece_free(sentencepiece_model *model) {
    free(model->pieces);
    *model = (sentencepiece_model){0};
}
