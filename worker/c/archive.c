// Zip archives of whole folders (B3, B4): the one home of libzip.
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "base/memory.h"
#include "model/value.h"

enum { COPY_BYTES = 1 << 16, ENTRIES_MAX = 1 << 20 };

static enum zkt_err
zip_problem(struct problem *problem, const char *what, zip_t *archive)
{
    return problem_set(problem, ZKT_IO, "%s: %s", what, zip_strerror(archive));
}

// A link out of the folder would carry what is elsewhere on this machine into a task: who unpacked
// the folder from somewhere could choose it.
static bool
leads_out(const FTSENT *entry, const char *root)
{
    struct stat status;
    if (entry->fts_level == FTS_ROOTLEVEL || lstat(entry->fts_accpath, &status) == -1 ||
        !S_ISLNK(status.st_mode)) {
        return false;
    }
    char *target = realpath(entry->fts_accpath, NULL);
    size_t root_len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool is_inside = target != NULL && strncmp(target, root, root_len) == 0 &&
                     (target[root_len] == '/' || target[root_len] == '\0');
    free(target);
    return !is_inside;
}

// One entry of the walk; names are relative to the root.
static enum zkt_err
add_entry(zip_t *archive, const FTSENT *entry, size_t root_len, struct problem *problem)
{
    const char *name = entry->fts_path + root_len;
    while (*name == '/') {
        name++;
    }
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS) {
        return problem_set(problem, ZKT_IO, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
    }
    if (*name == '\0') {
        return ZKT_OK;
    }
    // A name that is no UTF-8 stays the bytes that it is.
    zip_flags_t encoding = text_is_utf8(name, strlen(name)) ? ZIP_FL_ENC_UTF_8 : ZIP_FL_ENC_CP437;
    if (entry->fts_info == FTS_D) {
        return zip_dir_add(archive, name, encoding) == -1
                   ? zip_problem(problem, entry->fts_path, archive)
                   : ZKT_OK;
    }
    if (entry->fts_info != FTS_F) {
        return ZKT_OK; // sockets, dangling links: nothing that has bytes
    }
    zip_source_t *source = zip_source_file(archive, entry->fts_accpath, 0, -1);
    if (source == NULL) {
        return zip_problem(problem, entry->fts_path, archive);
    }
    if (zip_file_add(archive, name, source, encoding) == -1) {
        zip_source_free(source);
        return zip_problem(problem, entry->fts_path, archive);
    }
    return ZKT_OK;
}

static enum zkt_err
add_tree(zip_t *archive, const char *path, struct problem *problem)
{
    char *root = xstrdup(path);
    size_t root_len = strlen(root);
    while (root_len > 1 && root[root_len - 1] == '/') {
        root[--root_len] = '\0';
    }
    char *const roots[] = {root, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    enum zkt_err err =
        walk == NULL ? problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno)) : ZKT_OK;
    FTSENT *entry = NULL;
    size_t entries_count = 0;
    char *real = realpath(root, NULL);
    if (err == ZKT_OK && real == NULL) {
        err = problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno));
    }
    while (err == ZKT_OK && (entry = fts_read(walk)) != NULL) {
        if (leads_out(entry, real)) {
            fts_set(walk, entry, FTS_SKIP);
        } else {
            err = add_entry(archive, entry, root_len, problem);
        }
        if (++entries_count > ENTRIES_MAX) {
            err =
                problem_set(problem, ZKT_TOO_LARGE, "%s: more than %d entries", path, ENTRIES_MAX);
        }
    }
    if (walk != NULL) {
        fts_close(walk);
    }
    free(real);
    free(root);
    return err;
}

// libzip writes no file for an archive without entries: this is one.
static int
write_empty(const char *name, struct problem *problem)
{
    static const char end[22] = "PK\5\6";
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd != -1 && write(fd, end, sizeof end) == sizeof end && lseek(fd, 0, SEEK_SET) == 0) {
        return fd;
    }
    problem_set(problem, ZKT_IO, "%s: %s", name, strerror(errno));
    if (fd != -1) {
        close(fd);
    }
    return -1;
}

