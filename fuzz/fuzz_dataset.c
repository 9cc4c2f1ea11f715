/* Input: any bytes as a data set. The first byte selects the format. */
#include "store/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"x.tsv", "x.csv", "x.jsonl", "x.json", "x.conll", "x.iob2"};
    if (size == 0) return 0;
    size_t choice = data[0];
    dataset set;
    rubato_error error;
    if (dataset_parse(&set, (const char *)data + 1, size - 1, names[choice % 6], (dataset_kind)(choice / 6 % 3),
                      choice & 128 ? "text=2,label=1" : NULL, &error) == RUBATO_OK)
        dataset_free(&set);
    return 0;
}
