/*
 * State for functions in C and C++: values of the tenant that outlive calls.
 *
 * A value is an array of numbers or bytes under a key. What is read, written or mapped lies in
 * memory that all functions of the tenant on this host share; a pull brings what other hosts
 * pushed, a push sends what this host changed. C++ has containers over it: faaslet_state.hpp.
 *
 *     struct faaslet_state_spec spec = {.quota_bytes = 8, .element = FAASLET_I64, .rule = FAASLET_SUM};
 *     int32_t counter = faaslet_state_open("visits", &spec);
 *     int64_t one = 1;
 *     faaslet_state_merge(counter, 0, &one, sizeof one);
 *     faaslet_state_push(counter);
 *
 * Every function returns 0 or more when it is done, else a faaslet_status; faaslet_state_error()
 * copies the host's words about the last one that was refused, which name key and limit.
 */
#ifndef FAASLET_STATE_H
#define FAASLET_STATE_H

#include "faaslet.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a value is an array of. */
enum faaslet_element {
  FAASLET_U8 = 1,
  FAASLET_U16 = 2,
  FAASLET_U32 = 3,
  FAASLET_U64 = 4,
  FAASLET_I8 = 5,
  FAASLET_I16 = 6,
  FAASLET_I32 = 7,
  FAASLET_I64 = 8,
  FAASLET_F32 = 9,
  FAASLET_F64 = 10,
};

/* How changes of two hosts are merged. */
enum faaslet_rule {
  FAASLET_REPLACE = 0, /* the later push of an element wins */
  FAASLET_SUM = 1,     /* differences add up */
  FAASLET_MIN = 2,
  FAASLET_MAX = 3,
  FAASLET_AND = 4, /* bitwise, integers only, as the next two */
  FAASLET_OR = 5,
  FAASLET_XOR = 6,
};

/* What a value is made as; zeros are what holds where nothing else is said, but for the quota. */
struct faaslet_state_spec {
  uint64_t quota_bytes; /* largest length */
  uint8_t element;      /* faaslet_element; 0 is FAASLET_U64 */
  uint8_t rule;         /* faaslet_rule */
  uint8_t durability;   /* 1: a push is acknowledged once it survives the loss of power */
  uint8_t flags;        /* 1: made anew, empty, if its owner has lost it */
  uint32_t keep_versions;
  uint32_t keep_age_s;
  uint32_t reserved;
};

/* A version; all zeros is none. */
struct faaslet_version {
  uint64_t epoch;
  uint64_t n;
};

struct faaslet_state_stat {
  uint64_t len; /* on this host, in bytes */
  struct faaslet_version version;
  struct faaslet_state_spec spec;
};

enum faaslet_map_mode {
  FAASLET_MAP_READ = 0,  /* a private copy: stores are seen by this call alone */
  FAASLET_MAP_WRITE = 1, /* shared by all functions of the host */
};

enum faaslet_lock {
  FAASLET_LOCAL_READ = 0,
  FAASLET_LOCAL_WRITE = 1,
  FAASLET_GLOBAL_READ = 2,
  FAASLET_GLOBAL_WRITE = 3,
};

/* ---- Host calls -------------------------------------------------------------------------- */

/* Opens a value and returns a handle; made as `spec` says if there is none, unless that is NULL. */
FAASLET_HOST("state_open")
int32_t faaslet_state_open_bytes(const char *key, uint32_t key_length, const struct faaslet_state_spec *spec);

FAASLET_HOST("state_close") int32_t faaslet_state_close(int32_t handle);

FAASLET_HOST("state_stat") int32_t faaslet_state_stat(int32_t handle, struct faaslet_state_stat *to);

/* Copies bytes out; returns how many, fewer at the end. */
FAASLET_HOST("state_read")
int32_t faaslet_state_read(int32_t handle, int64_t offset, void *to, uint32_t length);

/* Copies bytes in, on this host; the value grows to hold them. */
FAASLET_HOST("state_write")
int32_t faaslet_state_write(int32_t handle, int64_t offset, const void *from, uint32_t length);

/* Merges whole elements by the value's rule, each in one step: FAASLET_SUM adds. */
FAASLET_HOST("state_merge")
int32_t faaslet_state_merge(int32_t handle, int64_t offset, const void *from, uint32_t length);

/* Maps bytes; the address of the first is written to *to. */
FAASLET_HOST("state_map")
int32_t faaslet_state_map_at(int32_t handle, int64_t offset, uint32_t length, int32_t mode, void **to);

FAASLET_HOST("state_unmap") int32_t faaslet_state_unmap(void *address);

/* Brings what is newer at the owner; a negative length means to the end. */
FAASLET_HOST("state_pull") int32_t faaslet_state_pull_range(int32_t handle, int64_t offset, int64_t length);

