#include "text/trained_vocabulary.h"

#include <stdlib.h>

void trained_vocabulary_free(trained_vocabulary *self) {
    string_table_free(&self->tokens);
    free(self->merges);
    free(self->scores);
    *self = (trained_vocabulary){0};
}
