/* Input: any bytes as a safetensors file. It is refused, or every tensor's bytes are within the file. */
#include <stdlib.h>

#include "store/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tensor_file file;
    rubato_error error;
    if (safetensors_parse(&file, data, size, "fuzz", &error) != RUBATO_OK) return 0;
    unsigned sum = 0;
    for (size_t i = 0; i < file.count; i++) {
        for (size_t j = 0; j < file.tensors[i].bytes; j++) sum += file.tensors[i].data[j];
        float values[4];
        size_t few = file.tensors[i].elements < 4 ? file.tensors[i].elements : 4;
        if (dtype_is_real(file.tensors[i].type)) dtype_read(values, file.tensors[i].type, file.tensors[i].data, 0, few);
        if (tensor_file_find(&file, file.tensors[i].name) != &file.tensors[i]) abort();
    }
    tensor_file_close(&file);
    return sum == 0xdeadbeef;
}
