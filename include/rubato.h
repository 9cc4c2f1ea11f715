/* Rubato: BERT-family encoders on CPUs.
 *
 * Introduction
 *   A model is a folder in Hugging Face layout. It is loaded once, never changes afterwards, and may be shared by any
 *   number of threads. A context holds what one caller needs to run it (threads, memory, instruction set) and belongs
 *   to one thread at a time.
 *
 * Simple use
 *     rubato_model *model;
 *     rubato_context *context;
 *     rubato_error error;
 *     if (rubato_model_load(&model, "all-MiniLM-L6-v2", &error)) { puts(error.message); return 1; }
 *     if (rubato_context_create(&context, model, NULL, &error)) { puts(error.message); return 1; }
 *     rubato_input inputs[] = {{.text = "A first text."}, {.text = "A second."}};
 *     float vectors[2 * 384];
 *     rubato_embed(context, vectors, inputs, 2, NULL, NULL, &error);
 *     rubato_context_destroy(context);
 *     rubato_model_destroy(model);
 *
 * Conventions
 *   Functions that can fail return a rubato_status, 0 for success, and take a rubato_error * last, which may be NULL.
 *   X_create and X_load give, X_destroy takes back and accepts NULL. On failure an output pointer is NULL.
 *   Options structs begin with their size, so that they can grow at their end:
 *       rubato_context_options options = {.size = sizeof options, .threads = 4};    (C)
 *       rubato_context_options options = {}; options.size = sizeof options;         (C++)
 *   A size of 0 is an error. Every other field has its default where its bytes are zero, and a NULL pointer in place
 *   of the struct means all defaults. A program that was compiled with an older header gives a smaller struct: the
 *   fields that it lacks have their defaults. A program that was compiled with a newer header may run with this library
 *   as long as it leaves the fields that are new zero.
 *   A result that may grow is a struct of the library, which a function gives by a pointer. It grows at its end.
 *   rubato_free releases what a function gives, unless there is an X_destroy for it.
 *   All other structs (rubato_error, rubato_input and the elements of arrays) never change.
 *   Strings are UTF-8. Offsets count Unicode code points of the caller's text, first and last + 1.
 *   Matrices are [rows, columns], row-major, float.
 *   Every byte of a model folder, a data file or a text is treated as hostile. */
#ifndef RUBATO_H
#define RUBATO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RUBATO_API __attribute__((visibility("default")))
#else
#define RUBATO_API
#endif

/* ---- Version ---- */

/* The version of this header; the project states it only here. */
#define RUBATO_VERSION_MAJOR 0
#define RUBATO_VERSION_MINOR 1
#define RUBATO_VERSION_PATCH 0

/* The version as one number, for comparisons: 0.1.0 is 100, 1.2.3 is 10203. */
#define RUBATO_VERSION (RUBATO_VERSION_MAJOR * 10000 + RUBATO_VERSION_MINOR * 100 + RUBATO_VERSION_PATCH)

#define RUBATO_DOTTED(major, minor, patch) #major "." #minor "." #patch
#define RUBATO_DOTTED_VALUES(major, minor, patch) RUBATO_DOTTED(major, minor, patch)
#define RUBATO_VERSION_STRING RUBATO_DOTTED_VALUES(RUBATO_VERSION_MAJOR, RUBATO_VERSION_MINOR, RUBATO_VERSION_PATCH)

/* The version of the library that the program runs with: RUBATO_VERSION_STRING of its header. */
RUBATO_API const char *rubato_version(void);

/* Facts about the build of that library and its environment, one for each index from 0 on: "commit", "compiler",
 * "build_type", "instruction_sets" (the sets that this machine runs, the best one last), "kernels" (the best one in
 * words), "no_tiles" (why tile instructions are not used; empty where they are), and the versions of the libraries that
 * it links. Where the processor has tiles, this function asks for permission as a context does. value [bytes] receives
 * the fact; it may be NULL. Returns the name of the fact, NULL past the last one. */
RUBATO_API const char *rubato_build_fact(size_t index, char *value, size_t bytes);

/* ---- Errors ---- */

#define RUBATO_STATUS_MAP(X)                                                                                           \
    X(OK, 0, "success")                                                                                                \
    X(OUT_OF_MEMORY, 1, "out of memory")                                                                               \
    X(BAD_ARGUMENT, 2, "an argument is out of its range")                                                              \
    X(NOT_FOUND, 3, "a file or folder does not exist")                                                                 \
    X(IO, 4, "reading or writing failed")                                                                              \
    X(BAD_MODEL, 5, "a model's files are damaged or contradict each other")                                            \
    X(UNSUPPORTED, 6, "a family, format or setting that Rubato does not know")                                         \
    X(BAD_TEXT, 7, "a text is not valid UTF-8")                                                                        \
    X(BAD_DATA, 8, "a data file's row cannot be read")                                                                 \
    X(WRONG_TASK, 9, "the model has no head for this task")                                                            \
    X(NETWORK, 10, "a download failed")                                                                                \
    X(BAD_CHECKSUM, 11, "a download arrived damaged")                                                                  \
    X(CANCELLED, 12, "the caller asked to stop")

typedef enum rubato_status {
#define RUBATO_ENUM(name, value, text) RUBATO_##name = value,
    RUBATO_STATUS_MAP(RUBATO_ENUM)
#undef RUBATO_ENUM
} rubato_status;

typedef struct rubato_error {
    rubato_status code;
    size_t line;       /* of a data file, or the index + 1 of an input; 0 when there is none */
    char message[480]; /* one line: what failed, where, and what the user can do */
} rubato_error;

/* The meaning of a status, as a static text. */
RUBATO_API const char *rubato_status_text(rubato_status status);

/* Releases what a function of this library gave; accepts NULL. */
RUBATO_API void rubato_free(void *given);

/* ---- Models ---- */

typedef struct rubato_model rubato_model;

typedef enum rubato_task {
    RUBATO_TASK_EMBEDDING,      /* no head: hidden states, pooled */
    RUBATO_TASK_CLASSIFICATION, /* one label for each text or pair */
    RUBATO_TASK_REGRESSION,     /* one number for each text or pair; also rerankers */
    RUBATO_TASK_TAGGING,        /* one label for each token */
    RUBATO_TASK_QA,             /* a span of the context */
    RUBATO_TASK_MLM,            /* masked tokens */
    RUBATO_TASK_NSP,            /* whether the second text follows the first */
    RUBATO_TASK_LM              /* the next token: a causal model */
} rubato_task;

/* "embedding", "classification", "regression", "tagging", "qa", "mlm", "nsp", "lm". */
RUBATO_API const char *rubato_task_name(rubato_task task);

typedef struct rubato_info {
    const char *path;      /* the folder that was loaded */
    const char *family;    /* "bert", "distilbert", ... */
    rubato_task task;      /* the task of its head */
    const char *precision; /* of the products: "f32", "bf16", "int8", "f32+int8", "mixed"; NULL in a description */
    const char *attention, *feed_forward; /* the mechanism and its setting, "window (16 rows)", where it is not what the
                                             family has; else NULL */
    size_t layers, hidden, heads, inner, vocabulary;
    size_t parameters;   /* weights in the files that the model uses; tied ones once; 0 in a description */
    size_t max_length;   /* the longest sequence in tokens, special tokens included */
    size_t width;        /* length of an embedding */
    const char *pooling; /* "mean", "cls", ...; "cls+mean" when several are concatenated */
    int normalized;      /* embeddings have length 1 */
    int multi_label;     /* classification by independent sigmoids */
    size_t label_count;  /* 0 without a classification or tagging head */
    const char *const *labels;
    size_t prompt_count; /* named prompts of a sentence-transformers folder */
    const char *const *prompt_names, *const *prompts;
    size_t warning_count; /* irregularities that do not prevent use, for example tensors left over */
    const char *const *warnings;
    int plain_value; /* config.json says "problem_type": "regression". A model of one label without that is a regression
                        too, but servers and pipelines put its value through a sigmoid */
    int cut_left;    /* the tokenizer says that a text that is too long loses its beginning */
    int ranks;       /* rubato_rerank takes it: a cross-encoder, which has one label, or an embedding model */
    int rank_sigmoid;           /* a cross-encoder's score passes through a sigmoid */
    const char *default_prompt; /* the text of the prompt that is used where a call names none; NULL: there is none */
    /* What a search measured of the full model, as its points' quality; NaN where it is unknown */
    double full_quality, full_quality_error; /* the latter: its standard error */
    const char *metric;                      /* the name of that quality; "" where it is unknown */
    size_t held_out; /* examples from which the qualities are, and on which no point was chosen; 0: unknown or none */
    size_t products, sparse_products; /* linear layers; those whose int8 products leave out zeros */
    /* The smallest and largest layer's heads and neurons. Layers of a pruned model differ; in other models these are
     * `heads` and `inner` */
    size_t least_heads, most_heads, least_inner, most_inner;
} rubato_info;

/* Loads a model.
 *   name  a folder; the name of a model under models/ (of the working directory or the installation); or a hub id
 *         "org/name", which is looked up in the Hugging Face cache (HF_HOME, HF_HUB_CACHE)
 * Loading packs the weights for the matrix products. The files stay memory-mapped for the embedding tables, and must
 * stay as they are meanwhile; rubato_load_options.in_memory is for files that may change. Fails: NOT_FOUND, IO,
 * BAD_MODEL, UNSUPPORTED, OUT_OF_MEMORY. */
RUBATO_API rubato_status rubato_model_load(rubato_model **model, const char *name, rubato_error *error);

