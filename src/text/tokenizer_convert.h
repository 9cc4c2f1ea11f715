/* The files that a tokenizer had before tokenizer.json, as the contents of a tokenizer.json. */
#ifndef RUBATO_TEXT_TOKENIZER_CONVERT_H
#define RUBATO_TEXT_TOKENIZER_CONVERT_H

#include "text/sentencepiece.h"
#include "text/tokenizer_class.h"

/* Whether the files of the class are all there. */
bool tokenizer_files_exist(const tokenizer_class *class, const char *folder);

/* Makes of the contents of the class's files the stages and the vocabulary of a tokenizer.json. *root is the caller's.
 * Fails: BAD_MODEL, BAD_DATA, UNSUPPORTED, OUT_OF_MEMORY. */
rubato_status tokenizer_convert(json_t **root, const tokenizer_class *class, const json_t *config,
                                const file_bytes files[2], rubato_error *error);

/* The same for the files of a folder. */
rubato_status tokenizer_convert_folder(json_t **root, const tokenizer_class *class, const json_t *config,
                                       const char *folder, rubato_error *error);

#endif
