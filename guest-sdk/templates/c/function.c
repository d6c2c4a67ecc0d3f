/* The function {{name}}: greets whoever the input names. */
#include "faaslet.h"

#define MAX_NAME_BYTES 256

/* Runs once, at the deployment. What it leaves in memory is there at the start of every call: load
 * models and fill tables here. */
FAASLET_INIT {}

/* Runs one call, in a fork of its own. */
FAASLET_MAIN {
  size_t length;
  char *name = faaslet_input(&length);
  if (length == 0 || length > MAX_NAME_BYTES)
    return faaslet_fail("expected a name of 1 to %d bytes, found %zu", MAX_NAME_BYTES, length);
  faaslet_log(FAASLET_INFO, "greeting %s", name);
  return faaslet_printf("Hello, %s!\n", name);
}
