/* Feeds the files of a folder to a fuzz target, without a fuzzer: every past finding is an ordinary test. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int main(int argc, char **argv) {
    size_t count = 0;
    if (argc < 2) return 2;
    DIR *folder = opendir(argv[1]);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[4096], *data;
        size_t size;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (!file_exists(path) || file_read(&data, &size, path, (size_t)1 << 30, NULL) != RUBATO_OK) continue;
        LLVMFuzzerTestOneInput((const unsigned char *)data, size);
        /* and cut short, where parsers like to read on */
        for (size_t cut = 0; cut < size && cut < 2000; cut += 1 + size / 200) {
            unsigned char *part = malloc(cut + 1);
            if (!part) return 1;
            memcpy(part, data, cut);
            LLVMFuzzerTestOneInput(part, cut);
            free(part);
        }
        free(data);
        count++;
    }
    if (folder) closedir(folder);
    printf("%zu files\n", count);
    return count == 0;
}
