/* FNet's mixing of rows in place of attention (Lee-Thorp et al. 2021). */
#ifndef RUBATO_ATTENTION_FOURIER_ATTENTION_H
#define RUBATO_ATTENTION_FOURIER_ATTENTION_H

#include "attention/attending.h"

/* It has no weights, no heads and no setting: rows become the real part of the discrete Fourier transform over the rows
 * of their sequence and over columns. */
extern const attending attending_fourier;

#endif
