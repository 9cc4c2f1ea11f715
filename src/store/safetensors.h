/* Reading safetensors files: a JSON header of names, types, shapes and positions, then the bytes. Everything in the
 * header is checked as in the reference: offsets have no hole, overlap or rest, and sizes follow from shape and type
 * without overflow. Format: github.com/huggingface/safetensors. */
#ifndef RUBATO_STORE_SAFETENSORS_H
#define RUBATO_STORE_SAFETENSORS_H

#include "store/tensor_file.h"

tensor_parser safetensors_parse;

#endif