/* Sends what changed on this host. `expected`: refused with FAASLET_CONFLICT unless it is the
 * newest version; NULL for whatever it is. The new version goes to *to unless that is NULL. */
FAASLET_HOST("state_push")
int32_t faaslet_state_push_range(int32_t handle, int64_t offset, int64_t length,
                                 const struct faaslet_version *expected, struct faaslet_version *to);

/* Sets the length, here and at the owner. */
FAASLET_HOST("state_resize") int32_t faaslet_state_resize(int32_t handle, int64_t length);

/* Makes the value at least so long, here and at the owner; one that is longer there stays so. */
FAASLET_HOST("state_grow") int32_t faaslet_state_grow(int32_t handle, int64_t length);

/* Appends at the owner; the position goes to *to unless that is NULL. */
FAASLET_HOST("state_append")
int32_t faaslet_state_append(int32_t handle, const void *from, uint32_t length, uint64_t *to);

/* Takes a lock, waiting at most so long; a negative time waits until the call's deadline. Returns
 * 1 when the last writer never gave a global lock back. What is written under FAASLET_GLOBAL_WRITE
 * and not pushed is taken back at the unlock. */
FAASLET_HOST("state_lock")
int32_t faaslet_state_lock_for(int32_t handle, int32_t lock, int64_t milliseconds);

FAASLET_HOST("state_unlock") int32_t faaslet_state_unlock(int32_t handle, int32_t lock);

FAASLET_HOST("state_delete") int32_t faaslet_state_delete_bytes(const char *key, uint32_t key_length);

/* Keys with a prefix after a key, in order, each with a uint16_t of its length before it, as many
 * as fit; returns the bytes written, 0 when there are no more. */
FAASLET_HOST("state_list")
int32_t faaslet_state_list(const char *prefix, uint32_t prefix_length, const char *after,
                           uint32_t after_length, void *to, uint32_t size);

/* Opens a version that never changes; NULL is not allowed, all zeros is the newest. */
FAASLET_HOST("state_open_version")
int32_t faaslet_state_open_version(int32_t handle, const struct faaslet_version *version);

/* The versions that can be opened, oldest first, as many as fit in `size` bytes; returns how many
 * there are. */
FAASLET_HOST("state_versions")
int32_t faaslet_state_versions(int32_t handle, struct faaslet_version *to, uint32_t size);

/* Waits on a mapped word: 0 when it was notified, 1 when it does not hold `expected`. */
FAASLET_HOST("state_wait")
int32_t faaslet_state_wait(uint32_t *word, uint32_t expected, int64_t milliseconds);

/* Wakes at most `count` that wait on the word on this host; returns how many. */
FAASLET_HOST("state_notify") int32_t faaslet_state_notify(uint32_t *word, uint32_t count);

/* Copies the host's words about the last refusal, without a final zero; returns their length. */
FAASLET_HOST("state_error") int32_t faaslet_state_error_bytes(char *to, uint32_t size);

/* ---- Made easy --------------------------------------------------------------------------- */

static inline int32_t faaslet_state_open(const char *key, const struct faaslet_state_spec *spec) {
  return faaslet_state_open_bytes(key, (uint32_t)strlen(key), spec);
}

static inline int32_t faaslet_state_delete(const char *key) {
  return faaslet_state_delete_bytes(key, (uint32_t)strlen(key));
}

/* Brings all that is newer at the owner. */
static inline int32_t faaslet_state_pull(int32_t handle) { return faaslet_state_pull_range(handle, 0, -1); }

/* Sends all that changed on this host. */
static inline int32_t faaslet_state_push(int32_t handle) {
  return faaslet_state_push_range(handle, 0, -1, NULL, NULL);
}

/* Takes a lock, waiting until the call's deadline. */
static inline int32_t faaslet_state_lock(int32_t handle, enum faaslet_lock lock) {
  return faaslet_state_lock_for(handle, lock, -1);
}

/* The bytes of a value from `offset` on as memory; NULL when they cannot be mapped. */
static inline void *faaslet_state_map(int32_t handle, int64_t offset, uint32_t length,
                                      enum faaslet_map_mode mode) {
  void *at = NULL;
  return faaslet_state_map_at(handle, offset, length, mode, &at) < 0 ? NULL : at;
}

/* Ends this call as a failure with the host's words: `return faaslet_state_fail("push");`. */
static inline int faaslet_state_fail(const char *what) {
  char text[512];
  int32_t length = faaslet_state_error_bytes(text, sizeof text - 1);
  if (length < 0) length = 0;
  if (length > (int32_t)sizeof text - 1) length = (int32_t)sizeof text - 1;
  text[length] = 0;
  return faaslet_fail("%s: %s", what, text);
}

#ifdef __cplusplus
}
#endif

#endif
