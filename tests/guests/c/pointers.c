// Hands every host call what it must refuse: pointers outside memory, ranges that wrap around,
// handles that were never given, values out of range. Answers "ok" and the number of checks, or
// fails with the first one that was answered wrongly. Needs an input of at least 8 bytes and an
// HTTP request head of at least 8 bytes if there is one.
#include "faaslet.h"

// An address behind any memory that a function can have, and one whose range wraps around.
#define OUTSIDE ((void *)0xfffffff0u)
#define END ((void *)(__builtin_wasm_memory_size(0) * 65536u - 4))
#define WRAP 0xffffffffu

static int checks;
static char text[64] = "text";
static struct faaslet_identity identity;

// 1 after setting the failure's message when the answer is not the expected one.
static int differs(const char *what, int32_t answer, int32_t expected) {
  checks++;
  if (answer == expected) return 0;
  return faaslet_fail("%s: expected %d, found %d", what, (int)expected, (int)answer);
}

#define EXPECT(call, expected) \
  if (differs(#call, (int32_t)(call), expected)) return 1

static int check_input_and_output(void) {
  int32_t length = faaslet_input_len();
  EXPECT(faaslet_input_read(0, OUTSIDE, 8), FAASLET_FAULT);
  EXPECT(faaslet_input_read(0, END, 8), FAASLET_FAULT);
  EXPECT(faaslet_input_read(0, text, WRAP), FAASLET_FAULT);
  EXPECT(faaslet_input_read(0, text, 0), 0);
  EXPECT(faaslet_input_read((uint32_t)length, text, 8), 0);
  EXPECT(faaslet_input_read(WRAP, text, 8), 0);
  EXPECT(faaslet_input_read((uint32_t)length - 3, text, 8), 3);
  EXPECT(faaslet_output_append(OUTSIDE, 1), FAASLET_FAULT);
  EXPECT(faaslet_output_append(END, 5), FAASLET_FAULT);
  EXPECT(faaslet_output_append(text, WRAP), FAASLET_FAULT);
  EXPECT(faaslet_output_append(text, 0), 0);
  EXPECT(faaslet_output_set(OUTSIDE, 1), FAASLET_FAULT);
  EXPECT(faaslet_output_set(text, 0), 0);
  EXPECT(faaslet_error_set(OUTSIDE, 1), FAASLET_FAULT);
  return 0;
}

static int check_calls(void) {
  EXPECT(faaslet_call_bytes(OUTSIDE, 4, text, 4), FAASLET_FAULT);
  EXPECT(faaslet_call_bytes("noop", 4, OUTSIDE, 4), FAASLET_FAULT);
  EXPECT(faaslet_call_bytes("noop", WRAP, text, 4), FAASLET_FAULT);
  EXPECT(faaslet_call_bytes("\xff\xfe", 2, text, 0), FAASLET_INVALID);
  EXPECT(faaslet_call_export_bytes(OUTSIDE, 4, text, 4), FAASLET_FAULT);
  EXPECT(faaslet_call_export_bytes("no such export", 14, text, 0), FAASLET_NOT_FOUND);
  EXPECT(faaslet_call_table(0, OUTSIDE, 1), FAASLET_FAULT);
  EXPECT(faaslet_call_table(WRAP, text, 0), FAASLET_NOT_FOUND);
  EXPECT(faaslet_call_table(0, text, 0), FAASLET_NOT_FOUND);
  for (int32_t handle = -1; handle <= 1; handle++) {
    EXPECT(faaslet_await_for(handle, 0), FAASLET_BAD_HANDLE);
    EXPECT(faaslet_result_len(handle), FAASLET_BAD_HANDLE);
    EXPECT(faaslet_result_read(handle, 0, text, 4), FAASLET_BAD_HANDLE);
    EXPECT(faaslet_release(handle), FAASLET_BAD_HANDLE);
  }
  return 0;
}

static int check_the_rest(void) {
  EXPECT(faaslet_identity(OUTSIDE), FAASLET_FAULT);
  EXPECT(faaslet_identity(END), FAASLET_FAULT);
  EXPECT(faaslet_identity(&identity), 0);
  EXPECT(faaslet_tenant(OUTSIDE, 4), FAASLET_FAULT);
  EXPECT(faaslet_function(OUTSIDE, 4), FAASLET_FAULT);
  int32_t length = faaslet_function(text, sizeof text);
  EXPECT(faaslet_function(text, 1), length);
  EXPECT(faaslet_log_bytes(FAASLET_INFO, OUTSIDE, 4), FAASLET_FAULT);
  EXPECT(faaslet_log_bytes(4, text, 4), FAASLET_INVALID);
  EXPECT(faaslet_log_bytes(-1, text, 4), FAASLET_INVALID);
  EXPECT(faaslet_request_read(0, OUTSIDE, 4), FAASLET_FAULT);
  EXPECT(faaslet_response_status(199), FAASLET_INVALID);
  EXPECT(faaslet_response_status(600), FAASLET_INVALID);
  EXPECT(faaslet_response_header_bytes(OUTSIDE, 4, text, 1), FAASLET_FAULT);
  EXPECT(faaslet_response_header_bytes("name", 4, OUTSIDE, 1), FAASLET_FAULT);
  EXPECT(faaslet_response_header_bytes("name", 4, "a\r\nb: c", 7), FAASLET_INVALID);
  return 0;
}

FAASLET_MAIN {
  if (faaslet_input_len() < 8) return faaslet_fail("an input of at least 8 bytes was expected");
  if (check_input_and_output() || check_calls() || check_the_rest()) return 1;
  return faaslet_printf("ok %d", checks);
}