int
zip_directory(const char *path, const char *temp_dir, struct problem *problem)
{
    struct stat status;
    if (stat(path, &status) == -1 || !S_ISDIR(status.st_mode)) {
        problem_set(problem, ZKT_IO, "%s: not a directory", path);
        return -1;
    }
    char *folder = xasprintf("%s/zkarton-zip-XXXXXX", temp_dir);
    if (mkdtemp(folder) == NULL) {
        problem_set(problem, ZKT_IO, "%s: %s", folder, strerror(errno));
        free(folder);
        return -1;
    }
    char *name = xasprintf("%s/folder.zip", folder);
    int code = 0;
    int fd = -1;
    zip_t *archive = zip_open(name, ZIP_CREATE | ZIP_EXCL, &code);
    enum zkt_err err = archive == NULL
                           ? problem_set(problem, ZKT_IO, "%s: zip error %d", name, code)
                           : add_tree(archive, path, problem);
    if (err == ZKT_OK && zip_get_num_entries(archive, 0) == 0) {
        fd = write_empty(name, problem);
    } else if (err == ZKT_OK && zip_close(archive) == -1) {
        err = zip_problem(problem, path, archive);
    } else if (err == ZKT_OK) {
        archive = NULL;
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd == -1) {
            problem_set(problem, ZKT_IO, "%s: %s", name, strerror(errno));
        }
    }
    if (archive != NULL) {
        zip_discard(archive);
    }
    unlink(name);
    rmdir(folder);
    free(name);
    free(folder);
    return fd;
}

// A name may not leave the folder: no absolute path, no "..", nothing empty.
static bool
is_inside(const char *name)
{
    if (*name == '/' || *name == '\0') {
        return false;
    }
    for (const char *part = name; part != NULL;) {
        const char *slash = strchr(part, '/');
        size_t part_len = slash == NULL ? strlen(part) : (size_t)(slash - part);
        if (part_len == 2 && memcmp(part, "..", 2) == 0) {
            return false;
        }
        part = slash == NULL ? NULL : slash + 1;
    }
    return true;
}

static bool
make_parents(int folder_fd, char *name)
{
    for (char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool is_made = *name == '\0' || mkdirat(folder_fd, name, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!is_made) {
            return false;
        }
    }
    return true;
}

static enum zkt_err
copy_out(zip_file_t *from, int to_fd, const char *name, struct problem *problem)
{
    uint8_t *block = xmalloc(COPY_BYTES);
    zip_int64_t got = 0;
    bool is_written = true;
    while (is_written && (got = zip_fread(from, block, COPY_BYTES)) > 0) {
        for (zip_int64_t done = 0; is_written && done < got;) {
            ssize_t written = write(to_fd, block + done, (size_t)(got - done));
            is_written = written > 0 || (written == -1 && errno == EINTR);
            done += written > 0 ? written : 0;
        }
    }
    free(block);
    if (!is_written || got < 0) {
        return problem_set(problem, ZKT_IO, "%s: %s", name,
                           is_written ? "damaged entry" : strerror(errno));
    }
    return ZKT_OK;
}

static enum zkt_err
extract_entry(zip_t *archive, zip_uint64_t entry_index, int folder_fd, struct problem *problem)
{
    const char *stored = zip_get_name(archive, entry_index, ZIP_FL_ENC_RAW);
    if (stored == NULL || !is_inside(stored)) {
        return problem_set(problem, ZKT_INVALID, "entry \"%s\" leaves the folder",
                           stored == NULL ? "?" : stored);
    }
    char *name = xstrdup(stored);
    enum zkt_err err = ZKT_OK;
    if (!make_parents(folder_fd, name)) {
        err = problem_set(problem, ZKT_IO, "%s: %s", name, strerror(errno));
    }
    if (err == ZKT_OK && name[strlen(name) - 1] != '/') {
        int fd =
            openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        zip_file_t *from = zip_fopen_index(archive, entry_index, 0);
        if (fd == -1 || from == NULL) {
            err = problem_set(problem, ZKT_IO, "%s: %s", name,
                              fd == -1 ? strerror(errno) : zip_strerror(archive));
        } else {
            err = copy_out(from, fd, name, problem);
        }
        if (from != NULL) {
            zip_fclose(from);
        }
        if (fd != -1) {
            close(fd);
        }
    }
    free(name);
    return err;
}

enum zkt_err
zip_extract(const char *zip_path, const char *folder, struct problem *problem)
{
    int code = 0;
    zip_t *archive = zip_open(zip_path, ZIP_RDONLY, &code);
    if (archive == NULL) {
        return problem_set(problem, ZKT_INVALID, "not a zip archive");
    }
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    zip_int64_t entries_count = zip_get_num_entries(archive, 0);
    enum zkt_err err = ZKT_OK;
    if (folder_fd == -1) {
        err = problem_set(problem, ZKT_IO, "%s: %s", folder, strerror(errno));
    } else if (entries_count > ENTRIES_MAX) {
        err = problem_set(problem, ZKT_TOO_LARGE, "more than %d entries", ENTRIES_MAX);
    }
    for (zip_int64_t entry_index = 0; err == ZKT_OK && entry_index < entries_count; entry_index++) {
        err = extract_entry(archive, (zip_uint64_t)entry_index, folder_fd, problem);
    }
    if (folder_fd != -1) {
        close(folder_fd);
    }
    zip_discard(archive);
    return err;
}
