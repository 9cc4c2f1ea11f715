/* Facts about this process, for its metrics. */
#ifndef RUBATO_SERVE_PROCESS_H
#define RUBATO_SERVE_PROCESS_H

#include <stddef.h>

typedef struct process_facts {
    double cpu_seconds;
    size_t resident_bytes, virtual_bytes, open_files, most_files; /* 0 where the system does not say */
} process_facts;

process_facts process_look(void);

#endif
