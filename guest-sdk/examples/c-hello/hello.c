/* Greets whoever the input names, and says so in the log. */
#include "faaslet.h"

#define MAX_NAME_BYTES 256

FAASLET_MAIN {
  size_t length;
  char *name = faaslet_input(&length);
  if (length > MAX_NAME_BYTES)
    return faaslet_fail("expected a name of at most %d bytes, found %zu", MAX_NAME_BYTES, length);
  faaslet_log(FAASLET_INFO, "greeting %zu bytes", length);
  return faaslet_printf("Hello, %s!\n", length ? name : "stranger");
}
