/* Stands between a process and its disk, by LD_PRELOAD: counts what the process does to the files
   below one folder, and logs it, kills the process at one of these operations, or refuses it.

   Only the test's own process calls shim_begin; until then everything passes. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LOG = 1, KILL = 2, REFUSE = 4, STICKY = 8, HALF = 16, NO_FLUSH = 32 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char prefix[PATH_MAX];
static size_t prefix_bytes;
static int flags, log_fd = -1, refusal;
static long point, count;

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* The log: one record an operation. Raw system calls, so that a killed process leaves all of it. */

struct record {
    uint32_t bytes;
    uint32_t kind;
    uint64_t inode;
    uint64_t number;
    uint32_t path_bytes;
    uint32_t other_bytes;
};

static void put(char kind, uint64_t inode, uint64_t number, const char *path, const char *other,
                const void *data, size_t size) {
    if (log_fd < 0 || (!(flags & LOG) && kind != 'A')) return;
    struct record head = {size, kind, inode, number, path ? strlen(path) : 0,
                          other ? strlen(other) : 0};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path_bytes},
                            {(void *)other, head.other_bytes}, {(void *)data, size}};
    syscall(SYS_writev, log_fd, parts, 4);
}

/* Which file or folder a call is about. */

static int inside(const char *path) {
    return flags && strncmp(path, prefix, prefix_bytes) == 0 &&
           (path[prefix_bytes] == '/' || !path[prefix_bytes]);
}

static int path_of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
    return size > 0 && inside(path);
}

static int path_at(int folder, const char *name, char *path) {
    if (!flags || !name) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return inside(path);
    }
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        path_of_fd(folder, base);
    }
    if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    return inside(path);
}

