// Answers how long the value of the environment variable is that the input names, and its last byte;
// with -1 when there is none.
#include "faaslet.h"

enum { MAX_NAME_BYTES = 100 };

FAASLET_MAIN {
  char name[MAX_NAME_BYTES + 1] = {0};
  size_t length;
  const char *input = faaslet_input(&length);
  if (length > MAX_NAME_BYTES) return faaslet_fail("the name is too long");
  memcpy(name, input, length);
  const char *value = getenv(name);
  if (!value) return faaslet_printf("-1");
  size_t found = strlen(value);
  return faaslet_printf("%zu %c", found, found ? value[found - 1] : ' ');
}
