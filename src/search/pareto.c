/* Pareto sets. */
#include "search/pareto.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_cost(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (isnan(x->quality) != isnan(y->quality)) return isnan(x->quality) ? 1 : -1;
    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    return x->quality > y->quality ? -1 : x->quality < y->quality;
}

size_t pareto_reduce(candidate *all, size_t count) {
    size_t kept = 0;
    if (count) qsort(all, count, sizeof *all, by_cost);
    for (size_t i = 0; i < count && !isnan(all[i].quality); i++)
        if (kept == 0 || all[i].quality > all[kept - 1].quality) all[kept++] = all[i];
    return kept;
}

size_t pareto_thin(candidate *all, size_t count, double step) {
    size_t first = count; /* the points that stay are gathered at the end, the dearest first */
    for (size_t i = count; i-- > 0;)
        if (first == count || all[i].cost <= (1 - step) * all[first].cost) all[--first] = all[i];
    memmove(all, all + first, (count - first) * sizeof *all);
    return count - first;
}

double pareto_area(const candidate *all, size_t count) {
    double area = 0;
    if (count < 2) return count ? all[0].quality : 0;
    for (size_t i = 0; i + 1 < count; i++) area += (all[i + 1].cost - all[i].cost) * all[i].quality;
    return area / (all[count - 1].cost - all[0].cost);
}

double pareto_best(const candidate *all, size_t count, double cost, bool glimpse) {
    double best = -INFINITY;
    for (size_t i = 0; i < count; i++)
        if (all[i].cost <= cost) best = fmax(best, glimpse ? all[i].glimpse : all[i].quality);
    return best;
}
