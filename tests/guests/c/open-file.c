// Opens /data/words.txt at initialisation and reads its first line; every call reads the second one,
// through the descriptor that is part of the image. Answers both lines as "FIRST SECOND". A call that
// got the place in the file of an earlier call would answer another second line.
#include "faaslet.h"

enum { MAX_LINE_BYTES = 100 };

static FILE *words;
static char first[MAX_LINE_BYTES];

FAASLET_INIT {
  words = fopen("/data/words.txt", "r");
  if (!words) abort();
  // Without a buffer, or the second line would be in memory already.
  setvbuf(words, NULL, _IONBF, 0);
  if (fscanf(words, "%99[^\n]%*c", first) != 1) abort();
}

FAASLET_MAIN {
  char second[MAX_LINE_BYTES];
  if (fscanf(words, "%99[^\n]%*c", second) != 1) return faaslet_fail("the second line cannot be read");
  return faaslet_printf("%s %s", first, second);
}