typedef struct rubato_load_options {
    size_t size;           /* sizeof(rubato_load_options) */
    const char *precision; /* number format of the encoder's products: "f32", "bf16", "int8" (8-bit weights by channel
                              and activations by row); everything between products is f32. "f32+int8", "f32+bf16": both,
                              where f32 is used unless an operating point selects the other. NULL: as stored. That is
                              f32, except for folders that rubato_quantize wrote; it is both where some points of the
                              model are in low precision */
    int in_memory; /* read the weights into memory instead of mapping their files. Then the model keeps its answers when
                      somebody overwrites a file of its folder; a mapped one changes them, and the process dies where
                      the file becomes shorter. Costs the size of what stays mapped: the embedding tables, and all
                      weights of a folder that rubato_quantize wrote */
    int (*cancelled)(void *user); /* asked every few milliseconds while weights are read and packed; non-zero: the load
                                     ends with CANCELLED. NULL for none */
    void *cancelled_user;
} rubato_load_options;

/* The same with options. Fails also: BAD_ARGUMENT, CANCELLED. */
RUBATO_API rubato_status rubato_model_load_with(rubato_model **model, const char *name,
                                                const rubato_load_options *options, rubato_error *error);

/* Reads a model's configuration, tokenizer, labels and prompts without its weights, which need not be there: a matter
 * of milliseconds. Such a model tells its rubato_info (without parameters and precision) and tokenises; it has no
 * operating points, and rubato_context_create refuses it. */
RUBATO_API rubato_status rubato_model_describe(rubato_model **model, const char *name, rubato_error *error);
RUBATO_API void rubato_model_destroy(rubato_model *model);

/* The description of the model; it lives as long as the model. */
RUBATO_API const rubato_info *rubato_model_info(const rubato_model *model);

/* The text of a model's prompt, for rubato_options.prompt; *text lives as long as the model. Fails: BAD_ARGUMENT for a
 * name that the model does not have, with its names in the message. */
RUBATO_API rubato_status rubato_prompt(const rubato_model *model, const char *name, const char **text,
                                       rubato_error *error);

/* ---- Contexts ---- */

typedef struct rubato_context rubato_context;

typedef struct rubato_context_options {
    size_t size;         /* sizeof(rubato_context_options) */
    size_t threads;      /* 0: as many as affinity and the container's quota allow */
    size_t batch_tokens; /* rows of one packed batch of a thread; limits memory. 0: 192 or 512, by the model's size */
    /* "scalar", "neon", "dotprod", "i8mm", "avx2", "avxvnni", "avx512", "vnni", "bf16", "amx". NULL: the best one for
     * this machine. For "amx", the process asks Linux for permission once; from then on its alternate signal stacks
     * must have about 12 kB (sysconf(_SC_MINSIGSTKSZ)). Where permission is refused, another set is taken. "untiled":
     * the best one but "amx", for programs that want no such limit; nothing is asked. */
    const char *isa;
} rubato_context_options;

RUBATO_API rubato_status rubato_context_create(rubato_context **context, const rubato_model *model,
                                               const rubato_context_options *options, rubato_error *error);
RUBATO_API void rubato_context_destroy(rubato_context *context);

/* The instruction set in use. */
RUBATO_API const char *rubato_context_isa(const rubato_context *context);

/* Why tile instructions (AMX) are not used, as a static text: "" where they are. The reason is the processor, the
 * system, the instruction set that the options asked for, or a model in f32, whose products have no tiles. */
RUBATO_API const char *rubato_context_no_tiles(const rubato_context *context);

/* The number of threads. */
RUBATO_API size_t rubato_context_threads(const rubato_context *context);

/* An instruction set in words, as a static text: "AVX-512 BF16 instructions" for "bf16". It says which kernels run, and
 * nothing of the number format of products, which is rubato_info.precision. An unknown name is given back. */
RUBATO_API const char *rubato_isa_words(const char *isa);

/* ---- Texts ---- */

typedef struct rubato_encoding rubato_encoding;

/* text_bytes or pair_bytes of a slice that has no bytes. A slice of `size` bytes, which may be 0, is
 * {.text = first, .text_bytes = size ? size : RUBATO_EMPTY}. */
#define RUBATO_EMPTY SIZE_MAX

typedef struct rubato_input {
    const char *text;  /* never NULL, also beside an encoding; functions fail with BAD_ARGUMENT, and error->line is the
                          index + 1 */
    size_t text_bytes; /* 0: up to the first NUL; RUBATO_EMPTY: none. Bytes of 0 within the size belong to the text */
    const char *pair;  /* the second text of a pair; NULL for none */
    size_t pair_bytes; /* as text_bytes */
    /* The text's tokens, from rubato_encode_for with the same rubato_model, so that a text is tokenised once by callers
     * that look at its tokens first; NULL: the running function makes them. It may be used by several calls at once. */
    const rubato_encoding *encoding;
} rubato_input;

typedef enum rubato_truncation {
    RUBATO_LONGEST_FIRST, /* remove tokens from the longer text of a pair, one by one */
    RUBATO_ONLY_FIRST,
    RUBATO_ONLY_SECOND
} rubato_truncation;

typedef struct rubato_text_options {
    size_t size;       /* sizeof(rubato_text_options) */
    size_t max_length; /* in tokens, special tokens included; 0: the model's */
    rubato_truncation truncation;
    int cut_left;   /* remove tokens at the beginning instead of the end; without windows, rubato_info.cut_left too */
    size_t stride;  /* tokens that neighbouring windows share */
    int windows;    /* return the windows of the overflow too. The functions that take one window of a text then take
                       all, and join their results as each of them says */
    int no_special; /* without special tokens such as [CLS] and [SEP] */
    int special_as_text; /* a "[SEP]" in the text stays seven characters instead of becoming the special token */
    int whole;           /* never truncate */
    int stride_fits;     /* a stride that is too long for a window becomes half of it, instead of an error */
    int reserved;        /* 0 */
} rubato_text_options;

/* One window of one input. It belongs to its rubato_encoding. */
typedef struct rubato_window {
    size_t length;
    const int32_t *ids, *types;
    const uint32_t (*offsets)[2]; /* the code points from which each token came; 0, 0 for special tokens */
    const uint32_t *words;        /* index of the pre-token; UINT32_MAX for special tokens */
    const uint8_t *sequences;     /* 0: text, 1: pair; 255: special */
    const char *const *surfaces;  /* NULL, or for each token NULL or the text to show instead of rubato_token's: for
                                     unknown pieces of Unigram models, and for added tokens that include white space */
} rubato_window;

struct rubato_encoding {
    size_t count; /* windows; 1 unless `windows` was asked for */
    const rubato_window *windows;
    size_t cut;    /* tokens outside of every window */
    size_t tokens; /* of the whole text or pair, special ones included, had nothing been cut */
};

/* Turns a text or pair into tokens, by the model's tokenizer files. Memory follows the tokens that are kept: a long
 * text is tokenised in segments, which end at blanks between plain characters. Fails: BAD_TEXT; BAD_ARGUMENT where the
 * other text alone leaves no room, for a text of more than 1 GiB, for one that is cut and has more than 32 MiB without
 * such a blank, and for one that the tokenizer's stages make many times longer; OUT_OF_MEMORY. */
RUBATO_API rubato_status rubato_encode(const rubato_model *model, const rubato_input *input,
                                       const rubato_text_options *options, rubato_encoding **encoding,
                                       rubato_error *error);
RUBATO_API void rubato_encoding_destroy(rubato_encoding *encoding);

/* The token with that id, or NULL. *bytes, when not NULL, receives its length. */
RUBATO_API const char *rubato_token(const rubato_model *model, int32_t id, size_t *bytes);

/* The text that token ids stand for, as far as tokens keep it; a new string, release with rubato_free.
 * Fails: BAD_ARGUMENT for an id that is not in the vocabulary, OUT_OF_MEMORY. */
RUBATO_API rubato_status rubato_decode(const rubato_model *model, const int32_t *ids, size_t count, int skip_special,
                                       char **text, rubato_error *error);

/* ---- Running ---- */

/* The cost of one answer, and the number of tokens that were cut from its text. */
typedef struct rubato_cost {
    const char *point;  /* the operating point's name, as long as the model lives; "full" */
    double flops;       /* operations of this input; a multiply and an add are two */
    double full_flops;  /* operations of the full model for this input */
    double flops_ratio; /* flops / full_flops */
    size_t layers;      /* the number of layers that ran */
    size_t tokens;      /* over all windows */
    const size_t *rows; /* [layers] rows entering each layer that ran, over all windows */
    size_t cut;         /* tokens that were truncated away */
    size_t windows;
    double ms; /* wall time; the time of a packed batch is divided among its texts in proportion to their rows */
} rubato_cost;

/* The costs of one call's inputs. Running functions give them where their argument is not NULL. */
typedef struct rubato_costs rubato_costs;

/* The cost of an input, from 0 on; lives as long as the costs. */
RUBATO_API const rubato_cost *rubato_costs_at(const rubato_costs *costs, size_t index);

