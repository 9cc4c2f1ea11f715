/* Downloads from a hub into the Hugging Face cache, over libcurl.
 *
 * One request lists the repository's files at a revision. For each wanted file, the first answer to HEAD gives its ETag
 * and size (X-Linked-Etag and X-Linked-Size where another server has the content). The content is then written to
 * ETAG.incomplete, from the byte at which an earlier download stopped. It is hashed, renamed to its blob, and linked
 * into the snapshot. The reference is written last, so that an interrupted pull is never taken for a whole model. */
#define _DEFAULT_SOURCE
#include "store/hub.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/options.h"
#include "base/text_buffer.h"
#include "store/hub_cache.h"

enum { MAX_LISTING = 64 << 20, MOST_FILES = 10000, ATTEMPTS = 3 };

typedef struct puller {
    CURL *curl;
    struct curl_slist *headers;
    const rubato_pull_options *options;
    const char *name, *revision;
    char endpoint[1024];
    char repository[HUB_PATH], snapshot[HUB_PATH];
    char commit[128];
    rubato_error *error;
} puller;

/* ---- One request ---- */

typedef struct answer {
    FILE *file;        /* receives the content, or NULL */
    text_buffer *text; /* receives it otherwise, or NULL */
    char etag[128];
    unsigned long long size;
    bool has_size, first_done, write_failed, cancelled, restart;
    unsigned long long had; /* bytes of an earlier download */
    const char *shown;
    const puller *pull;
} answer;

static size_t take_content(char *data, size_t one, size_t count, void *user) {
    answer *a = user;
    size_t bytes = one * count;
    if (a->text) {
        if (a->text->length + bytes > MAX_LISTING) return 0;
        text_add(a->text, data, bytes);
        return a->text->failed ? 0 : bytes;
    }
    if (!a->file) return bytes;
    long status = 0;
    curl_easy_getinfo(a->pull->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206) return bytes; /* the content is an error page */
    if (status == 200 && a->had > 0) {
        /* the server cannot resume: start from the beginning */
        if (fflush(a->file) != 0 || ftruncate(fileno(a->file), 0) != 0 || fseek(a->file, 0, SEEK_SET) != 0) {
            a->write_failed = true;
            return 0;
        }
        a->had = 0;
        a->restart = true;
    }
    if (fwrite(data, 1, bytes, a->file) != bytes) {
        a->write_failed = true;
        return 0;
    }
    return bytes;
}

/* Copies a header's value without quotes and without the mark of a weak tag. */
static void copy_tag(char *out, size_t bytes, const char *value, size_t length) {
    while (length && (*value == ' ' || *value == '\t')) value++, length--;
    while (length && strchr("\r\n \t", value[length - 1])) length--;
    if (length > 2 && value[0] == 'W' && value[1] == '/') value += 2, length -= 2;
    if (length > 1 && value[0] == '"' && value[length - 1] == '"') value++, length -= 2;
    if (length < bytes) snprintf(out, bytes, "%.*s", (int)length, value);
}

static bool header_is(const char *line, size_t length, const char *name) {
    size_t size = strlen(name);
    return length > size && strncasecmp(line, name, size) == 0 && line[size] == ':';
}

/* Reads the headers of the hub's own answer, which comes first. The answers to which it redirects have other tags. */
static size_t take_header(char *line, size_t one, size_t count, void *user) {
    answer *a = user;
    size_t length = one * count;
    if (length <= 2) {
        a->first_done = true;
    } else if (!a->first_done) {
        char value[64];
        if (header_is(line, length, "x-linked-etag")) {
            copy_tag(a->etag, sizeof a->etag, line + 14, length - 14);
        } else if (header_is(line, length, "etag") && !a->etag[0]) {
            copy_tag(a->etag, sizeof a->etag, line + 5, length - 5);
        } else if (header_is(line, length, "x-linked-size") ||
                   (header_is(line, length, "content-length") && !a->has_size)) {
            const char *colon = memchr(line, ':', length);
            copy_tag(value, sizeof value, colon + 1, length - (size_t)(colon + 1 - line));
            a->size = strtoull(value, NULL, 10);
            a->has_size = header_is(line, length, "x-linked-size") || a->size > 0;
        }
    }
    return length;
}

