/* Ctrl-C and SIGTERM are noted, once. */
#include "cli/interrupt.h"

#include <signal.h>

static volatile sig_atomic_t noted; /* a signal handler has no other place */

static void note(int number) {
    noted = 1;
    signal(number, SIG_DFL);
}

void interrupt_watch(void) {
    signal(SIGINT, note);
    signal(SIGTERM, note);
}

bool interrupted(void) {
    return noted;
}