typedef struct rubato_options {
    size_t size;                     /* sizeof(rubato_options) */
    const rubato_text_options *text; /* NULL: defaults */
    const char *budget;              /* NULL or "full"; milliseconds want a context with a calibration */
    const char *prompt; /* for embeddings a text that is put before every text, for rubato_rerank before the query of a
                           cross-encoder; "" for none. NULL: info->default_prompt. rubato_prompt finds the text of a
                           name */
    /* Called between packed batches with the number of finished inputs; a non-zero return cancels. NULL for none. */
    int (*progress)(void *user, size_t done, size_t total);
    void *progress_user;
    const char *aggregation;       /* rubato_tag: how tokens become entities; NULL: "entities" */
    const char *ignore_labels;     /* rubato_tag: labels that give no entity, "O,MISC"; NULL: "O" */
    const char *function_to_apply; /* rubato_classify: "softmax", "sigmoid" or "none"; NULL: by the model */
    int strict;   /* every single text keeps the budget, or is refused; else a point with exits keeps it on average */
    int reserved; /* 0 */
} rubato_options;

/* The running functions, by the tokens that they make of a text. */
typedef enum rubato_purpose {
    RUBATO_FOR_SCORES,     /* one window, or windows where the text options ask for them: rubato_classify,
                              rubato_logits */
    RUBATO_FOR_EMBEDDINGS, /* the same after the prompt, prepared as the model's folder says: rubato_embed */
    RUBATO_FOR_TAGS,       /* windows: rubato_tag */
    RUBATO_FOR_ANSWERS,    /* windows over the second text: rubato_answer */
    RUBATO_FOR_TOKENS,     /* one window: rubato_fill, rubato_hidden_states, rubato_token_logits, rubato_trace_text */
    RUBATO_FOR_PASSAGES    /* windows, after the prompt: rubato_embed_passages with `late` */
} rubato_purpose;

/* Makes of a text or pair the tokens that a running function makes of it with these options, for
 * rubato_input.encoding. The input's text must stay with its encoding: some functions read it too. Given an encoding,
 * a running function takes its windows as they are; of the options' text part nothing counts then.
 * Fails: as rubato_encode; a running function BAD_ARGUMENT for an encoding of another model or with several windows
 * where it takes one. */
RUBATO_API rubato_status rubato_encode_for(const rubato_model *model, rubato_purpose purpose, const rubato_input *input,
                                           const rubato_options *options, rubato_encoding **encoding,
                                           rubato_error *error);

/* Embeds texts, one vector a text, pooled as the model's folder says.
 *   out    [count, info->width], input order; the caller's
 *   costs  NULL, or receives what each input cost; release with rubato_free
 * A text longer than max_length is truncated; costs tell. With text->windows its vector is the mean of the vectors of
 * all its windows, weighted by their tokens, and of length 1 where the model makes such vectors.
 * Fails: BAD_TEXT (error->line is the index + 1), OUT_OF_MEMORY, BAD_MODEL (weights gave NaN); out is then
 * unspecified. Method: Reimers and Gurevych 2019, section 3. */
RUBATO_API rubato_status rubato_embed(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                                      const rubato_options *options, rubato_costs **costs, rubato_error *error);

/* A passage of a long text. */
typedef struct rubato_passage {
    size_t start, end;   /* code points of the text */
    size_t tokens;       /* of the passage; special tokens and the tokens of the prompt do not count */
    const float *vector; /* [info->width] */
} rubato_passage;

typedef struct rubato_passages {
    size_t count;
    const rubato_passage *items; /* in the order of the text */
} rubato_passages;

typedef struct rubato_passage_options {
    size_t size;               /* sizeof(rubato_passage_options) */
    const rubato_options *run; /* NULL: defaults */
    size_t tokens;             /* the most tokens of a passage, special ones not counted; 0: as many as the model takes
                                  at once */
    size_t late;               /* 1: vectors are made of one pass over the text (see below) */
} rubato_passage_options;

/* Cuts texts of any length into passages, and makes a vector for each of them. A passage ends behind the last sentence
 * that has room in it; where no sentence ends in its last three quarters, behind a word.
 *   *out   [count]; release with rubato_free. A text without tokens has no passage
 *   costs  of a text: the sum over its passages or windows
 * Each passage is read alone, as rubato_embed reads a text. With `late` the whole text runs through the model, in
 * windows where it is too long for one, which share text->stride tokens (default: a quarter). The states of a passage's
 * tokens are then pooled, so that its vector knows the text around it ("late chunking", Guenther et al. 2024). A token
 * has the state of the window in which it is farthest from both ends. Special tokens belong to the first and the last
 * passage: a text that fits in one window and is one passage has the vector that rubato_embed gives it.
 * Fails: as rubato_embed; BAD_ARGUMENT for an input with an encoding, for passages that are read alone and have more
 * tokens than the model takes beside special ones and the prompt, and where it takes none beside these; UNSUPPORTED for
 * `late` where the model's pooling is neither mean nor max. */
RUBATO_API rubato_status rubato_embed_passages(rubato_context *context, rubato_passages **out,
                                               const rubato_input *inputs, size_t count,
                                               const rubato_passage_options *options, rubato_costs **costs,
                                               rubato_error *error);

/* Scores every label: by softmax, or by sigmoid for a multi-label model. A regression model has one column, its value.
 * options->function_to_apply decides otherwise. With text->windows, the logits of a long text are the mean of its
 * windows' logits, weighted by their tokens.
 *   out    [count, label_count] ([count, 2] for NSP, column 0: B follows A) */
RUBATO_API rubato_status rubato_classify(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                                         const rubato_options *options, rubato_costs **costs, rubato_error *error);

/* The same before softmax or sigmoid. */
RUBATO_API rubato_status rubato_logits(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                                       const rubato_options *options, rubato_costs **costs, rubato_error *error);

/* How well each document answers the query, by a cross-encoder (activation as its folder says, sigmoid by default)
 * or, for an embedding model, by cosine.   out [count]
 * With text->windows, a long document is as good as its best part (Dai and Callan 2019, MaxP): a window for a
 * cross-encoder, a passage of rubato_embed_passages for an embedding model.
 * Fails: WRONG_TASK for a model without info->ranks. A classifier's scores give no order of documents.
 * A cross-encoder takes no encodings of documents: it makes pairs of its own; rubato_logits takes a pair's. */
RUBATO_API rubato_status rubato_rerank(rubato_context *context, float *out, const char *query,
                                       const rubato_input *documents, size_t count, const rubato_options *options,
                                       rubato_costs **costs, rubato_error *error);

/* What rubato_rerank makes of a cross-encoder's logits [count], in place: the model's activation. For logits that
 * rubato_logits gave for pairs. */
RUBATO_API void rubato_rank_scores(const rubato_context *context, float *logits, size_t count);

/* ---- Zero-shot classification ---- */

typedef struct rubato_zero_shot_options {
    size_t size;               /* sizeof(rubato_zero_shot_options) */
    const char *hypothesis;    /* the sentence that says a label, with {} in its place; NULL: "This example is {}." */
    const rubato_options *run; /* NULL: defaults */
    size_t multi_label;        /* 1: several labels may be true, and each gets a probability of its own */
} rubato_zero_shot_options;

/* Scores labels that no model was trained for, with a model of natural language inference (Yin et al. 2019): how
 * probable it is that a text entails the sentence of a label. As zero-shot classification in transformers: softmax over
 * the labels' logits of entailment; with multi_label, or for a single label, softmax of contradiction and entailment.
 * The contradiction is label 0 of the model, or the last label where 0 is the entailment. A text that is too long is
 * cut; the sentence never is.
 *   out    [count, label_count]
 *   costs  of a text: the sum over its pairs with the labels
 * Fails: as rubato_logits; WRONG_TASK where no label of the model begins with "entail"; BAD_ARGUMENT for no label, a
 * text with a second text or an encoding, and a hypothesis without {}. */
RUBATO_API rubato_status rubato_zero_shot(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                                          const char *const *labels, size_t label_count,
                                          const rubato_zero_shot_options *options, rubato_costs **costs,
                                          rubato_error *error);

/* The parts of it, for callers that run the pairs by themselves. The sentence of a label: "{}" or "{0}" is the label,
 * "{{" and "}}" are braces. hypothesis NULL: the default; *text is released with rubato_free. */
RUBATO_API rubato_status rubato_hypothesis(const char *hypothesis, const char *label, char **text, rubato_error *error);

/* Which label of the model is entailment: the one whose name begins with "entail", in lower or upper case. */
RUBATO_API rubato_status rubato_entailment(const rubato_model *model, size_t *label, rubato_error *error);

/* From the logits [label_count, the model's labels] of one text's pairs to its scores [label_count]. */
RUBATO_API rubato_status rubato_zero_shot_scores(const rubato_model *model, const float *logits, size_t label_count,
                                                 int multi_label, float *scores, rubato_error *error);

/* ---- Tags, answers, masks ---- */

typedef struct rubato_entity {
    const char *label; /* the model's, without B- or I-; with them for the aggregation "none" */
    size_t start, end; /* code points */
    float score;       /* mean probability of its tokens' labels */
} rubato_entity;

typedef struct rubato_token_label {
    size_t start, end;
    size_t label; /* index into info->labels */
    float score;
} rubato_token_label;

/* Labels of one text. They belong to the array that rubato_tag returns. */
typedef struct rubato_tags {
    size_t entity_count, token_count;
    const rubato_entity *entities;
    const rubato_token_label *tokens; /* all tokens except special ones, in order */
} rubato_tags;

