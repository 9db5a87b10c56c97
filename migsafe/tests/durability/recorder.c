/* Licensed under the Apache License, Version 2.0 (the "License"); you may
 * not use this file except in compliance with the License. You may obtain
 * a copy of the License at
 *
 *      http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
 * WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
 * License for the specific language governing permissions and limitations
 * under the License.
 *
 * Stands between a program and the C library (LD_PRELOAD). It records what the program does to
 * the files below one directory, in order and with the data, and has the n-th of these
 * operations fail. Without a directory it does nothing. One thread at a time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4096
#define REAL(type, name, ...)                                     \
    static type (*real)(__VA_ARGS__);                             \
    if (real == NULL)                                             \
        real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* What the header of a line of the record is; so many bytes of a path or of data follow. */
struct line {
    char what;
    int32_t file, error;
    int64_t where, size;
};

static char top[1024];
static size_t length;
static int record = -1, syncs_for_nothing;
static char known[FILES];
/* The fault: kinds of operations, which of them, whether all after it fail too. */
static char kinds[32];
static int number, cause, for_good, halved, met, struck;

static int below(const char *path)
{
    return length && path && strncmp(path, top, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

static int is_known(int file)
{
    return length && file >= 0 && file < FILES && known[file];
}

static void note(char what, int file, int64_t where, const void *data, int64_t size, int error)
{
    struct line line;
    int kept = errno;
    ssize_t done;
    REAL(ssize_t, "write", int, const void *, size_t);

    if (record < 0)
        return;
    memset(&line, 0, sizeof line);
    line.what = what;
    line.file = file;
    line.error = error;
    line.where = where;
    line.size = size;
    done = real(record, &line, sizeof line);
    if (done == sizeof line && size)
        done = real(record, data, size);
    if (done < 0)
        dprintf(2, "the record cannot be written\n");
    errno = kept;
}

/* Whether this operation has to fail. */
static int fails(char what)
{
    if (number == 0 || strchr(kinds, what) == NULL)
        return 0;
    met++;
    if (met == number || (met > number && for_good)) {
        struck++;
        errno = cause;
        return 1;
    }
    return 0;
}

/* For the tests: see library.py. */
void recorder_start(const char *directory, int file)
{
    snprintf(top, sizeof top, "%s", directory);
    length = strlen(top);
    record = file;
    memset(known, 0, sizeof known);
}

void recorder_fault(const char *of, int n, int error, int forever, int half)
{
    snprintf(kinds, sizeof kinds, "%s", of);
    number = n;
    cause = error;
    for_good = forever;
    halved = half;
    met = struck = 0;
}

int recorder_struck(void)
{
    return struck;
}

int recorder_met(void)
{
    return met;
}

void recorder_no_syncs(int yes)
{
    syncs_for_nothing = yes;
}

void recorder_mark(const char *text)
{
    note('k', -1, 0, text, strlen(text), 0);
}

static int opened(const char *path, int flags, mode_t mode, int (*call)(const char *, int, ...))
{
    int file, writes = (flags & O_ACCMODE) != O_RDONLY;
    char what = flags & O_CREAT ? 'o' : writes ? 'W' : 'R';

    if (!below(path))
        return call(path, flags, mode);
    if (what == 'o' && access(path, F_OK) == 0)
        what = writes ? 'W' : 'R';
    if (fails(what)) {
        note(what, -1, flags, path, strlen(path), errno);
        return -1;
    }
    file = call(path, flags, mode);
    if (file >= 0 && file < FILES) {
        known[file] = 1;
        note(what, file, flags, path, strlen(path), 0);
    }
    return file;
}

#define OPEN(name)                                                \
    int name(const char *path, int flags, ...)                    \
    {                                                             \
        va_list more;                                             \
        mode_t mode;                                              \
        REAL(int, #name, const char *, int, ...);                 \
        va_start(more, flags);                                    \
        mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;        \
        va_end(more);                                             \
        return opened(path, flags, mode, real);                   \
    }

OPEN(open)
OPEN(open64)

int close(int file)
{
    REAL(int, "close", int);
    if (is_known(file)) {
        known[file] = 0;
        note('c', file, 0, NULL, 0, 0);
    }
    return real(file);
}

static ssize_t written(int file, const void *data, size_t size, off_t where)
{
    static int rest_fails;
    ssize_t done;
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);

    if (rest_fails) {
        rest_fails = 0;
        errno = cause;
        note('w', file, where, NULL, 0, errno);
        return -1;
    }
    if (fails('w')) {
        if (!halved || size < 2) {
            note('w', file, where, NULL, 0, errno);
            return -1;
        }
        /* As a disk that becomes full: a part is written, and the next call says why. */
        size /= 2;
        rest_fails = !for_good;
    }
    done = real(file, data, size, where);
    if (done >= 0)
        note('w', file, where, data, done, 0);
    return done;
}

#define PWRITE(name)                                                      \
    ssize_t name(int file, const void *data, size_t size, off_t where)    \
    {                                                                     \
        REAL(ssize_t, #name, int, const void *, size_t, off_t);           \
        if (is_known(file))                                               \
            return written(file, data, size, where);                      \
        return real(file, data, size, where);                             \
    }

PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int file, const void *data, size_t size)
{
    off_t where;
    ssize_t done;
    REAL(ssize_t, "write", int, const void *, size_t);

    if (!is_known(file))
        return real(file, data, size);
    where = lseek(file, 0, SEEK_CUR);
    done = written(file, data, size, where);
    if (done > 0)
        lseek(file, where + done, SEEK_SET);
    return done;
}

#define PREAD(name)                                                       \
    ssize_t name(int file, void *data, size_t size, off_t where)          \
    {                                                                     \
        REAL(ssize_t, #name, int, void *, size_t, off_t);                 \
        if (is_known(file) && fails('p'))                                 \
            return -1;                                                    \
        return real(file, data, size, where);                             \
    }

PREAD(pread)
PREAD(pread64)

#define TRUNCATE(name)                                                    \
    int name(int file, off_t size)                                        \
    {                                                                     \
        REAL(int, #name, int, off_t);                                     \
        if (!is_known(file))                                              \
            return real(file, size);                                      \
        if (fails('t'))                                                   \
            return -1;                                                    \
        note('t', file, size, NULL, 0, 0);                                \
        return real(file, size);                                          \
    }

TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name)                                                        \
    int name(int file)                                                    \
    {                                                                     \
        REAL(int, #name, int);                                            \
        if (is_known(file)) {                                             \
            int failed = fails('s');                                      \
            note('s', file, 0, NULL, 0, failed ? errno : 0);              \
            if (failed)                                                   \
                return -1;                                                \
        }                                                                 \
        return syncs_for_nothing ? 0 : real(file);                        \
    }

SYNC(fsync)
SYNC(fdatasync)

#define MMAP(name)                                                                          \
    void *name(void *at, size_t size, int rights, int flags, int file, off_t where)         \
    {                                                                                       \
        REAL(void *, #name, void *, size_t, int, int, int, off_t);                          \
        if (is_known(file) && fails('M'))                                                   \
            return MAP_FAILED;                                                              \
        return real(at, size, rights, flags, file, where);                                  \
    }

MMAP(mmap)
MMAP(mmap64)

/* Operations on one name, and on two. */
#define ONE(name, what, kind, declared, given)                                              \
    int name declared                                                                       \
    {                                                                                       \
        int done;                                                                           \
        REAL(int, #name, kind);                                                             \
        if (below(path) && fails(what))                                                     \
            return -1;                                                                      \
        done = real given;                                                                  \
        if (done == 0 && below(path))                                                       \
            note(what, -1, 0, path, strlen(path), 0);                                       \
        return done;                                                                        \
    }

#define COMMA ,
ONE(unlink, 'u', const char *, (const char *path), (path))
ONE(mkdir, 'm', const char *COMMA mode_t, (const char *path, mode_t mode), (path, mode))
ONE(chmod, 'h', const char *COMMA mode_t, (const char *path, mode_t mode), (path, mode))

int fchmod(int file, mode_t mode)
{
    REAL(int, "fchmod", int, mode_t);
    if (is_known(file) && fails('h'))
        return -1;
    return real(file, mode);
}

#define TWO(name, what)                                                                     \
    int name(const char *path, const char *other)                                           \
    {                                                                                       \
        char both[4096];                                                                    \
        int done, size;                                                                     \
        REAL(int, #name, const char *, const char *);                                       \
        if (below(path) && fails(what))                                                     \
            return -1;                                                                      \
        done = real(path, other);                                                           \
        if (done == 0 && below(path)) {                                                     \
            size = snprintf(both, sizeof both, "%s%c%s", path, '\0', other);                \
            note(what, -1, 0, both, size, 0);                                               \
        }                                                                                   \
        return done;                                                                        \
    }

TWO(link, 'l')
TWO(rename, 'r')
