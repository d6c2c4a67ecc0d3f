// Chaining from C. The input says what to do:
//   fan N        starts N calls of a function of this module, awaits them, answers the sum 0+...+N-1
//   deep         calls this function by its own name until the host refuses; answers the depth
//   late         awaits a call that never ends for one millisecond; answers the status, -7
//   pending      asks for a result before it awaited; answers the status, -10
//   again        awaits one call twice and releases it twice; answers "0 0 0 -3"
//   outcome NAME calls NAME and answers its outcome and result: "1 some message"
#include "faaslet.h"

enum { MAX_CALLS = 1000, MAX_NAME_BYTES = 128 };

static int answer_number(void) {
  char *input = faaslet_input(NULL);
  return faaslet_printf("%s", input);
}

static int never_end(void) {
  for (volatile int i = 0;; i++) {
  }
}

static int fan(int calls) {
  static int32_t handles[MAX_CALLS];
  long sum = 0;
  if (calls < 0 || calls > MAX_CALLS) return faaslet_fail("expected 0 to %d calls, found %d", MAX_CALLS, calls);
  for (int i = 0; i < calls; i++) {
    char number[16];
    int length = snprintf(number, sizeof number, "%d", i);
    handles[i] = faaslet_call_function(answer_number, number, (size_t)length);
    if (handles[i] < 0) return faaslet_fail("call %d: %d", i, (int)handles[i]);
  }
  for (int i = 0; i < calls; i++) {
    if (faaslet_await(handles[i]) != FAASLET_RETURNED) return faaslet_fail("call %d failed", i);
    sum += atol(faaslet_result(handles[i], NULL));
    faaslet_release(handles[i]);
  }
  return faaslet_printf("%ld", sum);
}

static int deep(void) {
  char name[MAX_NAME_BYTES + 1] = {0};
  struct faaslet_identity identity;
  faaslet_identity(&identity);
  faaslet_function(name, MAX_NAME_BYTES);
  int32_t call = faaslet_call(name, "deep", 4);
  int32_t outcome = call < 0 ? call : faaslet_await(call);
  if (outcome == FAASLET_RETURNED) return faaslet_printf("%s", faaslet_result(call, NULL));
  return faaslet_printf("%u", identity.depth);
}

static int again(void) {
  int32_t call = faaslet_call_function(answer_number, "1", 1);
  int first = faaslet_await(call), second = faaslet_await(call);
  int released = faaslet_release(call);
  return faaslet_printf("%d %d %d %d", first, second, released, (int)faaslet_release(call));
}

static int outcome(const char *name) {
  int32_t call = faaslet_call(name, NULL, 0);
  if (call < 0) return faaslet_printf("%d %s", (int)call, faaslet_status_text(call));
  int ended = faaslet_await(call);
  return faaslet_printf("%d %s", ended, faaslet_result(call, NULL));
}

FAASLET_MAIN {
  const char *input = faaslet_input(NULL);
  if (strncmp(input, "fan ", 4) == 0) return fan(atoi(input + 4));
  if (strcmp(input, "deep") == 0) return deep();
  if (strcmp(input, "late") == 0)
    return faaslet_printf("%d", (int)faaslet_await_for(faaslet_call_function(never_end, NULL, 0), 1));
  if (strcmp(input, "pending") == 0)
    return faaslet_printf("%d", (int)faaslet_result_len(faaslet_call_function(answer_number, "1", 1)));
  if (strcmp(input, "again") == 0) return again();
  if (strncmp(input, "outcome ", 8) == 0) return outcome(input + 8);
  return faaslet_fail("expected fan, deep, late, pending, again or outcome, found '%s'", input);
}
