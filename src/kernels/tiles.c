/* The permission for tile instructions. */
#define _GNU_SOURCE
#include "kernels/tiles.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int tiles_ask(void) {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM of asm/prctl.h, the state of tiles in xcr0 */
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0 ? 0 : errno;
#else
    return ENOSYS;
#endif
}
