// ini_read.h: one ini file in the dialect of Python's configparser, as Karton uses it (parity E3).
#pragma once
#include <stdio.h>

#include "base/problem.h"

// What the reader hands over, in the order of the file. Texts are borrowed for the call. A value is
// raw: "%" is not interpreted yet. Both return ZKT_OK to go on.
struct ini_sink {
    enum zkt_err (*section)(void *user, const char *section, unsigned line,
                            struct problem *problem);
    enum zkt_err (*option)(void *user, const char *section, const char *option, const char *value,
                           unsigned line, struct problem *problem);
    void *user;
};

// ini_read hands everything in file to sink. CONFIG_INVALID begins with "name:LINE: ".
ZKT_MUST enum zkt_err
ini_read(FILE *file, const char *name, const struct ini_sink *sink, struct problem *problem);