static int report(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
    answer *a = user;
    (void)up_total;
    (void)up_now;
    const rubato_pull_options *options = a->pull->options;
    if (!options || !options->progress || !a->shown) return 0;
    unsigned long long whole = a->size ? a->size : total > 0 ? a->had + (unsigned long long)total : 0;
    if (options->progress(options->progress_user, a->shown, a->had + (unsigned long long)now, whole)) {
        a->cancelled = true;
        return 1;
    }
    return 0;
}

static void set_up(puller *pull, const char *url, answer *a) {
    CURL *c = pull->curl;
    a->pull = pull;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, pull->headers);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 16L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "rubato/" RUBATO_VERSION_STRING);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_content);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, report);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, a);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
}

static rubato_status fail_http(puller *pull, const char *what, long status) {
    if (status == 401 || status == 403)
        return fail(pull->error, RUBATO_NETWORK, "%s: the hub refuses (%ld); set HF_TOKEN to a token that may read it",
                    what, status);
    if (status == 404)
        return fail(pull->error, RUBATO_NOT_FOUND, "%s: not on %s (404); check the name and revision \"%s\"", what,
                    pull->endpoint, pull->revision);
    return fail(pull->error, RUBATO_NETWORK, "%s: %s answered %ld", what, pull->endpoint, status);
}

/* Performs the request that was set up; *status receives the last HTTP status. */
static rubato_status perform(puller *pull, const char *what, answer *a, long *status) {
    CURLcode code = curl_easy_perform(pull->curl);
    *status = 0;
    curl_easy_getinfo(pull->curl, CURLINFO_RESPONSE_CODE, status);
    if (a->cancelled) return fail(pull->error, RUBATO_CANCELLED, "%s: stopped; run again to resume", what);
    if (a->write_failed)
        return fail(pull->error, RUBATO_IO, "%s: cannot write to %s: %s", what, pull->repository, strerror(errno));
    if (code != CURLE_OK)
        return fail(pull->error, RUBATO_NETWORK, "%s: %s (%s)", what, curl_easy_strerror(code), pull->endpoint);
    return RUBATO_OK;
}

/* ---- Checks ---- */

static bool is_hex(const char *text, size_t length) {
    return strlen(text) == length && strspn(text, "0123456789abcdef") == length;
}

/* Checks the hash that an ETag holds: SHA-256 of the content, or git's SHA-1 of a blob. Other tags are not hashes. */
static rubato_status check_hash(puller *pull, const char *path, const char *file, const char *etag) {
    bool sha256 = is_hex(etag, 64);
    if (!sha256 && !is_hex(etag, 40)) return RUBATO_OK;
    mapped_file content;
    TRY(file_map(&content, path, pull->error));
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "", prefix[64];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool done = hash && EVP_DigestInit_ex(hash, sha256 ? EVP_sha256() : EVP_sha1(), NULL);
    if (done && !sha256) {
        int size = snprintf(prefix, sizeof prefix, "blob %zu", content.size);
        done = EVP_DigestUpdate(hash, prefix, (size_t)size + 1);
    }
    done = done && (content.size == 0 || EVP_DigestUpdate(hash, content.data, content.size)) &&
           EVP_DigestFinal_ex(hash, digest, &length);
    EVP_MD_CTX_free(hash);
    file_unmap(&content);
    if (!done) return fail(pull->error, RUBATO_IO, "%s: hashing failed", file);
    for (unsigned i = 0; i < length; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    if (strcmp(hex, etag) == 0) return RUBATO_OK;
    unlink(path);
    return fail(pull->error, RUBATO_BAD_CHECKSUM, "%s: arrived damaged (hash %.12s..., should be %.12s...); run again",
                file, hex, etag);
}

static bool good_file(const char *name) {
    if (!*name || name[0] == '/' || strlen(name) > 512) return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (*part == '/' || *part == 0 || strncmp(part, "../", 3) == 0 || strcmp(part, "..") == 0 ||
            strncmp(part, "./", 2) == 0 || strcmp(part, ".") == 0)
            return false;
    }
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == '\\' || *c == 0x7f) return false;
    return true;
}

static size_t folder_length(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash ? (size_t)(slash - name) + 1 : 0;
}

