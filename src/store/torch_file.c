/* Reading the files of torch.save. */
#include "store/torch_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/little.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "store/pickle.h"
#include "store/zip.h"

enum { MOST_KEY_BYTES = 255 };

/* ---- Names that a file may use ---- */

/* class of a storage, type of its elements */
#define STORAGE_MAP(X)                                                                                                 \
    X(FloatStorage, F32)                                                                                               \
    X(HalfStorage, F16)                                                                                                \
    X(BFloat16Storage, BF16)                                                                                           \
    X(DoubleStorage, F64)                                                                                              \
    X(LongStorage, I64)                                                                                                \
    X(IntStorage, I32)                                                                                                 \
    X(ShortStorage, I16)                                                                                               \
    X(CharStorage, I8)                                                                                                 \
    X(ByteStorage, U8)                                                                                                 \
    X(BoolStorage, BOOL)                                                                                               \
    X(ComplexFloatStorage, C64)

enum { GLOBAL_DICT, GLOBAL_TENSOR, GLOBAL_PARAMETER, FIRST_STORAGE };

static const pickle_global globals[] = {{"collections", "OrderedDict", true},
                                        {"torch._utils", "_rebuild_tensor_v2", false},
                                        {"torch._utils", "_rebuild_parameter", false},
#define STORAGE_GLOBAL(name, type) {"torch", #name, false},
                                        STORAGE_MAP(STORAGE_GLOBAL)
#undef STORAGE_GLOBAL
};

static const dtype storage_types[] = {
#define STORAGE_TYPE(name, type) DTYPE_##type,
    STORAGE_MAP(STORAGE_TYPE)
#undef STORAGE_TYPE
};

static rubato_status read_pickle(pickle *out, const unsigned char *data, size_t size, const char *name,
                                 rubato_error *error) {
    return pickle_read(out, data, size, globals, sizeof globals / sizeof globals[0], name, error);
}

/* ---- Storages ---- */

typedef struct torch_storage {
    const char *key; /* without a NUL */
    size_t key_bytes;
    dtype type;
    size_t elements, bytes;
    const unsigned char *data; /* NULL: not found yet */
} torch_storage;

typedef struct reading {
    tensor_file *file;
    const unsigned char *data;
    size_t size;
    const char *name;
    rubato_error *error;
    pickle object;
    torch_storage *storages; /* sorted by key */
    size_t storage_count;
} reading;

static rubato_status fail_storage(const reading *r, const torch_storage *of, const char *what) {
    return fail(r->error, RUBATO_BAD_MODEL, "%s: storage \"%.*s\": %s", r->name, (int)size_min(of->key_bytes, 40),
                of->key, what);
}

static bool key_is_plain(const char *key, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (key[i] <= ' ' || key[i] > '~') return false;
    return bytes > 0 && bytes <= MOST_KEY_BYTES;
}

/* ('storage', class, key, device, elements); the older form ends in the place of a view, None nowadays. */
static rubato_status read_reference(const reading *r, pickle_value of, torch_storage *out) {
    const pickle_value *parts = pickle_items(&r->object, of);
    bool whole = (of.count == 5 || of.count == 6) && pickle_text_is(&r->object, parts[0], "storage") &&
                 parts[1].kind == PICKLE_GLOBAL && parts[1].global >= FIRST_STORAGE && parts[2].kind == PICKLE_TEXT &&
                 parts[4].kind == PICKLE_WHOLE && parts[4].whole >= 0;
    if (!whole || !key_is_plain(pickle_text(&r->object, parts[2]), parts[2].count))
        return fail(r->error, RUBATO_BAD_MODEL, "%s: the pickle describes no storage that torch.save writes", r->name);
    *out = (torch_storage){.key = pickle_text(&r->object, parts[2]),
                           .key_bytes = parts[2].count,
                           .type = storage_types[parts[1].global - FIRST_STORAGE],
                           .elements = (size_t)parts[4].whole};
    if (of.count == 6 && parts[5].kind != PICKLE_OTHER) return fail_storage(r, out, "is a part of another one");
    if (!checked_multiply(out->elements, dtype_bits(out->type) / 8, &out->bytes) || out->bytes > r->size)
        return fail_storage(r, out, "is larger than the file; is that cut short?");
    return RUBATO_OK;
}

