/* Whether this process may use the tile instructions (AMX). */
#ifndef RUBATO_KERNELS_TILES_H
#define RUBATO_KERNELS_TILES_H

#include <stdbool.h>

/* Asks the system for permission, which Linux gives to a process and not to a thread; asking again is cheap. Without it
 * a tile instruction ends the process. With it, alternate signal stacks of this process must be larger (about 12 kB:
 * sysconf(_SC_MINSIGSTKSZ)), and permission is refused while a thread has a smaller one. Also refused: by kernels
 * before 5.16, and where a filter of system calls forbids the question. Returns 0 or an errno. */
int tiles_ask(void);

#endif
