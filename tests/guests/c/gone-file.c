// Opens a file at initialisation and takes its name away: a fork could not open it again, so the bake
// refuses and names it.
#include "faaslet.h"

FAASLET_INIT {
  if (!fopen("/data/gone.txt", "w") || remove("/data/gone.txt") != 0) abort();
}

FAASLET_MAIN { return 0; }
