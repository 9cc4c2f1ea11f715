/* Ctrl-C and SIGTERM are noted. */
#include "cli/interrupt.h"

#include <signal.h>

static volatile sig_atomic_t noted; /* a signal handler has no other place */

static void note(int number) {
    (void)number;
    noted = 1;
}

static void note_once(int number) {
    noted = 1;
    signal(number, SIG_DFL);
}

void interrupt_watch(bool second_ends) {
    signal(SIGINT, second_ends ? note_once : note);
    signal(SIGTERM, second_ends ? note_once : note);
}

bool interrupted(void) {
    return noted;
}
