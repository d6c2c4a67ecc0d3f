// An existing program, which knows nothing of faaslet: copies standard input to standard output in
// capitals, names its arguments on standard error, and exits with the status that TEST_STATUS says,
// or 0.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
  for (int c; (c = getchar()) != EOF;) putchar(toupper(c));
  for (int i = 1; i < count; i++) fprintf(stderr, "argument %d: %s\n", i, arguments[i]);
  const char *status = getenv("TEST_STATUS");
  return status ? atoi(status) : 0;
}