static int by_key(const void *a, const void *b) {
    const torch_storage *x = a, *y = b;
    int order = memcmp(x->key, y->key, size_min(x->key_bytes, y->key_bytes));
    return order ? order : x->key_bytes < y->key_bytes ? -1 : x->key_bytes > y->key_bytes;
}

static torch_storage *find_storage(const reading *r, const torch_storage *key) {
    return r->storage_count ? bsearch(key, r->storages, r->storage_count, sizeof *key, by_key) : NULL;
}

/* Collects what the pickle says of storages; each tensor says it again. */
static rubato_status collect_storages(reading *r) {
    const pickle_values *all = &r->object.references;
    r->storages = calloc(all->count + 1, sizeof *r->storages);
    if (!r->storages) return fail_memory(r->error);
    for (size_t i = 0; i < all->count; i++) TRY(read_reference(r, all->items[i], &r->storages[i]));
    if (all->count) qsort(r->storages, all->count, sizeof *r->storages, by_key);
    for (size_t i = 0; i < all->count; i++) {
        const torch_storage *now = &r->storages[i], *last = &r->storages[r->storage_count - (r->storage_count > 0)];
        if (r->storage_count == 0 || by_key(now, last) != 0)
            r->storages[r->storage_count++] = *now;
        else if (now->type != last->type || now->elements != last->elements)
            return fail_storage(r, now, "has two types or sizes");
    }
    return RUBATO_OK;
}

/* ---- Tensors ---- */

/* A tensor of the pickle: where its elements stand in a storage. */
typedef struct placement {
    size_t offset, stride[MAX_RANK];
    const torch_storage *of;
} placement;

static bool in_order(const stored_tensor *tensor, const placement *at) {
    size_t step = 1;
    for (size_t i = tensor->elements ? tensor->rank : 0; i-- > 0;) {
        if (tensor->shape[i] != 1 && at->stride[i] != step) return false;
        step *= tensor->shape[i]; /* the product was checked */
    }
    return true;
}

/* Whether every element is within the storage. */
static bool within(const stored_tensor *tensor, const placement *at) {
    size_t last = at->offset, step;
    if (tensor->elements == 0) return at->offset <= at->of->elements;
    for (size_t i = 0; i < tensor->rank; i++)
        if (!checked_multiply(tensor->shape[i] - 1, at->stride[i], &step) || !checked_add(last, step, &last))
            return false;
    return last < at->of->elements;
}

static bool whole_size(pickle_value value, size_t *out) {
    if (value.kind != PICKLE_WHOLE || value.whole < 0) return false;
    *out = (size_t)value.whole;
    return true;
}

static rubato_status fail_tensor(const reading *r, const stored_tensor *tensor, const char *what) {
    return fail(r->error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": %s", r->name, tensor->name, what);
}

/* _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks[, metadata]) */
static rubato_status read_tensor(const reading *r, pickle_value call, stored_tensor *tensor, placement *at) {
    const pickle_value *parts = pickle_items(&r->object, call);
    torch_storage key;
    bool whole = (call.count == 6 || call.count == 7) && parts[0].kind == PICKLE_REFERENCE &&
                 whole_size(parts[1], &at->offset) && parts[2].kind == PICKLE_TUPLE && parts[3].kind == PICKLE_TUPLE &&
                 parts[2].count == parts[3].count;
    if (!whole) return fail_tensor(r, tensor, "is not described as torch.save does");
    tensor->rank = parts[2].count;
    if (tensor->rank > MAX_RANK)
        return fail(r->error, RUBATO_UNSUPPORTED, "%s: tensor \"%.120s\": %zu dimensions", r->name, tensor->name,
                    tensor->rank);
    for (size_t i = 0; i < tensor->rank; i++)
        if (!whole_size(pickle_items(&r->object, parts[2])[i], &tensor->shape[i]) ||
            !whole_size(pickle_items(&r->object, parts[3])[i], &at->stride[i]))
            return fail_tensor(r, tensor, "shape or strides are not of whole numbers");
    TRY(read_reference(r, parts[0], &key));
    at->of = find_storage(r, &key);
    tensor->type = key.type;
    TRY(tensor_measure(tensor, r->name, tensor->name, r->error));
    if (!within(tensor, at)) return fail_tensor(r, tensor, "goes beyond its storage");
    tensor->data = at->of->data + at->offset * (dtype_bits(tensor->type) / 8);
    return RUBATO_OK;
}

