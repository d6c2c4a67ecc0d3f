// Sleeps as many milliseconds as its input says, in decimal, and answers "slept".
#include <time.h>

#include "faaslet.h"

FAASLET_MAIN {
  long milliseconds = strtol(faaslet_input(NULL), NULL, 10);
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  if (nanosleep(&time, NULL) != 0) return faaslet_fail("sleeping %ld ms was refused", milliseconds);
  return faaslet_printf("slept");
}
