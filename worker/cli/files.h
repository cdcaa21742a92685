// files.h: copies, trees and scratch folders.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

// file_copy copies from one descriptor to another until the end. false: errno tells.
bool
file_copy(int from_fd, int to_fd);
// file_copy_path copies a regular file to a new one of this mode, made with O_EXCL.
bool
file_copy_path(const char *from, const char *to, mode_t mode);
// file_spool copies what fd still holds into an unnamed temporary file and returns its descriptor,
// or -1.
int
file_spool(int fd);
// file_write makes a new file with this content.
bool
file_write(const char *path, const void *data, size_t size, mode_t mode);
// temp_base: where scratch folders go: $TMPDIR, else /tmp.
const char *
temp_base(void);
