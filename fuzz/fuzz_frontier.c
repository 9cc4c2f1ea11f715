/* Input: any bytes as rubato.json. They are refused, or give points for which budgets and counting work. The first byte
 * selects the number of layers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "elastic/frontier.h"
#include "../tests/shape.h"

static double price(const void *user, budget_kind kind, const point *at, size_t length) {
    (void)kind;
    return point_flops(at, user, length, NULL) / fmax(point_flops(NULL, user, length, NULL), 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const budgets[] = {"full", "0.4x", "0.9x", "@0.50x", "@", "3ms", "drop:1"};
    rubato_error error;
    json_t *object;
    frontier points = {0};
    if (size == 0) return 0;
    size_t layers = 1 + data[0] % 8;
    layer_sizes sizes[8];
    const encoder_shape shape = shape_of(sizes, 8, 16, 2, layers);
    if (json_read_bytes(&object, (const char *)data + 1, size - 1, "fuzz", &error) != RUBATO_OK) return 0;
    if (frontier_read(&points, object, layers, &error) == RUBATO_OK)
        for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
            budget wanted;
            if (budget_parse(&wanted, budgets[i], &points, NULL, &error) != RUBATO_OK) continue;
            for (size_t length = 0; length < 40; length += 13) {
                const point *at;
                wanted.strict = length == 13;
                budget_choose(&at, &wanted, &points, price, &shape, length);
            }
        }
    json_t *back = json_object();
    if (back && points.count) frontier_write(&points, back, &error);
    json_decref(back);
    json_decref(object);
    frontier_free(&points);
    return 0;
}