/* Whether a folder's weights are in pickles alone. */
static bool only_pickles(const json_t *files, const char *name) {
    size_t folder = folder_length(name);
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *other = json_string_value(json_object_get(json_array_get(files, i), "rfilename"));
        if (other && text_ends_with(other, ".safetensors") && folder_length(other) == folder &&
            strncmp(name, other, folder) == 0)
            return false;
    }
    return true;
}

/* Whether a model needs one of the files: settings, vocabularies, weights, but not the copies for other frameworks. */
static bool wanted(const json_t *files, const char *name) {
    static const char *const skip[] = {"onnx/", "openvino/", "coreml/", "tf_", "flax_", "rust_", "."};
    static const char *const keep[] = {".json", ".txt", ".safetensors", ".model"};
    for (size_t i = 0; i < sizeof skip / sizeof skip[0]; i++)
        if (strncmp(name, skip[i], strlen(skip[i])) == 0) return false;
    for (size_t i = 0; i < sizeof keep / sizeof keep[0]; i++)
        if (text_ends_with(name, keep[i])) return true;
    const char *last = name + folder_length(name);
    bool pickle = strncmp(last, "pytorch_model", 13) == 0 || strcmp(last, "adapter_model.bin") == 0;
    return pickle && text_ends_with(name, ".bin") && only_pickles(files, name);
}

/* ---- Files ---- */

static rubato_status link_blob(puller *pull, const char *file, const char *etag) {
    char path[2 * HUB_PATH], folder[2 * HUB_PATH], target[1024] = "", temporary[2 * HUB_PATH + 16];
    snprintf(path, sizeof path, "%s/%s", pull->snapshot, file);
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    TRY(folder_create(folder, pull->error));
    size_t at = 0;
    for (const char *slash = strchr(file, '/'); slash; slash = strchr(slash + 1, '/'))
        at += (size_t)snprintf(target + at, sizeof target - at, "../");
    snprintf(target + at, sizeof target - at, "../../blobs/%s", etag);
    snprintf(temporary, sizeof temporary, "%s.%ld.new", path, (long)getpid());
    unlink(temporary);
    if (symlink(target, temporary) != 0 || rename(temporary, path) != 0) {
        int reason = errno;
        unlink(temporary);
        return fail(pull->error, RUBATO_IO, "%s: cannot link: %s", path, strerror(reason));
    }
    return RUBATO_OK;
}

/* Adds the path of a URL: all characters except letters, digits and a few marks become %XX. */
static void add_escaped(text_buffer *url, const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.~/", c))
            text_add(url, text, 1);
        else
            text_add_format(url, "%%%02X", c);
    }
}

static rubato_status receive(puller *pull, const char *url, const char *file, const char *incomplete, answer *head) {
    FILE *stream = fopen(incomplete, "ab");
    if (!stream || flock(fileno(stream), LOCK_EX) != 0 || fseek(stream, 0, SEEK_END) != 0) {
        if (stream) fclose(stream);
        return fail(pull->error, RUBATO_IO, "%s: cannot write: %s", incomplete, strerror(errno));
    }
    long had = ftell(stream);
    rubato_status status = RUBATO_OK;
    if (!head->has_size || had < 0 || (unsigned long long)had != head->size) {
        answer a = {.file = stream, .size = head->size, .shown = file, .had = had > 0 ? (unsigned long long)had : 0};
        set_up(pull, url, &a);
        a.has_size = true; /* the size is known, so the headers of this answer are not read */
        a.first_done = true;
        curl_easy_setopt(pull->curl, CURLOPT_FOLLOWLOCATION, 1L);
        char range[64];
        snprintf(range, sizeof range, "%llu-", a.had);
        if (a.had) curl_easy_setopt(pull->curl, CURLOPT_RANGE, range);
        long code;
        status = perform(pull, file, &a, &code);
        if (status == RUBATO_OK && code == 416) { /* the local part is longer than the file: start over */
            if (ftruncate(fileno(stream), 0) != 0)
                status = fail(pull->error, RUBATO_IO, "%s: cannot write", incomplete);
            else
                status = fail(pull->error, RUBATO_NETWORK, "%s: what was kept of it is not a beginning of it", file);
        } else if (status == RUBATO_OK && code != 200 && code != 206) {
            status = fail_http(pull, file, code);
        }
    }
    errno = 0;
    if ((fflush(stream) != 0 || fsync(fileno(stream)) != 0) && status == RUBATO_OK)
        status = fail(pull->error, RUBATO_IO, "%s: cannot write: %s", incomplete, strerror(errno));
    struct stat now;
    if (status == RUBATO_OK && head->has_size && fstat(fileno(stream), &now) == 0 &&
        (unsigned long long)now.st_size != head->size) {
        if ((unsigned long long)now.st_size > head->size) unlink(incomplete);
        status = fail(pull->error, RUBATO_NETWORK, "%s: %lld of %llu bytes arrived", file, (long long)now.st_size,
                      head->size);
    }
    fclose(stream);
    return status;
}

