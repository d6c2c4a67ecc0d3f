// A function that prints: two lines and a part of one to standard output, one to standard error.
// They are for its log; the answer is its output alone.
#include "faaslet.h"

FAASLET_MAIN {
  printf("one\ntwo\nthree without an end");
  fprintf(stderr, "to standard error\n");
  fflush(stdout);
  return faaslet_printf("answer");
}