/* Labels tokens and joins them into entities, by options->aggregation:
 *   "entities"  the first piece of a word decides its label, and punctuation is a word of its own; B- (S-, U-) starts
 *               an entity, I- (E-, L-) continues one
 *   "none"      every token is an entity; its label has its B- or I-
 *   "simple", "first", "average", "max"
 *               as the strategies of transformers: neighbours with one label are an entity, B- starts a new one; the
 *               label of a word is that of each of its tokens, of the first one, of the mean of their probabilities,
 *               or of the most certain one
 * Long texts are cut into windows that share options->text.stride tokens (default: a quarter of the window). A token
 * takes its label from the window in which it is farthest from both ends. The strategies of transformers join tokens
 * in each window; of entities that overlap the longer one stays.
 *   *tags  [count]; release with rubato_tags_destroy */
RUBATO_API rubato_status rubato_tag(rubato_context *context, rubato_tags **tags, const rubato_input *inputs,
                                    size_t count, const rubato_options *options, rubato_costs **costs,
                                    rubato_error *error);

/* An entity's text as the tokenizer joins its tokens: "new york" of "New  York" where a model reads lower case; NULL
 * with the aggregation "entities". It lives as long as the tags. */
RUBATO_API const char *rubato_entity_word(const rubato_tags *tags, size_t entity);

/* With the aggregation "none": the place of the token in its sequence, special tokens included; else 0. */
RUBATO_API size_t rubato_entity_token(const rubato_tags *tags, size_t entity);
RUBATO_API void rubato_tags_destroy(rubato_tags *tags);

typedef struct rubato_answer_span {
    size_t start, end; /* code points of the context; equal when there is no answer */
    float score;       /* probability of the span among the candidates of all windows */
    float null_score;  /* probability that the context has no answer */
} rubato_answer_span;

/* Extracts the answer from the context: input.text is the question, input.pair the context, which is cut into windows
 * with options->text.stride (default 128). The best span has at most 30 tokens.   out [count] */
RUBATO_API rubato_status rubato_answer(rubato_context *context, rubato_answer_span *out, const rubato_input *inputs,
                                       size_t count, const rubato_options *options, rubato_costs **costs,
                                       rubato_error *error);

typedef struct rubato_candidate {
    int32_t id;
    float score;
} rubato_candidate;

/* The best tokens for each mask token in the input, by softmax over the vocabulary.
 *   masks  receives how many masks there were
 *   *out   [masks, top], where top is at most the vocabulary's size; release with rubato_free
 * Fails: BAD_ARGUMENT when the text has no mask token. */
RUBATO_API rubato_status rubato_fill(rubato_context *context, rubato_candidate **out, size_t *masks,
                                     const rubato_input *input, size_t top, const rubato_options *options,
                                     rubato_costs **costs, rubato_error *error);

/* The same among the given tokens alone; softmax over the whole vocabulary gives their probabilities.
 *   targets  [target_count] ids; one that is there twice counts once. NULL: all tokens
 *   each     receives how many candidates each mask has: top, or fewer where there are fewer targets
 *   *out     [masks, each]; release with rubato_free
 * Fails also: BAD_ARGUMENT for no target, or an id that the model does not have. */
RUBATO_API rubato_status rubato_fill_among(rubato_context *context, rubato_candidate **out, size_t *masks, size_t *each,
                                           const rubato_input *input, const int32_t *targets, size_t target_count,
                                           size_t top, const rubato_options *options, rubato_costs **costs,
                                           rubato_error *error);

/* The token that a text stands for as a target: the token of exactly that name in the vocabulary (*exact is 1), else
 * the first token that the tokenizer makes of it (*exact is 0). *id is -1 where it makes none.
 * Fails: as rubato_encode. */
RUBATO_API rubato_status rubato_fill_target(const rubato_model *model, const char *text, int32_t *id, int *exact,
                                            rubato_error *error);

/* The text with each mask token replaced by the given token; a new string, release with rubato_free. */
RUBATO_API rubato_status rubato_fill_text(const rubato_model *model, const rubato_input *input, size_t mask, int32_t id,
                                          char **text, rubato_error *error);

typedef struct rubato_generate_options {
    size_t size;               /* sizeof(rubato_generate_options) */
    const rubato_options *run; /* NULL: defaults; no budget counts */
    size_t tokens;             /* the most new tokens; 0: 64 */
    double temperature; /* tokens are drawn by softmax of logits / temperature; 0: always the most probable one */
    size_t top;         /* they are drawn among so many, the most probable ones; 0: among all */
    uint64_t seed;      /* of what is drawn */
    /* Called with new text as it comes, in pieces that together are the result; a non-zero return ends the text. NULL
     * for none. */
    int (*piece)(void *user, const char *text, size_t bytes);
    void *user;
} rubato_generate_options;

/* Goes on with a text, by a language model (info->task RUBATO_TASK_LM), until the token that ends a text comes, or
 * there are as many tokens as were asked for, or as many as the model takes.
 *   *text    the new text alone; release with rubato_free
 *   *tokens  receives the number of its tokens, when tokens is not NULL
 *
 * Dense attention keeps the keys and values of earlier tokens. Transformer-XL keeps those of its memory, Linear
 * Transformer and Performer keep sums; their size does not grow with the text. With other attention each token runs the
 * whole text again.
 *
 * Fails: WRONG_TASK; BAD_TEXT; BAD_ARGUMENT for a text that leaves no token, a pair, and a temperature below 0. */
RUBATO_API rubato_status rubato_generate(rubato_context *context, char **text, size_t *tokens,
                                         const rubato_input *input, const rubato_generate_options *options,
                                         rubato_error *error);

/* Hidden states of one input: the embedding layer's output and every layer's.
 *   *out  [layers + 1, length, hidden]; release with rubato_free. *length receives the number of tokens. */
RUBATO_API rubato_status rubato_hidden_states(rubato_context *context, float **out, size_t *length,
                                              const rubato_input *input, const rubato_options *options,
                                              rubato_error *error);

/* The tokens of a text or pair that each layer keeps at the budget's operating point. */
typedef struct rubato_trace {
    const char *point;           /* its name, as long as the model lives */
    const rubato_window *window; /* the tokens; the input's encoding's, where it had one */
    size_t layers;               /* of the model */
    const uint8_t *ran;          /* [layers] 1 where a layer ran */
    const uint8_t *alive;        /* [layers][window->length] 1 where the token was alive after the layer */
    size_t left_after;           /* the layer, from 1, after which the text left early; 0: it ran all layers */
    const size_t *heads;         /* [layers] heads that ran; 0 where the layer did not run */
    const size_t *neurons;       /* [layers] the same of the feed-forward part's neurons */
    size_t cut;                  /* tokens of the text or pair outside of the window */
} rubato_trace;

RUBATO_API rubato_status rubato_trace_text(rubato_context *context, const rubato_input *input,
                                           const rubato_options *options, rubato_trace **trace, rubato_error *error);
RUBATO_API void rubato_trace_destroy(rubato_trace *trace);

/* The head's output for every token of one input: [length, columns]; columns is the vocabulary for MLM, 2 for QA,
 * the labels for tagging. Release with rubato_free. */
RUBATO_API rubato_status rubato_token_logits(rubato_context *context, float **out, size_t *length, size_t *columns,
                                             const rubato_input *input, const rubato_options *options,
                                             rubato_error *error);

/* The `top` corpus rows with the highest dot product with query, best first; fewer when count is smaller.
 *   corpus [count, width];  indices, scores [top].  Returns how many were found. */
RUBATO_API size_t rubato_nearest(const rubato_context *context, const float *query, const float *corpus, size_t count,
                                 size_t width, size_t top, size_t *indices, float *scores);

/* ---- Evaluation ---- */

typedef struct rubato_metric {
    const char *name; /* "accuracy", "macro_f1", "matthews", "pearson", "spearman", "f1", "exact_match", ... */
    double value;
} rubato_metric;

typedef struct rubato_evaluation {
    size_t examples;
    size_t metric_count;
    const rubato_metric *metrics;
    double flops_ratio, flops_ratio_p95;    /* the mean over the examples; the 95th percentile */
    size_t layers;                          /* of the model */
    const double *alive;                    /* [layers + 1] share of the examples that ran more than i layers */
    const double *rows;                     /* [layers] rows that entered the i-th layer that ran, of all tokens */
    double ms_mean, ms_p50, ms_p95, ms_p99; /* per example, compute only */
    double tokens_per_second;
    double joules;       /* per example, with all of the processor that the run kept busy */
    int joules_measured; /* 1: by the processor's counters (RAPL); 0: estimated at 4 W a thread of the context */
} rubato_evaluation;

typedef struct rubato_eval_options {
    size_t size;               /* sizeof(rubato_eval_options) */
    const char *task;          /* "classification", "regression", "tagging", "qa", "sts", "retrieval", "mlm" */
    const char *data;          /* .tsv, .csv, .jsonl, SQuAD .json, CoNLL; "retrieval": a folder in BEIR layout */
    const char *columns;       /* "text=sentence,label=label"; NULL: common names are recognised */
    size_t limit;              /* examples, drawn by the seed; 0: all */
    uint64_t seed;             /* selects the tokens that "mlm" masks */
    const rubato_options *run; /* NULL: defaults */
} rubato_eval_options;

/* Runs a data set and compares with its labels. Release the evaluation with rubato_free; so the results below.
 * Fails: as the running functions, and BAD_DATA with error->line for a row that cannot be read. */
RUBATO_API rubato_status rubato_evaluate(rubato_context *context, const rubato_eval_options *options,
                                         rubato_evaluation **evaluation, rubato_error *error);

/* ---- Training ---- */

