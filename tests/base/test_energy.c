/* Reading the processor's energy counters, from folders made here. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/energy.h"

static char folder[64];

static void put(const char *domain, const char *name, const char *text) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, domain);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", folder, domain, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_counters(void **state) {
    energy_reading begin, end;
    (void)state;
    energy_read(&begin, "/nowhere");
    assert_int_equal(begin.count, 0);
    snprintf(folder, sizeof folder, "/tmp/rubato-energy-XXXXXX");
    assert_non_null(mkdtemp(folder));
    energy_read(&begin, folder);
    assert_int_equal(begin.count, 0);
    put("intel-rapl:0", "energy_uj", "1000000\n");
    put("intel-rapl:0", "max_energy_range_uj", "5000000\n");
    put("intel-rapl:1", "energy_uj", "4500000\n");
    put("intel-rapl:1", "max_energy_range_uj", "5000000\n");
    put("intel-rapl:0:0", "energy_uj", "900000\n"); /* a part of a package */
    put("intel-rapl:0:0", "max_energy_range_uj", "5000000\n");
    put("intel-rapl:2", "energy_uj", "nothing\n");
    put("intel-rapl:2", "max_energy_range_uj", "5000000\n");
    put("thermal", "energy_uj", "7\n");
    energy_read(&begin, folder);
    assert_int_equal(begin.count, 2);
    put("intel-rapl:0", "energy_uj", "1250000\n");
    put("intel-rapl:1", "energy_uj", "100000\n"); /* it ran over */
    energy_read(&end, folder);
    assert_true(fabs(energy_between(&begin, &end) - (0.25 + 0.6)) < 1e-9);
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void test_meter(void **state) {
    energy_meter meter;
    bool measured;
    (void)state;
    energy_begin(&meter);
    assert_true(energy_end(&meter, 2, &measured) >= 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counters), cmocka_unit_test(test_meter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
