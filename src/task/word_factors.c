/* Narrow word embeddings. */
#include "task/word_factors.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/random.h"

enum { PASSES = 60 }; /* directions that this leaves unsorted differ by little in what they keep */

/* gram = sum_i weights[i] x_i x_i^T, of its lower triangle. */
static void add_products(const float *rows, size_t count, size_t width, const double *weights, double *gram) {
    for (size_t i = 0; i < count; i++) {
        const float *x = rows + i * width;
        for (size_t a = 0; a < width; a++) {
            const double scaled = weights[i] * (double)x[a];
            for (size_t b = 0; b <= a; b++) gram[a * width + b] += scaled * (double)x[b];
        }
    }
    for (size_t a = 0; a < width; a++)
        for (size_t b = 0; b < a; b++) gram[b * width + a] = gram[a * width + b];
}

/* Makes the rows of v [rank, width] orthonormal, one after the other, twice because one pass leaves what rounding lost.
 */
static void make_orthonormal(double *v, size_t rank, size_t width) {
    for (size_t i = 0; i < rank; i++) {
        double *own = v + i * width;
        for (size_t j = 0; j < 2 * i; j++) {
            const double *other = v + j % i * width;
            double along = 0;
            for (size_t k = 0; k < width; k++) along += own[k] * other[k];
            for (size_t k = 0; k < width; k++) own[k] -= along * other[k];
        }
        double length = 0;
        for (size_t k = 0; k < width; k++) length += own[k] * own[k];
        length = sqrt(length);
        for (size_t k = 0; k < width; k++) own[k] = length > 0 ? own[k] / length : 0;
    }
}

/* out [rank, width] = v gram. */
static void apply(const double *gram, const double *v, size_t rank, size_t width, double *out) {
    for (size_t i = 0; i < rank * width; i++) out[i] = 0;
    for (size_t i = 0; i < rank; i++)
        for (size_t k = 0; k < width; k++)
            for (size_t j = 0; j < width; j++) out[i * width + j] += v[i * width + k] * gram[k * width + j];
}

/* Subspace iteration (Golub and Van Loan 2013, section 8.2.4) from random directions. */
static void find_directions(const double *gram, size_t rank, size_t width, double *v, double *room) {
    uint64_t state = 1;
    for (size_t i = 0; i < rank * width; i++) v[i] = random_normal(&state);
    make_orthonormal(v, rank, width);
    for (size_t pass = 0; pass < PASSES; pass++) {
        apply(gram, v, rank, width, room);
        for (size_t i = 0; i < rank * width; i++) v[i] = room[i];
        make_orthonormal(v, rank, width);
    }
}

rubato_status word_factors(const float *rows, size_t count, size_t width, const double *weights, size_t rank,
                           float *narrow, float *projection, rubato_error *error) {
    double *gram = calloc(width * width, sizeof *gram);
    double *v = malloc(rank * width * sizeof *v), *room = malloc(rank * width * sizeof *room);
    const rubato_status status = gram && v && room ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) {
        add_products(rows, count, width, weights, gram);
        find_directions(gram, rank, width, v, room);
        for (size_t i = 0; i < count; i++)
            for (size_t r = 0; r < rank; r++) {
                double sum = 0;
                for (size_t k = 0; k < width; k++) sum += v[r * width + k] * (double)rows[i * width + k];
                narrow[i * rank + r] = (float)sum;
            }
        for (size_t k = 0; k < width; k++)
            for (size_t r = 0; r < rank; r++) projection[k * rank + r] = (float)v[r * width + k];
    }
    free(gram);
    free(v);
    free(room);
    return status;
}
