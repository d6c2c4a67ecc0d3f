/*
 * Functions for faaslet, in C and C++: what a guest and its host say to each other.
 *
 * A function is a source file that includes this header and has a body for FAASLET_MAIN:
 *
 *     #include "faaslet.h"
 *
 *     FAASLET_MAIN {
 *       size_t length;
 *       char *name = faaslet_input(&length);
 *       return faaslet_printf("Hello, %s!\n", name);
 *     }
 *
 * Three parts: the entries that the host calls, the host calls as they are (each with its status
 * explained), and below them a few functions that make these easy to use. There is nothing to
 * link: the host calls are imports, the rest is inline.
 *
 * Memory: a call runs in a copy of the memory as it was after initialisation, and the copy is
 * thrown away afterwards. What a call allocates needs no free(), and what it leaves in a variable
 * is never seen by another call.
 */
#ifndef FAASLET_H
#define FAASLET_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#ifdef __cplusplus
extern "C" {
#define FAASLET_C extern "C"
#else
#define FAASLET_C
#endif

/* Version of this contract; part of the name of the module that host calls are imported from. */
#define FAASLET_ABI_VERSION 1

/* ---- Entries ----------------------------------------------------------------------------- */

/* Makes a function visible to the host by name: for faaslet_call_export(), for instance. */
#define FAASLET_EXPORT(name) FAASLET_C __attribute__((used, export_name(name)))

/* Room that is left in the heap of the image, so that calls rarely grow the memory: growing costs
 * the call, and the reset after it too. Say another number before this header is included, or with
 * -DFAASLET_HEADROOM_KIB=1024. */
#ifndef FAASLET_HEADROOM_KIB
#define FAASLET_HEADROOM_KIB 256
#endif

/* FAASLET_MAIN { ... return 0; }
 * Runs one call. 0 is success; anything else is a failure, whose message faaslet_fail() sets. */
#define FAASLET_MAIN                                                              \
  __attribute__((constructor)) static void faaslet_leave_room(void) {             \
    void *volatile room = malloc((size_t)(FAASLET_HEADROOM_KIB) * 1024);          \
    free(room);                                                                   \
  }                                                                               \
  FAASLET_EXPORT("faaslet_main") int faaslet_main(void)

/* FAASLET_INIT { ... }
 * Runs once, when the function is deployed, after the constructors of global objects. What it
 * leaves in memory is there at the start of every call: load models and fill tables here.
 * It cannot call other functions, and sees a clock that stands still. */
#define FAASLET_INIT FAASLET_EXPORT("faaslet_init") void faaslet_init(void)

/* FAASLET_WARM { ... }
 * Runs once, after FAASLET_INIT, as a call that is not anybody's: touch what calls will need. */
#define FAASLET_WARM FAASLET_EXPORT("faaslet_warm") void faaslet_warm(void)

/* FAASLET_EXTEND { ...; return 0; }
 * For a runtime that others' images are baked on: runs in a fork of its image, with what the new
 * image is to hold as its input. */
#define FAASLET_EXTEND FAASLET_EXPORT("faaslet_extend") int faaslet_extend(void)

/* FAASLET_AFTER_RESTORE { ... }
 * Runs first in every call: seed a random number generator here, and not in FAASLET_INIT, from
 * which every call would start with the same numbers. */
#define FAASLET_AFTER_RESTORE FAASLET_EXPORT("faaslet_after_restore") void faaslet_after_restore(void)

/* ---- What host calls answer --------------------------------------------------------------- */

/* A host call returns 0 or more when it is done, else one of these. None ends the guest. */
enum faaslet_status {
  FAASLET_FAULT = -1,      /* a pointer or range outside the guest's memory */
  FAASLET_INVALID = -2,    /* a value that the call does not take: a level, a name not in UTF-8 */
  FAASLET_BAD_HANDLE = -3, /* no call with this handle, or it was released */
  FAASLET_TOO_LARGE = -4,  /* over the host's limit */
  FAASLET_NOT_FOUND = -5,  /* no function of this name or index */
  FAASLET_DENIED = -6,     /* not allowed now, as chaining during initialisation */
  FAASLET_TIMED_OUT = -7,  /* the time given ran out */
  FAASLET_BUSY = -8,       /* too many calls in flight */
  FAASLET_TOO_DEEP = -9,   /* the chain of calls is deeper than the host allows */
  FAASLET_PENDING = -10,   /* the call was not awaited yet */
  FAASLET_LOCKED = -11,    /* another holds a global write lock on the value */
  FAASLET_LOCK_LOST = -12, /* the lock is not held: what was written under it is taken back */
  FAASLET_STATE_LOST = -13, /* the value was kept in memory alone, and its owner has lost it */
  FAASLET_CONFLICT = -14,  /* the value is not at the version expected */
  FAASLET_CHANGED = -15,   /* another spec, or deleted and made anew since it was opened */
  FAASLET_COLLECTED = -16, /* the version has been collected */
  FAASLET_NO_ROOM = -17,   /* no room on this host: everything is changed, mapped or locked */
  FAASLET_UNAVAILABLE = -18, /* the owner was not reached: nothing was applied */
  FAASLET_UNKNOWN = -19,   /* no answer came in time: the change may have been applied */
};

/* How an awaited call ended. Its result is the output, or the message that says what happened. */
enum faaslet_outcome {
  FAASLET_RETURNED = 0,       /* the result is its output */
  FAASLET_FAILED = 1,         /* it returned a failure; the result is its message */
  FAASLET_TRAPPED = 2,        /* it trapped; the result is the trap with its backtrace */
  FAASLET_CALL_TIMED_OUT = 3, /* its deadline passed */
  FAASLET_REFUSED = 4,        /* no such function, no room, too deep */
  FAASLET_LOST = 5,           /* its cell died */
};

/* Levels of a log line. */
enum faaslet_level {
  FAASLET_ERROR = 0,
  FAASLET_WARNING = 1,
  FAASLET_INFO = 2,
  FAASLET_DEBUG = 3,
};

/* Who this call is. */
struct faaslet_identity {
  uint8_t call_id[16]; /* unique over all hosts */
  uint32_t attempt;    /* 1 for the first one */
  uint32_t depth;      /* how many calls lie between this one and the one from outside */
};

/* ---- Host calls, as they are --------------------------------------------------------------- */

#define FAASLET_HOST(name) __attribute__((import_module("faaslet_v1"), import_name(name)))

/* Length of the input in bytes. */
FAASLET_HOST("input_len") int32_t faaslet_input_len(void);

/* Copies up to `length` bytes of the input from `offset` to `to`; returns how many. */
FAASLET_HOST("input_read") int32_t faaslet_input_read(uint32_t offset, void *to, uint32_t length);

/* Appends to the output. */
FAASLET_HOST("output_append") int32_t faaslet_output_append(const void *from, uint32_t length);

/* Replaces the output. */
FAASLET_HOST("output_set") int32_t faaslet_output_set(const void *from, uint32_t length);

/* The message of this call's failure, for an entry that returns anything but 0. */
FAASLET_HOST("error_set") int32_t faaslet_error_set(const char *message, uint32_t length);

/* Starts a call of another function of the same tenant; returns its handle. */
FAASLET_HOST("call")
int32_t faaslet_call_bytes(const char *name, uint32_t name_length, const void *input, uint32_t length);

/* Starts a call of an exported function of this module, in a copy of memory of its own. */
FAASLET_HOST("call_export")
int32_t faaslet_call_export_bytes(const char *name, uint32_t name_length, const void *input, uint32_t length);

/* The same, the function given by its index in the module's table: a function pointer. */
FAASLET_HOST("call_table")
int32_t faaslet_call_table(uint32_t index, const void *input, uint32_t length);

/* Waits for a call: an outcome, or a negative status. A negative time waits as long as this
 * call's own deadline allows. */
FAASLET_HOST("await") int32_t faaslet_await_for(int32_t handle, int64_t milliseconds);

/* Length of an awaited call's result. */
FAASLET_HOST("result_len") int32_t faaslet_result_len(int32_t handle);

/* Copies up to `length` bytes of an awaited call's result from `offset`; returns how many. */
FAASLET_HOST("result_read")
int32_t faaslet_result_read(int32_t handle, uint32_t offset, void *to, uint32_t length);

/* Forgets a call and its result. A call that is still running goes on. */
FAASLET_HOST("release") int32_t faaslet_release(int32_t handle);

/* Fills in who this call is. */
FAASLET_HOST("identity") int32_t faaslet_identity(struct faaslet_identity *to);

/* Copies the tenant's name, without a final zero; returns its whole length. */
FAASLET_HOST("tenant") int32_t faaslet_tenant(char *to, uint32_t size);

/* Copies the function's name, without a final zero; returns its whole length. */
FAASLET_HOST("function") int32_t faaslet_function(char *to, uint32_t size);

/* Writes one line to the function's log. */
FAASLET_HOST("log") int32_t faaslet_log_bytes(int32_t level, const char *line, uint32_t length);

/* Length of the head of the HTTP request behind this call; 0 when there is none. */
FAASLET_HOST("request_len") int32_t faaslet_request_len(void);

/* Copies from that head: "METHOD path?query\r\n", then "name: value\r\n" for each header. */
FAASLET_HOST("request_read") int32_t faaslet_request_read(uint32_t offset, void *to, uint32_t length);

/* Status of the HTTP response, 200 to 599. */
FAASLET_HOST("response_status") int32_t faaslet_response_status(int32_t status);

/* Adds a header to the HTTP response. */
FAASLET_HOST("response_header")
int32_t faaslet_response_header_bytes(const char *name, uint32_t name_length, const char *value,
                                      uint32_t value_length);

/* ---- Made easy -------------------------------------------------------------------------------- */

/* What a status means, in words. */
static inline const char *faaslet_status_text(int32_t status) {
  static const char *const text[] = {
      "done",
      "a pointer lies outside the guest's memory",
      "a value is not one that the host call takes",
      "no call has this handle",
      "larger than the host's limit",
      "no function has this name",
      "not allowed now",
      "the time ran out",
      "too many calls are in flight",
      "the chain of calls is too deep",
      "the call was not awaited yet",
      "another holds a global write lock on the value",
      "the lock is not held",
      "the value was lost by its owner",
      "the value is at another version",
      "the value was made otherwise, or anew",
      "the version has been collected",
      "this host has no room for more state",
      "the owner of the value was not reached",
      "no answer came in time: the change may have been applied",
  };
  if (status >= 0) return text[0];
  return status >= FAASLET_UNKNOWN ? text[-status] : "an unknown status";
}

/* Sets the message of this call's failure and returns 1, so that an entry can say
 * `return faaslet_fail("expected %d bytes, found %d", a, b);`. The text is cut at 1,023 bytes. */
__attribute__((format(printf, 1, 2))) static inline int faaslet_fail(const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (length < 0) length = 0;
  if (length >= (int)sizeof text) length = (int)sizeof text - 1;
  faaslet_error_set(text, (uint32_t)length);
  return 1;
}

/* The whole input, with a zero behind it; its length in *length unless that is NULL. */
static inline char *faaslet_input(size_t *length) {
  int32_t size = faaslet_input_len();
  char *text = (char *)malloc((size_t)size + 1);
  if (!text) abort();
  int32_t copied = faaslet_input_read(0, text, (uint32_t)size);
  if (copied < 0) copied = 0;
  text[copied] = 0;
  if (length) *length = (size_t)copied;
  return text;
}

/* Appends formatted text to the output; returns 0, or 1 after it set the failure's message:
 * `return faaslet_printf(...)` is a whole answer. */
__attribute__((format(printf, 1, 2))) static inline int faaslet_printf(const char *format, ...) {
  char small[512], *text = small;
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int length = vsnprintf(small, sizeof small, format, arguments);
  va_end(arguments);
  if (length >= (int)sizeof small) {
    text = (char *)malloc((size_t)length + 1);
    if (!text) abort();
    vsnprintf(text, (size_t)length + 1, format, again);
  }
  va_end(again);
  int32_t status = length < 0 ? FAASLET_INVALID : faaslet_output_append(text, (uint32_t)length);
  if (text != small) free(text);
  return status < 0 ? faaslet_fail("cannot write output: %s", faaslet_status_text(status)) : 0;
}

/* Writes one formatted line to the function's log, cut at 1,023 bytes. */
__attribute__((format(printf, 2, 3))) static inline void faaslet_log(enum faaslet_level level,
                                                                      const char *format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  if (length >= (int)sizeof line) length = (int)sizeof line - 1;
  faaslet_log_bytes(level, line, (uint32_t)length);
}

/* Starts a call of another function of the same tenant; returns its handle or a status. */
static inline int32_t faaslet_call(const char *name, const void *input, size_t length) {
  return faaslet_call_bytes(name, (uint32_t)strlen(name), input, (uint32_t)length);
}

/* Starts a call of a function that this module exports with FAASLET_EXPORT. */
static inline int32_t faaslet_call_export(const char *name, const void *input, size_t length) {
  return faaslet_call_export_bytes(name, (uint32_t)strlen(name), input, (uint32_t)length);
}

/* Starts a call of a function of this module. It runs beside this one, in a copy of the memory
 * as it was after initialisation: it sees its input, and nothing that this call has written. */
static inline int32_t faaslet_call_function(int (*function)(void), const void *input, size_t length) {
  return faaslet_call_table((uint32_t)(uintptr_t)function, input, (uint32_t)length);
}

/* Waits for a call: an outcome, or a negative status. */
static inline int32_t faaslet_await(int32_t handle) { return faaslet_await_for(handle, -1); }

/* The result of an awaited call, with a zero behind it; NULL when the handle is no good. */
static inline char *faaslet_result(int32_t handle, size_t *length) {
  int32_t size = faaslet_result_len(handle);
  if (size < 0) return NULL;
  char *text = (char *)malloc((size_t)size + 1);
  if (!text) abort();
  int32_t copied = faaslet_result_read(handle, 0, text, (uint32_t)size);
  if (copied < 0) copied = 0;
  text[copied] = 0;
  if (length) *length = (size_t)copied;
  return text;
}

/* The head of the HTTP request behind this call, with a zero behind it; NULL when there is none. */
static inline char *faaslet_request(void) {
  int32_t size = faaslet_request_len();
  if (size <= 0) return NULL;
  char *head = (char *)malloc((size_t)size + 1);
  if (!head) abort();
  int32_t copied = faaslet_request_read(0, head, (uint32_t)size);
  if (copied < 0) copied = 0;
  head[copied] = 0;
  return head;
}

/* Copies the value of the header `name` (case does not matter) of that head to `value`, cut at
 * `size` and with a zero behind it. Returns 1 when the header is there, else 0. */
static inline int faaslet_request_header(const char *head, const char *name, char *value, size_t size) {
  size_t name_length = strlen(name);
  const char *line = head ? strstr(head, "\r\n") : NULL;
  for (; line; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, name_length) != 0 || line[name_length] != ':') continue;
    const char *start = line + name_length + 1;
    start += strspn(start, " \t");
    size_t length = strcspn(start, "\r\n");
    while (length > 0 && (start[length - 1] == ' ' || start[length - 1] == '\t')) length--;
    if (size > 0) {
      if (length >= size) length = size - 1;
      memcpy(value, start, length);
      value[length] = 0;
    }
    return 1;
  }
  return 0;
}

/* Adds a header to the HTTP response. */
static inline int32_t faaslet_response_header(const char *name, const char *value) {
  return faaslet_response_header_bytes(name, (uint32_t)strlen(name), value, (uint32_t)strlen(value));
}

#ifdef __cplusplus
}
#endif

#endif
