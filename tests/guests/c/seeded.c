// A generator that is seeded from the host at initialisation, and again after each restore when
// RESEED is defined (reseeded.c). Answers its next number in hex: the same in every fork, or a new one.
#include <unistd.h>

#include "faaslet.h"

static uint64_t state;

static void seed(void) {
  if (getentropy(&state, sizeof state) != 0) abort();
  state |= 1;
}

FAASLET_INIT { seed(); }

#ifdef RESEED
FAASLET_AFTER_RESTORE { seed(); }
#endif

FAASLET_MAIN {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return faaslet_printf("%016llx", (unsigned long long)state);
}
