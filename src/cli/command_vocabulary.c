/* rubato vocabulary: a tokenizer from running text. */
#include <string.h>

#include "base/progress.h"
#include "cli/command.h"

typedef struct showing {
    progress bar;
    const char *stage;
    bool quiet;
} showing;

static int show(void *user, const char *stage, double share) {
    showing *now = user;
    if (!now->stage || strcmp(now->stage, stage) != 0) {
        if (now->stage) progress_end(&now->bar);
        progress_begin(&now->bar, stage, "", now->quiet);
        now->stage = stage;
    }
    progress_show(&now->bar, share, 1);
    return 0;
}

static int run(const arguments *given) {
    rubato_vocabulary_options options = given->vocabulary;
    if (!options.out) return report_usage("%s", "vocabulary needs --out; see rubato vocabulary --help");
    showing now = {.quiet = given->quiet};
    options.texts = given->models;
    options.text_count = given->model_count;
    options.progress = show;
    options.progress_user = &now;
    rubato_vocabulary_result *result;
    rubato_error error;
    rubato_status status = rubato_train_vocabulary(&options, &result, &error);
    if (now.stage) progress_end(&now.bar);
    if (status != RUBATO_OK) return report(&error);
    if (given->json) {
        printf("{\"out\": ");
        print_json_string(options.out, strlen(options.out));
        printf(", \"tokens\": %zu, \"characters\": %zu, \"lines\": %zu, \"words\": %.0f, \"different_words\": %zu}\n",
               result->tokens, result->characters, result->lines, result->counted, result->words);
    } else {
        printf("%s: %zu tokens, %zu of them characters; from %zu lines with %.0f words, %zu different ones\n",
               options.out, result->tokens, result->characters, result->lines, result->counted, result->words);
    }
    rubato_free(result);
    return finish_output(EXIT_OK);
}

const command command_vocabulary = {"vocabulary",
                                    "TEXT [TEXT...] --out DIR",
                                    "Trains a tokenizer from running text.",
                                    "vocabulary.* json quiet help",
                                    "  rubato vocabulary wiki.txt.gz news.txt --tokens 16000 --out tokenizer\n"
                                    "  rubato vocabulary korean.txt --tokens 32000 --cased --out tokenizer-ko\n"
                                    "  rubato vocabulary wiki.txt --kind bpe --out tokenizer-bpe\n"
                                    "  rubato vocabulary korean.txt --kind unigram --tokens 16000 --out tokenizer-ko\n",
                                    run};
