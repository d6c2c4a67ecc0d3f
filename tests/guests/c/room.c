// Says by how much a call that allocates the room of the image's heap made the memory grow, in KiB.
#include "faaslet.h"

FAASLET_MAIN {
  size_t before = __builtin_wasm_memory_size(0);
  char *volatile room = malloc(200 * 1024);
  if (!room) abort();
  return faaslet_printf("%d", (int)(__builtin_wasm_memory_size(0) - before) * 64);
}