static rubato_status pull_file(puller *pull, const char *file) {
    text_buffer url = {0};
    text_add_format(&url, "%s/%s/resolve/%s/", pull->endpoint, pull->name, pull->commit);
    add_escaped(&url, file);
    if (url.failed) {
        text_free(&url);
        return fail_memory(pull->error);
    }
    char blob[HUB_PATH + 160], incomplete[HUB_PATH + 192];
    rubato_status status = RUBATO_OK;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        answer head = {0};
        long code;
        set_up(pull, url.data, &head);
        curl_easy_setopt(pull->curl, CURLOPT_NOBODY, 1L);
        status = perform(pull, file, &head, &code);
        if (status == RUBATO_OK && code >= 400) {
            status = fail_http(pull, file, code);
            if (code < 500) break;
        }
        if (status == RUBATO_OK &&
            (!head.etag[0] || strspn(head.etag, "0123456789abcdefghijklmnopqrstuvwxyz"
                                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != strlen(head.etag)))
            status = fail(pull->error, RUBATO_NETWORK, "%s: the answer has no usable ETag", file);
        if (status != RUBATO_OK) continue;
        snprintf(blob, sizeof blob, "%s/blobs/%s", pull->repository, head.etag);
        snprintf(incomplete, sizeof incomplete, "%s.incomplete", blob);
        if (!file_exists(blob)) {
            status = receive(pull, url.data, file, incomplete, &head);
            if (status == RUBATO_OK) status = check_hash(pull, incomplete, file, head.etag);
            if (status == RUBATO_OK && rename(incomplete, blob) != 0)
                status = fail(pull->error, RUBATO_IO, "%s: cannot rename: %s", incomplete, strerror(errno));
        }
        if (status == RUBATO_OK) status = link_blob(pull, file, head.etag);
        if (status != RUBATO_NETWORK && status != RUBATO_BAD_CHECKSUM) break;
    }
    text_free(&url);
    return status;
}

static rubato_status list_files(puller *pull, json_t **listing) {
    text_buffer url = {0}, text = {0};
    text_add_format(&url, "%s/api/models/%s/revision/", pull->endpoint, pull->name);
    add_escaped(&url, pull->revision);
    rubato_status status = url.failed ? fail_memory(pull->error) : RUBATO_OK;
    for (int attempt = 0; attempt < ATTEMPTS && !url.failed; attempt++) {
        answer a = {.text = &text};
        long code;
        text_clear(&text);
        set_up(pull, url.data, &a);
        curl_easy_setopt(pull->curl, CURLOPT_FOLLOWLOCATION, 1L);
        status = perform(pull, pull->name, &a, &code);
        if (status == RUBATO_OK && code != 200) {
            status = fail_http(pull, pull->name, code);
            if (code < 500) break;
        }
        if (status == RUBATO_OK) {
            status = json_read_bytes(listing, text.data ? text.data : "", text.length, "the hub's answer", pull->error);
            break;
        }
        if (status != RUBATO_NETWORK) break;
    }
    text_free(&url);
    text_free(&text);
    return status;
}

static rubato_status write_reference(puller *pull) {
    char folder[HUB_PATH + 16], path[HUB_PATH + 600];
    snprintf(folder, sizeof folder, "%s/refs", pull->repository);
    snprintf(path, sizeof path, "%s/%s", folder, pull->revision);
    char *slash = strrchr(path, '/');
    *slash = 0;
    TRY(folder_create(path, pull->error));
    *slash = '/';
    new_file file;
    TRY(new_file_open(&file, path, pull->error));
    fputs(pull->commit, file.stream);
    return new_file_commit(&file, pull->error);
}

