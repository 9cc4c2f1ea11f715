#define _DEFAULT_SOURCE
#include "base/energy.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static const char powercap[] = "/sys/class/powercap";

static bool read_number(const char *folder, const char *domain, const char *name, double *out) {
    char path[512], text[64];
    if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", folder, domain, name) >= sizeof path) return false;
    FILE *file = fopen(path, "r");
    if (!file) return false;
    char *got = fgets(text, sizeof text, file), *end = text;
    fclose(file);
    if (got) *out = strtod(text, &end);
    return got && end > text && *out >= 0;
}

/* A package is "intel-rapl:0", also of AMD's processors; what stands behind another colon is a part of it. */
static bool is_package(const char *name) {
    const char *colon = strchr(name, ':');
    return strncmp(name, "intel-rapl:", strlen("intel-rapl:")) == 0 && !strchr(colon + 1, ':');
}

void energy_read(energy_reading *out, const char *folder) {
    *out = (energy_reading){0};
    DIR *listing = opendir(folder);
    for (struct dirent *entry; listing && out->count < ENERGY_DOMAINS && (entry = readdir(listing));) {
        double now, range;
        if (!is_package(entry->d_name) || !read_number(folder, entry->d_name, "energy_uj", &now) ||
            !read_number(folder, entry->d_name, "max_energy_range_uj", &range))
            continue;
        out->joules[out->count] = now / 1e6;
        out->range[out->count++] = range / 1e6;
    }
    if (listing) closedir(listing);
}

double energy_between(const energy_reading *begin, const energy_reading *end) {
    double sum = 0;
    for (size_t i = 0; i < begin->count && i < end->count; i++) {
        const double spent = end->joules[i] - begin->joules[i];
        sum += spent < 0 ? spent + begin->range[i] : spent;
    }
    return sum;
}

void energy_begin(energy_meter *self) {
    energy_read(&self->begin, powercap);
    self->begin_ms = clock_ms();
}

double energy_end(const energy_meter *self, size_t threads, bool *measured) {
    energy_reading end;
    energy_read(&end, powercap);
    *measured = self->begin.count > 0 && end.count == self->begin.count;
    if (*measured) return energy_between(&self->begin, &end);
    return (clock_ms() - self->begin_ms) / 1e3 * (double)threads * ENERGY_WATTS_A_THREAD;
}