/* Writes a tensor's elements row by row. */
static void put_in_order(const stored_tensor *tensor, const placement *at, unsigned char *out) {
    size_t index[MAX_RANK] = {0}, bytes = dtype_bits(tensor->type) / 8, from = 0;
    for (size_t n = 0; n < tensor->elements; n++) {
        memcpy(out + n * bytes, tensor->data + from * bytes, bytes);
        for (size_t i = tensor->rank; i-- > 0;) {
            from += at->stride[i];
            if (++index[i] < tensor->shape[i]) break;
            from -= index[i] * at->stride[i];
            index[i] = 0;
        }
    }
}

static rubato_status order_tensors(const reading *r, const placement *places) {
    tensor_file *file = r->file;
    size_t needed = 0;
    unsigned char *out;
    for (size_t i = 0; i < file->count; i++)
        if (!in_order(&file->tensors[i], &places[i]) &&
            (!checked_add(needed, file->tensors[i].bytes, &needed) || needed > r->size))
            return fail_tensor(r, &file->tensors[i], "its elements stand in the file more than once; too much memory");
    TRY(file_map_memory(&file->made, &out, needed, r->error));
    for (size_t i = 0; i < file->count; i++) {
        stored_tensor *tensor = &file->tensors[i];
        if (in_order(tensor, &places[i])) continue;
        put_in_order(tensor, &places[i], out);
        tensor->data = out;
        out += tensor->bytes;
    }
    return RUBATO_OK;
}

/* A parameter holds its tensor first. */
static bool is_tensor(const reading *r, pickle_value *value) {
    if (value->kind == PICKLE_CALL && value->global == GLOBAL_PARAMETER && value->count > 0)
        *value = pickle_items(&r->object, *value)[0];
    return value->kind == PICKLE_CALL && value->global == GLOBAL_TENSOR;
}

static rubato_status copy_name(const reading *r, pickle_value key, char **name) {
    const char *text = pickle_text(&r->object, key);
    if (key.kind != PICKLE_TEXT || memchr(text, 0, key.count) || utf8_check(text, key.count) != key.count)
        return fail(r->error, RUBATO_BAD_MODEL, "%s: a tensor has no name that is a text", r->name);
    *name = text_copy(text, key.count);
    return *name ? RUBATO_OK : fail_memory(r->error);
}

/* Reads the tensors of the dict that the file holds. What else is in it belongs to no model. */
static rubato_status read_tensors(const reading *r, placement *places, const pickle_values *entries) {
    for (size_t i = 0; i + 1 < entries->count; i += 2) {
        pickle_value value = entries->items[i + 1];
        if (!is_tensor(r, &value)) continue;
        stored_tensor *tensor = &r->file->tensors[r->file->count];
        TRY(copy_name(r, entries->items[i], &tensor->name));
        TRY(read_tensor(r, value, tensor, &places[r->file->count++]));
    }
    if (r->file->count == 0)
        return fail(r->error, RUBATO_UNSUPPORTED,
                    "%s: its dict holds no tensors; a dict of weights within another one must be saved by itself",
                    r->name);
    TRY(order_tensors(r, places));
    return tensor_file_sort(r->file, r->name, r->error);
}

