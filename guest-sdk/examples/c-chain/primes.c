/* Counts the primes below a number by calling one of its own functions for each part of the
 * range: the parts run beside each other, each in a copy of this function's memory. */
#include "faaslet.h"

enum { PARTS = 4, MAX_NUMBER = 10000000 };

struct range {
  uint32_t from, to;
};

static int is_prime(uint32_t number) {
  if (number < 2) return 0;
  for (uint32_t divisor = 2; divisor * divisor <= number; divisor++)
    if (number % divisor == 0) return 0;
  return 1;
}

/* One part: its input is a range, its output the count as text. */
static int count_part(void) {
  struct range range;
  if (faaslet_input_read(0, &range, sizeof range) != sizeof range) return faaslet_fail("expected a range");
  uint32_t count = 0;
  for (uint32_t number = range.from; number < range.to; number++) count += is_prime(number);
  return faaslet_printf("%u", count);
}

FAASLET_MAIN {
  uint32_t below = strtoul(faaslet_input(NULL), NULL, 10);
  if (below < 2 || below > MAX_NUMBER) return faaslet_fail("expected a number from 2 to %d", MAX_NUMBER);

  int32_t calls[PARTS];
  for (uint32_t part = 0; part < PARTS; part++) {
    struct range range = {below / PARTS * part, part + 1 < PARTS ? below / PARTS * (part + 1) : below};
    calls[part] = faaslet_call_function(count_part, &range, sizeof range);
    if (calls[part] < 0) return faaslet_fail("part %u: %s", part, faaslet_status_text(calls[part]));
  }

  unsigned long total = 0;
  for (uint32_t part = 0; part < PARTS; part++) {
    int32_t outcome = faaslet_await(calls[part]);
    char *result = faaslet_result(calls[part], NULL);
    if (outcome != FAASLET_RETURNED)
      return faaslet_fail("part %u: %s", part, result ? result : faaslet_status_text(outcome));
    total += strtoul(result, NULL, 10);
  }
  return faaslet_printf("%lu primes below %u\n", total, below);
}
