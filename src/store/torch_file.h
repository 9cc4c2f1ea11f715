/* Reading the files of torch.save (pytorch_model.bin): a pickle that says which tensor has which part of which storage,
 * and the bytes of the storages. Both forms are read: a zip archive, and the one before torch 1.6. Nothing of the file
 * is run: pickle.h. Tied tensors share their bytes. A tensor that is stored in another order than row by row is put in
 * order in memory; together such tensors may fill as much as the file. */
#ifndef RUBATO_STORE_TORCH_FILE_H
#define RUBATO_STORE_TORCH_FILE_H

#include "store/tensor_file.h"

tensor_parser torch_file_parse;

#endif