static rubato_status make_tensors(const reading *r) {
    if (r->object.top.kind != PICKLE_DICT)
        return fail(r->error, RUBATO_UNSUPPORTED, "%s: holds no dict of tensors, as state_dict() makes it", r->name);
    const pickle_values *entries = pickle_contents(&r->object, r->object.top);
    r->file->tensors = calloc(entries->count / 2 + 1, sizeof *r->file->tensors);
    placement *places = calloc(entries->count / 2 + 1, sizeof *places);
    rubato_status status = r->file->tensors && places ? read_tensors(r, places, entries) : fail_memory(r->error);
    free(places);
    return status;
}

/* ---- The zip archive ---- */

/* An entry of the folder of the archive; the folder's name ends in a slash. */
static const zip_entry *find_entry(const zip_archive *archive, const char *folder, const char *inner, const char *name,
                                   size_t name_bytes) {
    char path[2 * MOST_KEY_BYTES + 16];
    size_t length = (size_t)snprintf(path, sizeof path, "%s%s%.*s", folder, inner, (int)name_bytes, name);
    return zip_find(archive, path, length);
}

/* Every entry is in one folder, whose name the writer chose. */
static rubato_status find_folder(const reading *r, const zip_archive *archive, char folder[MOST_KEY_BYTES + 1]) {
    const char *slash = archive->count ? memchr(archive->entries[0].name, '/', archive->entries[0].name_bytes) : NULL;
    size_t length = slash ? (size_t)(slash - archive->entries[0].name) + 1 : 0;
    if (!slash || length > MOST_KEY_BYTES || memchr(archive->entries[0].name, 0, length))
        return fail(r->error, RUBATO_BAD_MODEL, "%s: an archive that torch.save did not write", r->name);
    memcpy(folder, archive->entries[0].name, length);
    folder[length] = 0;
    return RUBATO_OK;
}

static rubato_status read_entries(reading *r, const zip_archive *archive) {
    char folder[MOST_KEY_BYTES + 1];
    TRY(find_folder(r, archive, folder));
    const zip_entry *order = find_entry(archive, folder, "byteorder", "", 0);
    if (order && (order->bytes != 6 || memcmp(order->data, "little", 6) != 0))
        return fail(r->error, RUBATO_UNSUPPORTED, "%s: its numbers are not little-endian", r->name);
    const zip_entry *program = find_entry(archive, folder, "data.pkl", "", 0);
    if (!program)
        return fail(r->error, RUBATO_BAD_MODEL, "%s: an archive without data.pkl, which torch.save writes", r->name);
    TRY(read_pickle(&r->object, program->data, program->bytes, r->name, r->error));
    TRY(collect_storages(r));
    for (size_t i = 0; i < r->storage_count; i++) {
        torch_storage *now = &r->storages[i];
        const zip_entry *entry = find_entry(archive, folder, "data/", now->key, now->key_bytes);
        if (!entry) return fail_storage(r, now, "is not in the archive");
        if (entry->bytes != now->bytes) return fail_storage(r, now, "has another length than the pickle says");
        now->data = entry->data;
    }
    return make_tensors(r);
}

static rubato_status read_archive(reading *r) {
    zip_archive archive;
    TRY(zip_open(&archive, r->data, r->size, r->name, r->error));
    rubato_status status = read_entries(r, &archive);
    zip_close(&archive);
    return status;
}

/* ---- The form before torch 1.6 ----
 *
 *   pickle: a number that marks the format | pickle: 1001 | pickle: sizes and order of bytes of the writer |
 *   pickle: the object | pickle: list of the storages' keys | for each of them: elements (64 bits), bytes */

/* Reads a pickle that holds one value, and moves on. The caller frees it. */
static rubato_status next_pickle(const reading *r, size_t *at, pickle *out) {
    TRY(read_pickle(out, r->data + *at, r->size - *at, r->name, r->error));
    *at += out->size;
    return RUBATO_OK;
}

