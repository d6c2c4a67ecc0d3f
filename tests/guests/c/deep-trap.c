// Traps three functions deep, at the line that says HERE: for backtraces with names, files and lines.
#include "faaslet.h"

__attribute__((noinline)) static int bottom(volatile int *where) {
  *where = 1;
  __builtin_trap();  // HERE
}

__attribute__((noinline)) static int middle(volatile int *where) { return bottom(where) + *where; }

FAASLET_MAIN {
  volatile int where = 0;
  return middle(&where) + where;
}