static uint64_t inode_of(int fd) {
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

static uint64_t size_of(int fd) {
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_size;
}

/* Each operation comes by here before it is done. What takes room may be refused. */

enum { PASS, REFUSED, HALVED };

static int comes(int takes_room, int is_write) {
    if ((flags & REFUSE) && !takes_room) return PASS;
    count++;
    int is_it = count == point || ((flags & STICKY) && count > point);
    if (!is_it || !(flags & (KILL | REFUSE))) return PASS;
    if (is_write && (flags & HALF) && count == point) return HALVED;
    if (flags & KILL) kill(getpid(), SIGKILL);
    errno = refusal;
    return REFUSED;
}

static void half_is_done(void) {
    if (flags & KILL) kill(getpid(), SIGKILL);
}

void shim_begin(const char *folder, const char *log, int how, long at, int code) {
    snprintf(prefix, sizeof prefix, "%s", folder);
    prefix_bytes = strlen(prefix);
    log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    point = at;
    count = 0;
    refusal = code;
    flags = how;
}

long shim_end(void) {
    flags = 0;
    if (log_fd >= 0) syscall(SYS_close, log_fd);
    log_fd = -1;
    return count;
}

long shim_count(void) { return count; }

void shim_lift(void) { flags &= ~REFUSE; }

void shim_acknowledge(const char *text) { put('A', 0, 0, NULL, NULL, text, strlen(text)); }

/* Opening. */

static int opened(int folder, const char *name, int how, mode_t mode) {
    char path[PATH_MAX];
    int makes = how & (O_CREAT | O_TRUNC) && (how & O_TMPFILE) != O_TMPFILE;
    if (!makes || !path_at(folder, name, path))
        return syscall(SYS_openat, folder, name, how, mode);
    pthread_mutex_lock(&lock);
    struct stat status;
    int is_new = syscall(SYS_newfstatat, AT_FDCWD, path, &status, 0) != 0;
    int matters = is_new || (how & O_TRUNC);
    int fd = -1;
    if (!matters || comes(is_new, 0) == PASS) {
        fd = syscall(SYS_openat, folder, name, how, mode);
        if (fd >= 0 && matters)
            put(is_new ? 'C' : 'T', inode_of(fd), 0, path, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(mode) \
    mode_t mode = 0; \
    if (how & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, how); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *name, int how, ...) { MODE(mode) return opened(AT_FDCWD, name, how, mode); }
int open64(const char *name, int how, ...) { MODE(mode) return opened(AT_FDCWD, name, how, mode); }
int openat(int at, const char *name, int how, ...) { MODE(mode) return opened(at, name, how, mode); }
int openat64(int at, const char *name, int how, ...) {
    MODE(mode) return opened(at, name, how, mode);
}
int creat(const char *name, mode_t mode) {
    return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

/* Writing. An offset of -1 is the position of the descriptor. */

static ssize_t write_at(int fd, const void *data, size_t size, off_t offset) {
    return offset < 0 ? syscall(SYS_write, fd, data, size)
                      : syscall(SYS_pwrite64, fd, data, size, offset);
}

static ssize_t written(int fd, const void *data, size_t size, off_t offset) {
    char path[PATH_MAX];
    if (!flags || fd == log_fd || !path_of_fd(fd, path)) return write_at(fd, data, size, offset);
    pthread_mutex_lock(&lock);
    int verdict = comes(1, 1);
    ssize_t done = -1;
    if (verdict != REFUSED) {
        off_t start = offset;
        if (offset < 0) {
            int how = syscall(SYS_fcntl, fd, F_GETFL);
            start = how & O_APPEND ? (off_t)size_of(fd) : (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
        }
        done = write_at(fd, data, verdict == HALVED ? size / 2 : size, offset);
        if (done > 0) put('W', inode_of(fd), start, NULL, NULL, data, done);
    }
    if (verdict == HALVED) {
        half_is_done();
        if (size / 2 == 0) {
            errno = refusal;
            done = -1;
        }
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return written(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return written(fd, data, size, at);
}

/* In parts: the first one alone, which every caller has to expect. */
static ssize_t written_first(int fd, const struct iovec *parts, int many, off_t offset) {
    for (int each = 0; each < many; each++)
        if (parts[each].iov_len) return written(fd, parts[each].iov_base, parts[each].iov_len, offset);
    return 0;
}

ssize_t writev(int fd, const struct iovec *parts, int many) {
    char path[PATH_MAX];
    if (!flags || !path_of_fd(fd, path)) return syscall(SYS_writev, fd, parts, many);
    return written_first(fd, parts, many, -1);
}
ssize_t pwritev(int fd, const struct iovec *parts, int many, off_t at) {
    return written_first(fd, parts, many, at);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int many, off64_t at) {
    return written_first(fd, parts, many, at);
}

/* What is not written through a buffer of ours does not exist: callers fall back on writing. */
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *where, size_t size, unsigned how) {
    char path[PATH_MAX];
    if (!flags || !path_of_fd(to, path))
        return syscall(SYS_copy_file_range, from, at, to, where, size, how);
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    char path[PATH_MAX];
    if (!flags || !path_of_fd(to, path)) return syscall(SYS_sendfile, to, from, at, size);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) { return sendfile(to, from, at, size); }

int fallocate(int fd, int how, off_t from, off_t size) {
    char path[PATH_MAX];
    if (!flags || !path_of_fd(fd, path)) return syscall(SYS_fallocate, fd, how, from, size);
    errno = EOPNOTSUPP;
    return -1;
}
int fallocate64(int fd, int how, off64_t from, off64_t size) { return fallocate(fd, how, from, size); }
int posix_fallocate(int fd, off_t from, off_t size) {
    return fallocate(fd, 0, from, size) ? errno : 0;
}
int posix_fallocate64(int fd, off64_t from, off64_t size) { return posix_fallocate(fd, from, size); }

/* Cutting. */

static int cut(int fd, const char *name, off_t size) {
    char path[PATH_MAX];
    int is_ours = name ? path_at(AT_FDCWD, name, path) : path_of_fd(fd, path);
    if (!flags || !is_ours)
        return name ? syscall(SYS_truncate, name, size) : syscall(SYS_ftruncate, fd, size);
    struct stat status;
    if (name ? stat(name, &status) : fstat(fd, &status)) return -1;
    pthread_mutex_lock(&lock);
    int done = -1;
    if (comes(size > status.st_size, 0) == PASS) {
        done = name ? syscall(SYS_truncate, name, size) : syscall(SYS_ftruncate, fd, size);
        if (!done) put('T', status.st_ino, size, NULL, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int truncate(const char *name, off_t size) { return cut(-1, name, size); }
int truncate64(const char *name, off64_t size) { return cut(-1, name, size); }
int ftruncate(int fd, off_t size) { return cut(fd, NULL, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, NULL, size); }

/* Flushing. Without NO_FLUSH the disk is flushed really as well. */

static int flushed(int fd, char kind, long call) {
    char path[PATH_MAX];
    if (!flags || !path_of_fd(fd, path)) return syscall(call, fd);
    pthread_mutex_lock(&lock);
    int done = -1;
    if (comes(1, 0) == PASS) {
        done = flags & NO_FLUSH ? 0 : syscall(call, fd);
        if (!done) put(kind, inode_of(fd), 0, NULL, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return flushed(fd, 'F', SYS_fsync); }
int fdatasync(int fd) { return flushed(fd, 'F', SYS_fdatasync); }
int syncfs(int fd) { return flushed(fd, 'S', SYS_syncfs); }
void sync(void) {
    if (flags && comes(0, 0) == PASS) put('S', 0, 0, NULL, NULL, NULL, 0);
    if (!(flags & NO_FLUSH)) syscall(SYS_sync);
}

/* Names. */

static int named(char kind, int takes_room, const char *path, const char *other, long call, long a,
                 long b, long c, long d, long e) {
    pthread_mutex_lock(&lock);
    int done = -1;
    if (comes(takes_room, 0) == PASS) {
        done = syscall(call, a, b, c, d, e);
        if (!done) {
            struct stat status;
            const char *made = other ? other : path;
            int is_there = syscall(SYS_newfstatat, AT_FDCWD, made, &status, AT_SYMLINK_NOFOLLOW) == 0;
            put(kind, is_there ? status.st_ino : 0, 0, path, other, NULL, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    return done;
}

static int renamed(int from, const char *old, int to, const char *new, unsigned how) {
    char path[PATH_MAX], other[PATH_MAX];
    int inside_old = path_at(from, old, path), inside_new = path_at(to, new, other);
    if (!inside_old || !inside_new) return syscall(SYS_renameat2, from, old, to, new, how);
    return named('R', 1, path, other, SYS_renameat2, from, (long)old, to, (long)new, how);
}

int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) {
    return renamed(from, old, to, new, 0);
}
int renameat2(int from, const char *old, int to, const char *new, unsigned how) {
    return renamed(from, old, to, new, how);
}

int unlinkat(int at, const char *name, int how) {
    char path[PATH_MAX];
    if (!path_at(at, name, path)) return syscall(SYS_unlinkat, at, name, how);
    return named('U', 0, path, NULL, SYS_unlinkat, at, (long)name, how, 0, 0);
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    int done = unlink(name);
    return done && errno == EISDIR ? rmdir(name) : done;
}

int mkdirat(int at, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!path_at(at, name, path)) return syscall(SYS_mkdirat, at, name, mode);
    return named('D', 1, path, NULL, SYS_mkdirat, at, (long)name, mode, 0, 0);
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int linkat(int from, const char *old, int to, const char *new, int how) {
    char path[PATH_MAX], other[PATH_MAX];
    int inside_old = path_at(from, old, path), inside_new = path_at(to, new, other);
    if (!inside_old || !inside_new) return syscall(SYS_linkat, from, old, to, new, how);
    return named('L', 1, path, other, SYS_linkat, from, (long)old, to, (long)new, how);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
