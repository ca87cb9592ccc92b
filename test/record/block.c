/* Preloaded: while the file $BLOCK_WHILE exists, writing and syncing below $BLOCK_BELOW does not return. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void wait_for_disk(int fd) {
  const char *flag = getenv("BLOCK_WHILE"), *below = getenv("BLOCK_BELOW");
  if (flag == NULL || below == NULL || access(flag, F_OK) != 0) return;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return;
  path[length] = 0;
  if (strncmp(path, below, strlen(below)) != 0) return;
  while (access(flag, F_OK) == 0) usleep(20000);
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (real == NULL) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(ssize_t, "write", int, const void *, size_t);
  wait_for_disk(fd);
  return real(fd, bytes, count);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  wait_for_disk(fd);
  return real(fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
  wait_for_disk(fd);
  return real(fd, bytes, count, at);
}
int fsync(int fd) {
  REAL(int, "fsync", int);
  wait_for_disk(fd);
  return real(fd);
}
int fdatasync(int fd) {
  REAL(int, "fdatasync", int);
  wait_for_disk(fd);
  return real(fd);
}