/* The progress of a training run; valid during the call. */
typedef struct rubato_train_progress {
    const char *phase; /* "length-adaptive", ...; a preparing phase counts samples as steps, and its loss is NaN */
    size_t step, steps;
    double epoch, loss, rate, tokens_per_second, seconds, seconds_left;
    const char *metric; /* of the dev set; NULL before the first evaluation */
    double value, best;
    size_t points;      /* operating points of which `value` is the mean; 1 for most recipes */
    double full;        /* of these the full model's value */
    double least, most; /* and the range of the others */
} rubato_train_progress;

/* What a data file holds, as training understood it. */
typedef struct rubato_data_summary {
    const char *path, *use;                 /* the file; "train" or "dev" */
    size_t rows, limit;                     /* rows in the file; rows that `limit` leaves, 0: all */
    size_t samples;                         /* windows of the rows: what a step takes */
    size_t shortest, median, longest;       /* tokens of a window, special ones included */
    size_t cut;                             /* rows of which tokens were cut away */
    size_t label_count;                     /* classification and tagging; 0 for other tasks */
    const char *const *labels;              /* [label_count] */
    const size_t *counts;                   /* [label_count] rows, or tagged words, of each label */
    size_t empty;                           /* texts without a token */
    const char *label_column, *label_other; /* where several columns could be the label: the one that was taken, and
                                               another; else NULL */
    size_t documents, sentences, tokens;    /* of running text, which has no rows; else 0 */
} rubato_data_summary;

/* 0 is the default of every member. Where zero is a meaningful value, a negative number means zero. */
typedef struct rubato_train_options {
    size_t size;        /* sizeof(rubato_train_options) */
    const char *model;  /* as in rubato_model_load; a head that the model lacks is made */
    const char *task;   /* "classification", "regression", "tagging", "qa", "mlm", "sts" (pairs with a similarity),
                           "retrieval" (pairs that belong together) */
    const char *recipe; /* "finetune", "length-adaptive", "power-bert"; early exits: "branchynet", "deebert",
                           "right-tool", "fastbert", "pabee", "act", for tagging "tokee"; widths: "slimmable",
                           "dynabert"; all axes at once: "anytime" */
    const char *data, *dev, *columns; /* as rubato_eval_options; without dev (NULL) the last weights are kept */
    const char *out;                  /* folder of the result, and of the files that resuming needs */
    const char *labels;               /* names of the labels in order, "negative,positive"; NULL: the data's names */
    double epochs, rate;              /* default 3 and 2e-5; recipes have their own */
    size_t batch, max_length;         /* sequences in a step, default 32; tokens, default the model's */
    size_t micro_tokens;              /* rows of one pass; a longer step is run in parts. Default 8192 */
    double warm_up;                   /* share of the steps; default by the recipe */
    double decay, clip;               /* weight decay; gradient norm, default 1 */
    double dropout;                   /* default config.json's, else 0.1 */
    /* length-adaptive: */
    double length_drop; /* largest share of rows that a layer drops, default 0.2; anytime: 0.3 */
    double layer_drop;  /* probability that a layer is left out, default 0.2; anytime: 0.1 */
    int merges; /* the most layers in which neighbouring rows merge, as in a Funnel-Transformer; 0: half of the layers
                   for anytime, else none; negative: none */
    size_t sandwiches;             /* random smaller models in each step, default 2 */
    int refine;                    /* smaller models are points of the model's frontier instead of random ones */
    double refine_from, refine_to; /* only points that cost between these parts of full; 0: any */
    double match_states; /* weight of the distance from the teacher's hidden states; length-adaptive: default 0,
                            dynabert and anytime: 1. Without a teacher, the model itself is the teacher */
    const char *teacher; /* a model for the same task and tokenizer: every pass learns from its answers instead of the
                            labels, so that the data need no labels (classification, regression) */
    int no_distillation; /* smaller models learn from the labels instead of the full model */
    int divergence_from_full; /* KL(full || sub) instead of KL(sub || full) */
    const char *significance; /* "received" (default), "others", "random", "first" */
    /* slimmable, dynabert, anytime: */
    const char *widths; /* parts of heads and neurons, falling from 1: "1,0.75,0.5,0.25" (default); "1": no others */
    /* early exits: */
    int frozen;              /* the model stays as it is, and only exits learn */
    const char *exit_layers; /* the layers, from 0 on, that have an exit: "1,3"; NULL: by the recipe */
    int exit_mean;           /* exits read the mean of a sequence's rows instead of the head's row; not for students */
    double ponder;           /* act: price of each layer, default 0.01 */
    /* power-bert: */
    double soft_rate, soft_penalty; /* learning rate and penalty of soft extraction, default 1e-3 and 1e-3 */
    const char *precision; /* number format of the products: "f32" (default); "bf16": faster where the processor has it;
                              "int8": quantisation-aware training, with the forward products of rubato_quantize and
                              backward products in bf16 */
    size_t limit;          /* examples, drawn by the seed; 0: all */
    size_t threads;
    const char *isa;
    uint64_t seed;
    size_t eval_steps;       /* steps between evaluations; 0: four evaluations in each epoch */
    size_t checkpoint_steps; /* steps between checkpoints; 0: one at every evaluation */
    int keep_order;          /* samples stay in the file's order, for comparisons */
    int resume;              /* continue from out's checkpoint, bit for bit */
    const char *store;       /* "f32" (default), "f16", "bf16": type of the written weights */
    /* Called after every step; a non-zero return saves a checkpoint and ends with CANCELLED. */
    int (*progress)(void *user, const rubato_train_progress *progress);
    void *progress_user;
    int overwrite;  /* replace a model, or another run, in `out`; without it that is refused */
    int keep_state; /* keep the optimiser's state when the run has ended */
    /* Called before training with what was read: the training data, then the dev data. NULL for none. */
    void (*data_read)(void *user, const rubato_data_summary *summary);
    void *data_user;
    int new_head; /* classification, tagging: a model that has names for other labels gets a new head instead of an
                     error. LABEL_0, LABEL_1 and so on are no names */
    /* mlm: `data` may be running text, files whose names end in .txt or .txt.gz with commas between. A line is a
     * paragraph, and an empty line ends a document. `model` may then be a config.json, or a folder with one and without
     * weights: the weights are drawn. */
    int whole_words;       /* all tokens of a word are masked, or none */
    const char *objective; /* "mlm" (default): sequences are consecutive sentences of a document; "mlm+nsp": BERT's
                              pairs, and whether the second text follows the first */
    const char *tokenizer; /* a folder with the tokenizer of a model that begins without weights; NULL: `model` */
    size_t steps;          /* of each phase, in place of `epochs`; 0: by the epochs */
    /* distilbert, tinybert, minilm, minilmv2: */
    double soft, hard;     /* weights of the teacher's answers and of the labels; default by the recipe */
    double temperature;    /* by which logits are divided where a teacher's answers are compared; by the recipe */
    double layer_epochs;   /* tinybert, minilm, minilmv2: epochs of the stage that has no answers */
    size_t relation_heads; /* minilmv2; default: the most up to 48 that divide both widths */
    size_t teacher_layer;  /* minilmv2: the teacher's layer, from 1 on; 0: its last */
    /* theseus: */
    double replace, replace_to; /* the part of the modules that is the student's, at first and at the end of the first
                                   phase; default 0.3 and 1 */
    /* magnitude, movement, soft-movement, importance, l0, cofi: */
    double keep;       /* the part of the encoder's weights that stays; default 0.5 */
    const char *unit;  /* "structure" (default): heads and neurons; "weights"; "quads": four along the depth; "blocks":
                          32 x 32 */
    double score_rate; /* learning rate of the scores; default 1e-2, l0 and cofi 1e-1 */
    double penalty;    /* soft-movement: of scores; default 100. It decides how much stays, and not `keep` */
    /* electra: a folder or a config.json of the model that proposes tokens; NULL: one with a quarter of the heads, the
     * width and the neurons of `model`. It is written to out/generator */
    const char *generator;
    double mask_share; /* mlm: the part of a sequence's tokens that is masked; default 0.15 */
    /* Of models with memories (docs/memory.md): */
    double memory_rate; /* learning rate of the memories' values, the same in all steps; default 1e-3 */
    int memory_dense;   /* all values that were ever touched move in each step, as the moments of Adam say; else only
                           the values that a step touches */
    int pool_attention; /* the head for sequences reads a learned row that sees all rows (Lee et al. 2019), not one of
                           them: classification, regression */
} rubato_train_options;

typedef struct rubato_train_result {
    size_t steps, best_step;
    const char *metric; /* NULL without a dev set */
    double best, seconds, tokens_per_second;
    double loss;   /* the mean of about the last ten steps; NaN where no step ran */
    size_t points; /* operating points of which `best` is the mean; 0 without a dev set */
    double joules; /* of the run; as in rubato_evaluation */
    int joules_measured;
    double kept; /* the part of the weights that pruning left; 0: nothing was pruned */
} rubato_train_result;

/* Trains a model and writes it to out as a folder that rubato and transformers load. out/metrics.jsonl gets a line for
 * each step. Batches are packed: no padding is computed. The same options give the same result bit for bit, whatever
 * the number of threads. Fails: as loading and reading data, IO, CANCELLED (the run can be resumed). Methods: Devlin et
 * al. 2018; Kim and Cho 2021 (length-adaptive); Goyal et al. 2020 (power-bert); docs/anytime.md names the methods of
 * early exits. */
RUBATO_API rubato_status rubato_train(const rubato_train_options *options, rubato_train_result **result,
                                      rubato_error *error);

/* ---- Trimming ---- */