static bool is_mark(const pickle *value) {
    static const unsigned char mark[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    return value->top.kind == PICKLE_WIDE && value->top.count == sizeof mark &&
           memcmp(pickle_text(value, value->top), mark, sizeof mark) == 0;
}

static bool is_version(const pickle *value) {
    return value->top.kind == PICKLE_WHOLE && value->top.whole == 1001;
}

static bool is_little(const pickle *value) {
    if (value->top.kind != PICKLE_DICT) return false;
    const pickle_values *entries = pickle_contents(value, value->top);
    for (size_t i = 0; i + 1 < entries->count; i += 2)
        if (pickle_text_is(value, entries->items[i], "little_endian"))
            return entries->items[i + 1].kind == PICKLE_BOOL && entries->items[i + 1].whole;
    return false;
}

static rubato_status check_head(const reading *r, size_t *at) {
    static const struct {
        bool (*holds)(const pickle *value);
        const char *wrong;
    } head[] = {{is_mark, "no file that torch.save writes"},
                {is_version, "another version of torch's format than 1001"},
                {is_little, "its numbers are not little-endian"}};
    if (r->size < 2 || r->data[0] != 0x80)
        return fail(r->error, RUBATO_BAD_MODEL, "%s: no file that torch.save writes", r->name);
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) {
        pickle value;
        TRY(next_pickle(r, at, &value));
        bool holds = head[i].holds(&value);
        pickle_free(&value);
        if (!holds) return fail(r->error, RUBATO_UNSUPPORTED, "%s: %s", r->name, head[i].wrong);
    }
    return RUBATO_OK;
}

/* Finds the bytes of one storage and moves on. */
static rubato_status place_storage(const reading *r, const pickle *keys, pickle_value key, size_t *at) {
    if (key.kind != PICKLE_TEXT || !key_is_plain(pickle_text(keys, key), key.count))
        return fail(r->error, RUBATO_BAD_MODEL, "%s: a storage has no name", r->name);
    torch_storage wanted = {.key = pickle_text(keys, key), .key_bytes = key.count}, *now = find_storage(r, &wanted);
    if (!now || now->data) return fail_storage(r, &wanted, now ? "stands there twice" : "belongs to no tensor");
    if (r->size - *at < 8 || r->size - *at - 8 < now->bytes)
        return fail_storage(r, now, "ends beyond the file; is that cut short?");
    if (little_number(r->data + *at, 8) != now->elements)
        return fail_storage(r, now, "has another length than the pickle says");
    now->data = r->data + *at + 8;
    *at += 8 + now->bytes;
    return RUBATO_OK;
}

static rubato_status place_storages(const reading *r, const pickle *keys, size_t at) {
    if (keys->top.kind != PICKLE_LIST)
        return fail(r->error, RUBATO_BAD_MODEL, "%s: no list of storages behind the pickle", r->name);
    const pickle_values *list = pickle_contents(keys, keys->top);
    for (size_t i = 0; i < list->count; i++) TRY(place_storage(r, keys, list->items[i], &at));
    for (size_t i = 0; i < r->storage_count; i++)
        if (!r->storages[i].data) return fail_storage(r, &r->storages[i], "is not in the file");
    return RUBATO_OK;
}

static rubato_status read_sequence(reading *r) {
    size_t at = 0;
    pickle keys;
    TRY(check_head(r, &at));
    TRY(next_pickle(r, &at, &r->object));
    TRY(collect_storages(r));
    TRY(next_pickle(r, &at, &keys));
    rubato_status status = place_storages(r, &keys, at);
    pickle_free(&keys);
    return status == RUBATO_OK ? make_tensors(r) : status;
}

rubato_status torch_file_parse(tensor_file *file, const unsigned char *data, size_t size, const char *name,
                               rubato_error *error) {
    *file = (tensor_file){0};
    reading r = {.file = file, .data = data, .size = size, .name = name, .error = error};
    rubato_status status = zip_begins(data, size) ? read_archive(&r) : read_sequence(&r);
    free(r.storages);
    pickle_free(&r.object);
    if (status != RUBATO_OK) tensor_file_close(file);
    return status;
}
