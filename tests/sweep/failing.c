/* Preloaded before libc: lets the n-th write, sync or resize of a file whose path holds FAIL_PATH fail.
   FAIL_AT n (0: never), FAIL_KIND an errno or "short", FAIL_FOREVER: all after it too. FAIL_COUNT: file for the number of calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

static int due(int fd) {
    char link[64], path[4096];
    const char *part = getenv("FAIL_PATH"), *at = getenv("FAIL_AT");
    if (!part || !at) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, part)) return 0;
    calls++;
    long n = atol(at);
    return n > 0 && (calls == n || (getenv("FAIL_FOREVER") && calls > n));
}

static int is_short(void) { return !strcmp(getenv("FAIL_KIND"), "short"); }

static int failure(void) {
    errno = atoi(getenv("FAIL_KIND"));
    return -1;
}

__attribute__((destructor)) static void report(void) {
    const char *name = getenv("FAIL_COUNT");
    FILE *file = name ? fopen(name, "w") : NULL;
    if (file) {
        fprintf(file, "%ld", calls);
        fclose(file);
    }
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
    if (due(fd)) return is_short() ? NEXT(write)(fd, data, size > 1 ? size / 2 : size) : failure();
    return NEXT(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    if (due(fd)) return is_short() ? NEXT(pwrite)(fd, data, size > 1 ? size / 2 : size, at) : failure();
    return NEXT(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (due(fd)) return is_short() ? NEXT(pwrite64)(fd, data, size > 1 ? size / 2 : size, at) : failure();
    return NEXT(pwrite64)(fd, data, size, at);
}
int fsync(int fd) { return due(fd) && !is_short() ? failure() : NEXT(fsync)(fd); }
int fdatasync(int fd) { return due(fd) && !is_short() ? failure() : NEXT(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { return due(fd) && !is_short() ? failure() : NEXT(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return due(fd) && !is_short() ? failure() : NEXT(ftruncate64)(fd, size); }