typedef struct rubato_trim_options {
    size_t size; /* sizeof(rubato_trim_options) */
    const char *model, *out;
    const char *layers; /* the layers that stay, from 0 on: "0,2,5"; NULL: all. A layer that is named twice is there
                           twice: a deeper starting model (progressive stacking, Gong et al. 2019) */
    const char *drop; /* or a rule for the layers to drop (Sajjad et al. 2020): "top:2", "bottom:2", "odd:2", "even:2",
                         "symmetric:2", "contribution:0.95" (which needs data) */
    const char *data, *columns; /* texts whose tokens are counted */
    size_t vocabulary; /* the number of tokens that stay: special tokens, single characters, then the most frequent; 0:
                          all */
    size_t positions;  /* longest sequence; 0: the model's */
    const char *store; /* "f32" (default), "f16", "bf16" */
    int overwrite;     /* replace a model in `out`; without it that is refused */
    int empty;         /* remove heads and neurons that pruning made 0; the answers stay the same */
    size_t embedding;  /* features of a word embedding, which is projected to the hidden size; the tokens that are
                          frequent in the data change least; 0: the model's */
} rubato_trim_options;

typedef struct rubato_trim_result {
    size_t layers, vocabulary, parameters;
    double covered;        /* share of the data's tokens that did not change; 1 without data */
    size_t heads, neurons; /* of all layers together, that were removed */
} rubato_trim_result;

/* Makes a smaller checkpoint of a model by removing layers, word pieces and positions, and by narrower word embeddings;
 * training can start from it. The
 * vocabularies of WordPiece tokenizers can be trimmed: every text can still be tokenised, into smaller pieces. Fails:
 * UNSUPPORTED for other tokenizers and for layers that share weights. */
RUBATO_API rubato_status rubato_trim(const rubato_trim_options *options, rubato_trim_result **result,
                                     rubato_error *error);

/* ---- Other attention, memories ---- */

typedef struct rubato_convert_options {
    size_t size; /* sizeof(rubato_convert_options) */
    const char *model, *out;
    const char *attention; /* a mechanism and its settings, as config.json names them:
                              "longformer,window=256,globals=1"; NULL: the model's */
    size_t positions;      /* longest sequence; the table of positions is repeated; 0: the model's */
    int overwrite;         /* replace a model in `out`; without it that is refused */
    const char *store;     /* "f32" (default), "f16", "bf16" */
    const char *memory;    /* memories with product keys, and their settings, as config.json names them:
                              "res,slots=65536,heads=4"; res: beside the feed-forward parts of `layers`, pkm: instead of
                              them, after: behind these layers; "none": those of the model are left out; NULL: as the
                              model has it */
    const char *layers;    /* that get memories, "4,8", the first layer is 0; without memories, the layers that get the
                              attention, NULL: all */
    uint64_t seed;         /* of the memories' weights */
    int zero_values; /* the memories' values are zero: until it learns, the model answers as it did (res, after) */
    int reserved;    /* 0 */
} rubato_convert_options;

typedef struct rubato_convert_result {
    const char *attention; /* its description */
    size_t positions, parameters;
    size_t added;             /* tensors that the model had not, but for memories */
    const char *feed_forward; /* the description of memories; NULL: there are none */
} rubato_convert_result;

/* Makes a model with another attention, or for longer texts, of a model with dense attention; or one with memories
 * (docs/memory.md); training can start from it. Layers that the mechanism has besides begin as docs/attention.md says.
 * Operating points and exits are left out: they were found for other attention. Fails: UNSUPPORTED for a model whose
 * attention is not dense, has terms of distances, or has no table of positions; BAD_ARGUMENT for settings that the
 * mechanism does not take. */
RUBATO_API rubato_status rubato_convert(const rubato_convert_options *options, rubato_convert_result **result,
                                        rubato_error *error);

/* ---- The use of memories ---- */

typedef struct rubato_memory_options {
    size_t size;         /* sizeof(rubato_memory_options) */
    const char *data;    /* texts, as rubato_evaluate reads them, or a text in each line */
    const char *columns; /* as in rubato_eval_options */
    size_t limit;        /* the first texts only; 0: all */
    size_t max_length;   /* longer texts are cut; 0: the model's length */
    int (*progress)(void *user, size_t done, size_t total); /* a non-zero return cancels; NULL for none */
    void *progress_user;
} rubato_memory_options;

/* The use of one memory. A slot is used where a token's head gave it weight, and used first where it was a head's best.
 * kl is the divergence of the weights' distribution from the equal distribution, in nats: 0 where both are the same, at
 * most ln(slots). kl_first is the same for the counts of first slots. gini: 0 (less 1 / slots) where all slots have the
 * same weight, near 1 where one has all. */
typedef struct rubato_memory_use {
    size_t layer, slots;                 /* the first layer is 0 */
    double used, used_first;             /* shares of the slots */
    double kl, kl_first, gini;           /* NaN without texts */
    size_t slots_50, slots_90, slots_99; /* the fewest slots with 50, 90 and 99 % of the weight */
} rubato_memory_use;

typedef struct rubato_memory_report {
    size_t texts, tokens;
    size_t count; /* of memories */
    const rubato_memory_use *uses;
} rubato_memory_report;

/* Runs texts through the model and counts which slots of its memories they use. Shares of used slots grow with the
 * texts: a memory of N slots with h heads of k slots needs far more than N / h tokens for `used_first` to say
 * something. Free the report with rubato_free. Fails: UNSUPPORTED for a model without memories. */
RUBATO_API rubato_status rubato_memory(rubato_context *context, const rubato_memory_options *options,
                                       rubato_memory_report **report, rubato_error *error);

/* ---- Vocabularies ---- */

typedef struct rubato_vocabulary_options {
    size_t size;              /* sizeof(rubato_vocabulary_options) */
    const char *const *texts; /* [text_count] files of running text, a line after the other; .gz is unpacked */
    size_t text_count;
    const char *out;   /* folder for tokenizer.json, tokenizer_config.json and, of WordPiece, vocab.txt */
    const char *kind;  /* "wordpiece" (default): BERT's tokenizer; "bpe": RoBERTa's, on bytes; "unigram":
                          XLM-RoBERTa's */
    size_t tokens;     /* the size of the vocabulary; default 30,000 (wordpiece, unigram) or 50,000 (bpe) */
    size_t min_count;  /* wordpiece, bpe: rarer pairs of tokens are not merged; default 2 */
    size_t alphabet;   /* wordpiece, unigram: the most characters; rarer ones are unknown. Default: a third of `tokens`,
                          because most characters of wordpiece are two tokens, alone and within a word */
    int cased;         /* wordpiece, unigram: upper case stays; wordpiece: and accents */
    int overwrite;     /* replace what is in `out`; without it that is refused */
    size_t max_length; /* the longest sequence that the files name; default 512 */
    /* `stage` is "counting words", "merging" or "choosing pieces"; a non-zero return cancels. NULL for none. */
    int (*progress)(void *user, const char *stage, double share);
    void *progress_user;
} rubato_vocabulary_options;

typedef struct rubato_vocabulary_result {
    size_t tokens, characters; /* characters: in the alphabet */
    size_t lines, words;       /* of the texts; words: different ones */
    double counted;            /* all words */
} rubato_vocabulary_result;

/* Trains a tokenizer from running text. The vocabulary has the special tokens first, then the characters, then the
 * merged pieces (unigram: pieces by falling probability), and is smaller than asked for where the text has no more. It
 * is the one that the trainers of the library tokenizers make: for bpe with equal ids, for wordpiece and unigram up to
 * the order of equally frequent pairs and equally probable pieces. Fails:
 * NOT_FOUND, IO, BAD_DATA for a line that is not UTF-8, BAD_ARGUMENT, CANCELLED. */
RUBATO_API rubato_status rubato_train_vocabulary(const rubato_vocabulary_options *options,
                                                 rubato_vocabulary_result **result, rubato_error *error);

/* ---- Augmenting ---- */

typedef struct rubato_augment_options {
    size_t size;                /* sizeof(rubato_augment_options) */
    const char *model;          /* a masked language model */
    const char *data, *columns; /* texts or pairs with their labels, as rubato_eval_options */
    const char *out;            /* a file: .tsv, with the columns text, pair and label that the data have */
    size_t copies, candidates;  /* of a text, default 20; of a word, default 15 */
    double probability;         /* that a word is replaced, default 0.4 */
    size_t limit, max_length, threads;
    const char *isa;
    uint64_t seed;
    /* Called after every text; a non-zero return cancels. NULL for none. */
    int (*progress)(void *user, size_t done, size_t all, double seconds);
    void *progress_user;
    int overwrite; /* replace the file; without it that is refused */
    int reserved;  /* 0 */
} rubato_augment_options;

typedef struct rubato_augment_result {
    size_t texts, made; /* made: new ones */
} rubato_augment_result;

/* Writes every text and different copies of it, in which words that are no stop words are replaced: a word that is one
 * token by what the model puts in its place beside the whole text, another one by its neighbours among the model's word
 * embeddings (Jiao et al. 2020, algorithm 1). Fails: as loading and reading data, IO, WRONG_TASK, CANCELLED. */
RUBATO_API rubato_status rubato_augment(const rubato_augment_options *options, rubato_augment_result **result,
                                        rubato_error *error);

/* ---- Quantising ---- */

