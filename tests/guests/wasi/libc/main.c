/* An ordinary C program: streams, descriptors, directories and waiting through wasi-libc. Nothing
 * that differs from run to run is printed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void show(const char *what, long result) {
  if (result < 0) printf("%s: %ld %s\n", what, result, strerror(errno));
  else printf("%s: %ld\n", what, result);
}

static void streams(void) {
  char line[64], rest[64];
  FILE *file = fopen("/data/stream.txt", "w+");
  fprintf(file, "first line\nsecond %d\nthird %s\n", 2, "line");
  show("ftell", ftell(file));
  rewind(file);
  while (fgets(line, sizeof line, file)) printf("read %s", line);
  show("fseek", fseek(file, -5, SEEK_END));
  show("fread", (long)fread(rest, 1, sizeof rest, file));
  show("feof", feof(file) != 0);
  show("fclose", fclose(file));
  file = fopen("/data/stream.txt", "a");
  setvbuf(file, NULL, _IOLBF, 16);
  fputs("appended through a small buffer\n", file);
  fclose(file);
  show("fopen of nothing", fopen("/data/missing.txt", "r") ? 0 : -1);
  show("fopen outside", fopen("/data/../outside.txt", "r") ? 0 : -1);
  show("fopen of a folder to write", fopen("/data/dir", "w") ? 0 : -1);
  while (fgets(line, sizeof line, stdin)) printf("input %s", line);
}

static void descriptors(void) {
  char a[4] = {0}, b[8] = {0};
  struct iovec out[] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
  struct iovec in[] = {{a, 3}, {b, 7}};
  struct stat st;
  int fd = open("/data/vector.txt", O_CREAT | O_TRUNC | O_RDWR, 0644);
  show("writev", writev(fd, out, 3));
  show("lseek", (long)lseek(fd, 0, SEEK_SET));
  show("readv", readv(fd, in, 2));
  printf("readv got [%s] [%s]\n", a, b);
  show("pwrite", pwrite(fd, "PWRITE", 6, 10));
  show("pread", pread(fd, b, 6, 10));
  printf("pread got [%.6s]\n", b);
  show("ftruncate", ftruncate(fd, 12));
  show("fstat", fstat(fd, &st));
  printf("size %ld, file %d\n", (long)st.st_size, S_ISREG(st.st_mode));
  show("fcntl F_SETFL", fcntl(fd, F_SETFL, O_APPEND));
  show("fcntl F_GETFL", fcntl(fd, F_GETFL) & O_APPEND ? 1 : 0);
  show("write at the end", write(fd, "end", 3));
  show("lseek", (long)lseek(fd, 0, SEEK_CUR));
  show("posix_fallocate", posix_fallocate(fd, 0, 100));
  show("isatty", isatty(1));
  show("close", close(fd));
  show("close again", close(fd));
  show("read of nothing", read(fd, a, 1));
}

static void names(void) {
  struct stat st;
  struct timespec times[2] = {{1000, 5}, {2000, 6}};
  char target[32] = {0};
  show("mkdir", mkdir("/data/made", 0755));
  show("mkdir again", mkdir("/data/made", 0755));
  show("symlink", symlink("../hello.txt", "/data/made/link"));
  show("readlink", readlink("/data/made/link", target, sizeof target));
  printf("target %s\n", target);
  show("stat", stat("/data/made/link", &st));
  show("lstat", lstat("/data/made/link", &st));
  printf("link %d\n", S_ISLNK(st.st_mode));
  show("link", link("/data/hello.txt", "/data/made/hard"));
  show("utimensat", utimensat(AT_FDCWD, "/data/made/hard", times, 0));
  show("stat", stat("/data/made/hard", &st));
  printf("changed %lld.%09ld, links %d\n", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
         (int)st.st_nlink);
  show("rename", rename("/data/made/hard", "/other/hard"));
  show("access", access("/other/hard", R_OK));
  show("access of nothing", access("/other/nothing", R_OK));
  show("rmdir not empty", rmdir("/data/made"));
  show("unlink", unlink("/data/made/link"));
  show("rmdir", rmdir("/data/made"));
  show("unlink of a folder", unlink("/data/dir"));
  show("chdir", chdir("/data"));
  show("open from there", open("hello.txt", O_RDONLY) >= 0);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void directories(void) {
  static char seen[64][32];
  int count = 0;
  struct dirent *entry;
  DIR *dir = opendir("/data/many");
  while ((entry = readdir(dir)) && count < 64) snprintf(seen[count++], 32, "%s", entry->d_name);
  qsort(seen, count, sizeof seen[0], by_name);
  printf("entries %d, first %s %s %s, last %s\n", count, seen[0], seen[1], seen[2],
         seen[count - 1]);
  rewinddir(dir);
  for (int i = 0; i < 10; i++) entry = readdir(dir);
  long place = telldir(dir);
  entry = readdir(dir);
  char next[32];
  snprintf(next, sizeof next, "%s", entry->d_name);
  while (readdir(dir)) {}
  seekdir(dir, place);
  entry = readdir(dir);
  printf("back in place %d\n", entry && !strcmp(entry->d_name, next));
  show("closedir", closedir(dir));
  show("opendir of a file", opendir("/data/hello.txt") ? 0 : -1);
  show("opendir of nothing", opendir("/data/nothing") ? 0 : -1);
}

static void waiting(void) {
  struct timespec before, after, pause = {0, 3000000};
  struct pollfd output = {.fd = 1, .events = POLLOUT};
  clock_gettime(CLOCK_MONOTONIC, &before);
  show("nanosleep", nanosleep(&pause, NULL));
  clock_gettime(CLOCK_MONOTONIC, &after);
  long long ns = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
  printf("slept %d\n", ns >= 3000000);
  show("poll", poll(&output, 1, 1000));
  printf("ready to write %d\n", (output.revents & POLLOUT) != 0);
  show("poll with no time", poll(NULL, 0, 1));
  unsigned char bytes[32] = {0};
  show("getentropy", getentropy(bytes, sizeof bytes));
  int set = 0;
  for (unsigned i = 0; i < sizeof bytes; i++) set += bytes[i] != 0;
  printf("bytes set %d\n", set > 20);
  show("time", time(NULL) > 1600000000);
}

int main(int argc, char **argv) {
  printf("%d arguments, the last %s, A=%s\n", argc, argv[argc - 1], getenv("A"));
  streams();
  descriptors();
  names();
  directories();
  waiting();
  fputs("to the error stream\n", stderr);
  return 3;
}
