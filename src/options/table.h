/* The form of a table of options: one line for each option, checked against the field that it fills. */
#ifndef RUBATO_OPTIONS_TABLE_H
#define RUBATO_OPTIONS_TABLE_H

#include <stddef.h>

#include "rubato.h"

/* A field's offset in its struct; does not compile where the field has another type. */
#define OPTION_FIELD(type, owner, field) (_Generic(((owner *)0)->field, type : 1) * offsetof(owner, field))

/* Before the lines, the table's file defines OPTION_OWNER, their struct, and OPTION_SECTION, their heading. `standard`
 * is NULL where there is no default. */
/* clang-format off */
#define OPTION(name, kind, type, field, least, most, open, value, choice, standard, help)                              \
    {#name, RUBATO_OPTION_##kind, OPTION_FIELD(type, OPTION_OWNER, field), least, most, open, value, choice, standard, \
     help, OPTION_SECTION}
/* clang-format on */
#define FLAG_OPTION(name, field, help) OPTION(name, FLAG, int, field, 0, 1, 0, NULL, NULL, NULL, help)
#define SWITCH_OPTION(name, field, standard, help) OPTION(name, SWITCH, int, field, 0, 1, 0, NULL, NULL, standard, help)
/* From 1 on: a field of 0 is the default, so that nobody may give 0. */
#define SIZE_OPTION(name, field, standard, help)                                                                       \
    OPTION(name, SIZE, size_t, field, 1, 1e18, 0, "N", NULL, standard, help)
#define SEED_OPTION(name, field, help) OPTION(name, SEED, uint64_t, field, 0, 1.9e19, 0, "N", NULL, "0", help)
#define INTEGER_OPTION(name, field, most, standard, help)                                                              \
    OPTION(name, INTEGER, int, field, 0, most, 0, "N", NULL, standard, help)
#define REAL_OPTION(name, field, standard, help) OPTION(name, REAL, double, field, 0, 1e9, 0, "X", NULL, standard, help)
/* A number between two limits, which are not allowed themselves. */
#define BETWEEN_OPTION(name, field, least, most, standard, help)                                                       \
    OPTION(name, REAL, double, field, least, most, 1, "X", NULL, standard, help)
#define CHOICE_OPTION(name, type, field, value, choice, standard, help)                                                \
    OPTION(name, CHOICE, type, field, 0, 0, 0, value, choice, standard, help)
#define TEXT_OPTION(name, field, value, choice, standard, help)                                                        \
    OPTION(name, TEXT, const char *, field, 0, 0, 0, value, choice, standard, help)

/* Defines a function of the allowed words of an option. */
#define OPTION_CHOICES(function, ...)                                                                                  \
    static const char *function(size_t index) {                                                                        \
        static const char *const words[] = {__VA_ARGS__};                                                              \
        return index < sizeof words / sizeof words[0] ? words[index] : NULL;                                           \
    }

#endif