typedef struct rubato_quantize_options {
    size_t size; /* sizeof(rubato_quantize_options) */
    const char *model, *out;
    const char *to;                    /* "int8", "bf16", or "f32" for the way back */
    const char *task, *data, *columns; /* as rubato_eval_options; NULL: the result is not judged */
    double smooth;   /* int8: strength of SmoothQuant's smoothing, which is measured on the data's first texts; 0: no
                        smoothing */
    double max_drop; /* int8: the most points of quality that may be lost; 0: no limit */
    size_t max_length, threads;
    const char *isa;
    void (*progress)(void *user, size_t done, size_t all); /* counts evaluations */
    void *progress_user;
    int overwrite; /* replace a model in `out`; without it that is refused */
    int reserved;  /* 0 */
} rubato_quantize_options;

typedef struct rubato_quantize_result {
    size_t bytes_before, bytes_after; /* sizes of the weights on disk */
    size_t layers, lifted;            /* lifted: layers that stay in bf16 because of max_drop */
    const char *metric;               /* of the quality; NULL where it was not judged */
    double before, after;             /* quality; NaN where it was not judged */
} rubato_quantize_result;

/* Writes a model with its encoder's weights and embeddings in low precision: symmetric 8-bit by output channel
 * (embeddings by row), or bf16. Only Rubato reads such a folder, and multiplies the weights as they are mapped; "f32"
 * writes a folder that transformers loads. With data, the quality of every operating point is measured again. With
 * max_drop, layers are lifted to bf16 until the full model's loss is within it; the layers that gain most by themselves
 * come first. The result has the quality that was reached. Fails: as loading, evaluating and writing. */
RUBATO_API rubato_status rubato_quantize(const rubato_quantize_options *options, rubato_quantize_result **result,
                                         rubato_error *error);

/* ---- Search ---- */

typedef struct rubato_search_progress {
    size_t iteration, iterations, evaluations, dropped, frontier; /* dropped: after a part of the data */
    double area, seconds;                                         /* area under the frontier; grows as it improves */
    size_t timed; /* at the end: points of the frontier whose milliseconds are measured */
} rubato_search_progress;

typedef struct rubato_search_options {
    size_t size;                               /* sizeof(rubato_search_options) */
    const char *model, *task, *data, *columns; /* as rubato_eval_options; not for "retrieval" and "mlm" */
    const char *out;                           /* folder for rubato.json and frontier.svg; NULL: the model's */
    const char *cost;                          /* "flops" (default) or "ms", which needs a calibrated machine */
    const char *axes; /* "lengths,exits": the axes along which points may differ, of lengths, merges, depth, widths,
                         exits, precision and memory; NULL: lengths, and all axes for which the model was trained */
    const char *precision; /* as rubato_load_options; with "f32+int8" and cost "ms" points may be in either precision */
    size_t iterations;     /* default 15 */
    size_t mutations, crossovers; /* of each iteration, default 20 each */
    double lowest;                /* the cheapest cost of interest, as a part of the full model's; default 0.15 */
    int depth;                    /* layers may be left out: 1 yes, -1 no; 0: where LayerDrop was trained */
    size_t limit, max_length, threads;
    const char *isa;
    uint64_t seed;
    int resume; /* evaluations in out/search.jsonl are not repeated */
    int (*progress)(void *user, const rubato_search_progress *progress); /* non-zero: the search ends */
    void *progress_user;
    int overwrite; /* replace the points and the log of an earlier search; without it that is refused */
    int reserved;  /* 0 */
    /* Data on which no point is chosen, and from which the frontier's qualities are; NULL: half of `data`, by
     * documents, with the same proportions of labels. */
    const char *holdout;
    const char *unlabelled; /* classification: more texts on which points are chosen, by their agreement with the full
                               model; labels in the file do not count. NULL: none */
} rubato_search_options;

typedef struct rubato_search_result {
    size_t points, evaluations, dropped;
    double full_quality, area, seconds;
    const char *metric; /* of the quality */
    int stopped;       /* 1: stopped by the progress function. The points found so far are written, and a resumed search
                          continues */
    double full_error; /* standard error of full_quality; NaN where it is unknown */
    size_t
        held_out; /* examples from which the qualities are, and on which no point was chosen; 0: there were too few */
} rubato_search_result;

/* Searches a model's frontier of quality against cost by evolution. Writes it into rubato.json, with the quality,
 * operations and latency of every point, and as a plot. Quality is measured on the given data; because the search
 * chooses points on the same data, their quality looks a little too good. Methods: Cai et al. 2020; Kim and Cho 2021,
 * section 3.3. */
RUBATO_API rubato_status rubato_search(const rubato_search_options *options, rubato_search_result **result,
                                       rubato_error *error);

/* An operating point of a loaded model's frontier, cheapest first; lives as long as the model. */
typedef struct rubato_point {
    const char *name;
    double quality, flops_ratio, ms; /* NaN where unknown */
    size_t layers;                   /* the number of layers that run */
    const float *keep; /* [info->layers] rows that a layer passes on, as a part of all; a layer that does not run passes
                          on all */
    double quality_error;  /* standard error of the quality; NaN where it is unknown */
    double flops_error;    /* standard error of flops_ratio, which exits cause; 0 where the operations are certain */
    int exits;             /* texts or tokens may leave early: flops_ratio and ms are means over texts */
    const char *precision; /* number format of its products, where it is not the full model's; else NULL */
} rubato_point;

RUBATO_API size_t rubato_point_count(const rubato_model *model);
RUBATO_API const rubato_point *rubato_model_point(const rubato_model *model, size_t index);

/* Which point a budget gives a text of `length` tokens: *index in [0, rubato_point_count), or that count for the full
 * model. Reads the context alone, so that other threads may call this while the context runs.
 * Fails: BAD_ARGUMENT for a budget that the running functions would refuse. */
RUBATO_API rubato_status rubato_choose_point(const rubato_context *context, const char *budget, size_t length,
                                             size_t *index, rubato_error *error);

/* ---- Adapting ---- */

/* A stage of rubato_adapt, and how long it will take by what was measured. */
typedef struct rubato_adapt_stage {
    const char *name, *what; /* "student"; "half of the layers, which learn from the fine-tuned model" */
    double seconds;          /* estimated */
    int done;                /* an earlier run did it */
} rubato_adapt_stage;

typedef struct rubato_adapt_plan {
    size_t count;
    const rubato_adapt_stage *stages;
    double seconds;       /* estimated, of the stages that are not done */
    size_t texts, tokens; /* of the training data; tokens by a sample */
} rubato_adapt_plan;

typedef struct rubato_adapt_progress {
    const char *stage, *phase; /* phase: of training; else NULL */
    size_t number, count;      /* of the stage, from 1 */
    double share;              /* of the stage that is done */
    double seconds;            /* since the beginning of the run */
} rubato_adapt_progress;

/* A model, or an operating point of a model, that rubato_adapt made and measured. */
typedef struct rubato_adapted {
    const char *name;              /* "student", "elastic @0.40x" */
    const char *folder;            /* of its model */
    const char *budget;            /* "@0.40x"; NULL: the full model */
    double quality, quality_error; /* on examples that chose nothing; the error is NaN where it is unknown */
    double chosen_on;              /* quality on the examples by which the candidate was chosen */
    double ms;                     /* of one text alone, the median */
    double ratio;                  /* ms, as a part of the fine-tuned model's in f32 */
    double megabytes;              /* of its weights on the disk */
    double joules;                 /* of one text */
    int joules_measured;           /* 0: estimated from the time */
    int meets;                     /* the target */
} rubato_adapted;

typedef struct rubato_adapt_options {
    size_t size;                             /* sizeof(rubato_adapt_options) */
    const char *model;                       /* as rubato_train_options; a model that is fine-tuned already stays */
    const char *task, *data, *dev, *columns; /* as rubato_train_options; one half of dev chooses, the other tells */
    const char *out;                         /* folder of the result; the stages are in out/stages */
    const char *target; /* "0.3x" (a part of the fine-tuned model's time), "2ms" (for a text), "10MB" (of weights) */
    double max_drop;    /* points of quality that may be lost against the fine-tuned model; default 1 */
    double epochs;      /* of fine-tuning, default 3; other stages in proportion */
    size_t limit, max_length, threads;
    const char *isa;
    uint64_t seed;
    int resume, overwrite; /* continue the run in out; replace what is there */
    int plan_only;         /* only call `planned` */
    void (*planned)(void *user, const rubato_adapt_plan *plan);
    int (*progress)(void *user, const rubato_adapt_progress *progress); /* non-zero: CANCELLED, and resume goes on */
    void *user;
    const char
        *unlabelled;  /* more texts: small models learn the fine-tuned model's answers of these, in place of data */
    const char *ways; /* to go: "student,pruned,elastic" (default) */
    const char *precision; /* of the products in training: "f32", "bf16"; default: bf16 where the processor has it */
} rubato_adapt_options;

typedef struct rubato_adapt_result {
    const char *metric;
    size_t count;
    const rubato_adapted *const *candidates;
    size_t chosen;   /* the candidate that is in out now: the best of those that meet the target; the nearest if none
                        does */
    int met;         /* the target is met within max_drop */
    size_t held_out; /* examples from which the qualities are */
    double seconds;
} rubato_adapt_result;

/* Makes a small model of a big one: fine-tunes, lets a student of half the depth learn from the result, prunes it,
 * trains and searches operating points, quantises, measures every candidate on this machine, and copies the best one
 * that meets the target to out, with report.html and report.json. Fails: as training, searching and quantising;
 * CANCELLED. */
RUBATO_API rubato_status rubato_adapt(const rubato_adapt_options *options, rubato_adapt_result **result,
                                      rubato_error *error);

