// Fails with its input as the message; logs it at every level first.
#include "faaslet.h"

FAASLET_MAIN {
  const char *message = faaslet_input(NULL);
  faaslet_output_append("dropped", 7);
  for (int level = FAASLET_ERROR; level <= FAASLET_DEBUG; level++)
    faaslet_log((enum faaslet_level)level, "level %d: %s", level, message);
  return faaslet_fail("%s", message);
}
