/* Running text as tokens: documents of sentences. The tokens are in a file without a name, not in memory.
 *
 * A line of a text file is a paragraph; an empty line ends a document, and so does the end of a file. A paragraph is
 * tokenised as a whole and then divided into sentences (text/sentences.h), the longest of these into pieces. */
#ifndef RUBATO_TRAIN_CORPUS_H
#define RUBATO_TRAIN_CORPUS_H

#include "base/file.h"
#include "text/tokenizer.h"

/* Counts of tokens, sentences and documents are positions: sentence i has the tokens [sentences[i], sentences[i + 1]),
 * document i the sentences [documents[i], documents[i + 1]). */
typedef struct corpus {
    const int32_t *ids;
    const uint64_t *sentences, *documents;
    size_t tokens, sentence_count, document_count;
    size_t lines;
    uint64_t hash; /* of tokens and divisions */
    mapped_file files[3];
} corpus;

/* Whether a list of files ("a.txt,b.txt.gz") is running text by its names. */
bool corpus_named(const char *paths);

typedef struct corpus_options {
    const char *folder;     /* for the file without a name */
    size_t longest;         /* tokens of a sentence; longer ones are cut into pieces */
    size_t vocabulary;      /* of the model: larger ids are an error */
    /* The part of the files that was read; a non-zero return cancels. NULL for none. */
    int (*progress)(void *user, double share);
    void *user;
} corpus_options;

/* Reads the files, one after the other. Sentences and documents without a token are left out. The caller closes it
 * after a failure as well. Fails: as text_lines_next, BAD_MODEL for an id beyond the vocabulary, CANCELLED. */
rubato_status corpus_read(corpus *self, const char *paths, const tokenizer *text, const corpus_options *how,
                          rubato_error *error);
void corpus_close(corpus *self);

#endif
