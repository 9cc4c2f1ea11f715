/* Input: any bytes as a file of torch.save. It is refused, or every tensor's bytes are within the file or the memory
 * that was made for it. */
#include <stdlib.h>

#include "store/torch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tensor_file file;
    rubato_error error;
    if (torch_file_parse(&file, data, size, "fuzz", &error) != RUBATO_OK) return 0;
    unsigned sum = 0;
    if (file.made.size > size) abort();
    for (size_t i = 0; i < file.count; i++) {
        for (size_t j = 0; j < file.tensors[i].bytes; j++) sum += file.tensors[i].data[j];
        if (tensor_file_find(&file, file.tensors[i].name) != &file.tensors[i]) abort();
    }
    tensor_file_close(&file);
    return sum == 0xdeadbeef;
}