/* ---- Measuring ---- */

typedef struct rubato_machine {
    const char *processor;
    const char *isa;
    size_t threads;
    double peak_gflops_1, peak_gflops; /* measured peaks: one thread; all threads of the context */
    double bandwidth_gbs;              /* measured by reading a buffer larger than the caches, with all threads */
    double l2_gbs, l3_gbs;             /* reading buffers that fit into the second- and third-level cache */
    size_t l2_bytes, l3_bytes;         /* of one core; of all cores. From the system, or else a guess */
    double bf16_gflops, int8_gflops;   /* peaks of these precisions, all threads; 0: not available */
} rubato_machine;

RUBATO_API rubato_status rubato_measure_machine(rubato_context *context, rubato_machine **machine, rubato_error *error);

typedef struct rubato_bench_row {
    const char *point; /* its name, as long as the model lives */
    size_t batch, length;
    double ms, tokens_per_second, gflops;
    double joules; /* of a sequence; as in rubato_evaluation */
    int joules_measured;
} rubato_bench_row;

/* Median time of a forward pass over `batch` sequences of `length` random tokens each, of at least three runs. */
RUBATO_API rubato_status rubato_bench(rubato_context *context, size_t batch, size_t length, rubato_bench_row **row,
                                      rubato_error *error);

/* A part of a forward pass, summed over all layers. */
typedef struct rubato_part {
    const char *name;
    double ms;
    double gflops;     /* measured */
    double limit_ms;   /* the longer of operations over the peak of their precision, and bytes over bandwidth */
    const char *bound; /* the resource that gives the limit: "compute", "L2", "L3", "memory" */
} rubato_part;

typedef struct rubato_parts {
    size_t count;
    const rubato_part *const *parts;
} rubato_parts;

/* The roofline (Williams et al. 2009) of a forward pass over `batch` sequences of `length` random tokens, every
 * operation by all threads: what each part takes, the median of several runs, and what the machine allows. Weights come
 * from the smallest cache that holds all of the encoder's, activations from the smallest that holds the operation's.
 * Fails as rubato_bench. */
RUBATO_API rubato_status rubato_roofline(rubato_context *context, const rubato_machine *machine, size_t batch,
                                         size_t length, rubato_parts **parts, rubato_error *error);

/* What a layer's parts take on this machine: by it budgets in milliseconds are kept. It never changes, and any number
 * of contexts may have it, whatever threads they belong to. */
typedef struct rubato_calibration rubato_calibration;

typedef struct rubato_calibrate_options {
    size_t size;                                            /* sizeof(rubato_calibrate_options) */
    int (*progress)(void *user, size_t done, size_t total); /* also within a measurement, every few milliseconds;
                                                               non-zero: CANCELLED */
    void *progress_user;
} rubato_calibrate_options;

/* Measures what a layer's parts take with this context's model shape, precision, threads and instruction set, and keeps
 * it in the user's cache (XDG_CACHE_HOME or ~/.cache). Takes some seconds, in which nothing else should run.
 *   calibration  receives it; NULL: it is only kept */
RUBATO_API rubato_status rubato_calibrate(rubato_context *context, const rubato_calibrate_options *options,
                                          rubato_calibration **calibration, rubato_error *error);

/* Reads what rubato_calibrate kept for contexts like this one. Fails: NOT_FOUND when there is none for this machine,
 * model shape, precision and threads. */
RUBATO_API rubato_status rubato_calibration_load(const rubato_context *context, rubato_calibration **calibration,
                                                 rubato_error *error);

/* Hands it to a context, which keeps it for itself: the caller may destroy its own afterwards. NULL takes it away.
 * Fails: BAD_ARGUMENT where it was measured for another model shape, precision, threads or instruction set. */
RUBATO_API rubato_status rubato_context_set_calibration(rubato_context *context, rubato_calibration *calibration,
                                                        rubato_error *error);
RUBATO_API void rubato_calibration_destroy(rubato_calibration *calibration);

/* Predicted milliseconds of `count` sequences of `length` tokens at a point (NULL: full), tokenising excluded; NaN
 * without a calibration. */
RUBATO_API double rubato_predict_ms(const rubato_context *context, const char *point, size_t length, size_t count);

/* As rubato_bench, within a budget. */
RUBATO_API rubato_status rubato_bench_at(rubato_context *context, const char *budget, size_t batch, size_t length,
                                         rubato_bench_row **row, rubato_error *error);

/* ---- Files ---- */

/* Writes [rows, columns] floats as a NumPy file, whole or not at all. */
RUBATO_API rubato_status rubato_npy_write(const char *path, const float *data, size_t rows, size_t columns,
                                          rubato_error *error);

typedef struct rubato_pull_options {
    size_t size;          /* sizeof(rubato_pull_options) */
    const char *revision; /* NULL: "main" */
    int offline;          /* use only the files in the cache; also HF_HUB_OFFLINE=1 */
    /* Called as bytes arrive; a non-zero return cancels. total is 0 while unknown. NULL for none. */
    int (*progress)(void *user, const char *file, uint64_t done, uint64_t total);
    void *progress_user;
} rubato_pull_options;

/* Downloads a model's files into the Hugging Face cache, in the layout that huggingface_hub reads.
 * Honours HF_ENDPOINT, HF_TOKEN (or the saved token), HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE. Resumes partial files and
 * checks sizes and hashes.
 *   path  receives the snapshot folder; release with rubato_free
 * Fails: NETWORK, BAD_CHECKSUM, NOT_FOUND, IO, CANCELLED. Finished files stay, unfinished ones can be resumed. */
RUBATO_API rubato_status rubato_pull(const char *name, const rubato_pull_options *options, char **path,
                                     rubato_error *error);

/* ---- Options as a table ----
 *
 * The fields of the options structs above, with names, ranges, defaults and help, for programs that read options from a
 * command line, from JSON or in another language. Rubato's own program is made from this table. */

typedef enum rubato_option_type {
    RUBATO_OPTION_FLAG,    /* int: 1 when it is on */
    RUBATO_OPTION_SWITCH,  /* int: 1 on, -1 off, 0: Rubato decides */
    RUBATO_OPTION_SIZE,    /* size_t: a whole number from 1 on; a field of 0 is the default */
    RUBATO_OPTION_SEED,    /* uint64_t: a whole number */
    RUBATO_OPTION_INTEGER, /* int: a whole number; -1 means that 0 was given, 0 means the default */
    RUBATO_OPTION_REAL,    /* double: as INTEGER */
    RUBATO_OPTION_CHOICE,  /* an enum or int: the index of a word in the option's choices */
    RUBATO_OPTION_TEXT     /* const char * */
} rubato_option_type;

typedef struct rubato_option {
    const char *name; /* "warm_up"; the program writes it --warm-up */
    rubato_option_type type;
    size_t offset;      /* of the field in its options struct */
    double least, most; /* limits of a number; both are allowed unless `open` */
    int open;           /* the limits themselves are not allowed */
    const char *value;  /* a word for the value in a help text: "N", "FILE"; NULL for flags and switches */
    const char *(*choice)(size_t index); /* the allowed words, NULL past the last one; NULL: any value. A text may have
                                            other values too, for example "f32+int8" */
    const char *standard;                /* the value when the option is not given, in words; NULL: none */
    const char *help;                    /* one line, without a full stop */
    const char *section;                 /* the heading in a help text */
} rubato_option;

typedef enum rubato_option_group {
    RUBATO_OPTIONS_LOAD,       /* rubato_load_options */
    RUBATO_OPTIONS_CONTEXT,    /* rubato_context_options */
    RUBATO_OPTIONS_TEXT,       /* rubato_text_options */
    RUBATO_OPTIONS_RUN,        /* rubato_options, without its text options */
    RUBATO_OPTIONS_EVAL,       /* rubato_eval_options, without its run options */
    RUBATO_OPTIONS_TRAIN,      /* rubato_train_options, without the model; also in the following groups */
    RUBATO_OPTIONS_TRIM,       /* rubato_trim_options */
    RUBATO_OPTIONS_QUANTIZE,   /* rubato_quantize_options */
    RUBATO_OPTIONS_SEARCH,     /* rubato_search_options */
    RUBATO_OPTIONS_PULL,       /* rubato_pull_options */
    RUBATO_OPTIONS_VOCABULARY, /* rubato_vocabulary_options, without its texts */
    RUBATO_OPTIONS_ADAPT,      /* rubato_adapt_options */
    RUBATO_OPTIONS_AUGMENT,    /* rubato_augment_options */
    RUBATO_OPTIONS_CONVERT,    /* rubato_convert_options */
    RUBATO_OPTIONS_MEMORY,     /* rubato_memory_options */
    RUBATO_OPTIONS_GENERATE,   /* rubato_generate_options */
    RUBATO_OPTION_GROUPS       /* the number of groups */
} rubato_option_group;

/* Option number `index` of a group, from 0 on; NULL after the last. An option may grow at its end. */
RUBATO_API const rubato_option *rubato_option_at(rubato_option_group group, size_t index);

/* Reads a value and stores it in an options struct of the option's group. A flag or switch is "true" or "false". For a
 * text only the pointer is stored: the caller keeps the text alive. Fails: BAD_ARGUMENT, with a message that has the
 * value but not the option's name. The struct then stays as it was. */
RUBATO_API rubato_status rubato_option_set(const rubato_option *option, void *options, const char *value,
                                           rubato_error *error);

#ifdef __cplusplus
}
#endif

#endif
