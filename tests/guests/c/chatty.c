// Prints more at initialisation than a message between processes holds, and answers with how much.
#include "faaslet.h"

enum { LINES = 200, LINE_BYTES = 1000 };

FAASLET_INIT {
  for (int i = 0; i < LINES; i++) printf("%0*d\n", LINE_BYTES, i);
  fflush(stdout);
}

FAASLET_MAIN { return faaslet_printf("%d", LINES * LINE_BYTES); }
