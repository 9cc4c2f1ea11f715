/* Reads /proc/self. */
#define _GNU_SOURCE
#include "serve/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

process_facts process_look(void) {
    process_facts out = {0};
    struct rusage used;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &used) == 0) out.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) out.most_files = limit.rlim_cur;
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long whole, resident;
    if (file && fscanf(file, "%lu %lu", &whole, &resident) == 2) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        out.virtual_bytes = whole * page;
        out.resident_bytes = resident * page;
    }
    if (file) fclose(file);
    DIR *files = opendir("/proc/self/fd");
    for (const struct dirent *one; files && (one = readdir(files));) out.open_files += one->d_name[0] != '.';
    if (files) {
        closedir(files);
        out.open_files--; /* the folder's own */
    }
    return out;
}