static rubato_status pull_listing(puller *pull, const json_t *listing) {
    const char *commit = json_string_value(json_object_get(listing, "sha"));
    const json_t *files = json_object_get(listing, "siblings");
    if (!commit || strspn(commit, "0123456789abcdef") != strlen(commit) || strlen(commit) < 7 ||
        strlen(commit) >= sizeof pull->commit || !json_is_array(files) || json_array_size(files) > MOST_FILES)
        return fail(pull->error, RUBATO_NETWORK, "%s: the hub's answer lists no files", pull->name);
    snprintf(pull->commit, sizeof pull->commit, "%s", commit);
    if ((size_t)snprintf(pull->snapshot, sizeof pull->snapshot, "%s/snapshots/%s", pull->repository, commit) >=
        sizeof pull->snapshot - 600)
        return fail(pull->error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", pull->repository);
    char blobs[HUB_PATH + 16];
    snprintf(blobs, sizeof blobs, "%s/blobs", pull->repository);
    TRY(folder_create(blobs, pull->error));
    TRY(folder_create(pull->snapshot, pull->error));
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(files, i), "rfilename"));
        if (!name || !good_file(name))
            return fail(pull->error, RUBATO_NETWORK, "%s: the hub names a file \"%.60s\"", pull->name,
                        name ? name : "");
        if (wanted(files, name)) TRY(pull_file(pull, name));
    }
    return write_reference(pull);
}

static rubato_status give_path(char **path, const char *folder, rubato_error *error) {
    *path = text_copy(folder, strlen(folder));
    return *path ? RUBATO_OK : fail_memory(error);
}

rubato_status rubato_pull(const char *name, const rubato_pull_options *options, char **path, rubato_error *error) {
    rubato_pull_options own;
    puller pull = {.options = &own, .name = name, .error = error};
    json_t *listing = NULL;
    rubato_status status;
    *path = NULL;
    TRY(OPTIONS_COPY(&own, rubato_pull_options, options, error));
    pull.revision = own.revision ? own.revision : "main";
    if (!good_file(pull.revision)) return fail(error, RUBATO_BAD_ARGUMENT, "revision \"%.60s\"", pull.revision);
    TRY(hub_repository_folder(pull.repository, sizeof pull.repository - 64, name, error));
    if (own.offline || hub_offline()) {
        char folder[HUB_PATH];
        if (hub_snapshot(folder, sizeof folder, pull.repository, pull.revision)) return give_path(path, folder, error);
        return fail(error, RUBATO_NOT_FOUND,
                    "%s: not in the cache (%s), and --offline or HF_HUB_OFFLINE forbids asking the hub", name,
                    pull.repository);
    }
    const char *endpoint = getenv("HF_ENDPOINT");
    if (!endpoint || !*endpoint) endpoint = "https://huggingface.co";
    size_t length = strlen(endpoint);
    while (length && endpoint[length - 1] == '/') length--;
    if (length >= sizeof pull.endpoint) return fail(error, RUBATO_BAD_ARGUMENT, "HF_ENDPOINT is too long");
    snprintf(pull.endpoint, sizeof pull.endpoint, "%.*s", (int)length, endpoint);
    char token[1024], header[1100];
    hub_token(token, sizeof token);
    pull.curl = curl_easy_init();
    if (!pull.curl) return fail_memory(error);
    if (token[0]) {
        snprintf(header, sizeof header, "Authorization: Bearer %s", token);
        pull.headers = curl_slist_append(NULL, header);
        if (!pull.headers) {
            status = fail_memory(error);
            goto done;
        }
    }
    TRY_DONE(list_files(&pull, &listing));
    TRY_DONE(pull_listing(&pull, listing));
    status = give_path(path, pull.snapshot, error);
done:
    json_decref(listing);
    curl_slist_free_all(pull.headers);
    curl_easy_cleanup(pull.curl);
    if (status == RUBATO_BAD_DATA) status = RUBATO_NETWORK;
    return status;
}
