// `zkarton store`: runs `zkarton-broker store …`, found beside this program, then in PATH: the
// store's code is the broker's.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli.h"

static char *
beside(const char *name)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0) {
        return xstrdup(name);
    }
    self[len] = '\0';
    *(strrchr(self, '/') + 1) = '\0';
    return xasprintf("%s%s", self, name);
}

int
cmd_store(struct cli *cli, int argc, char **argv)
{
    (void)cli;
    char **words = xcalloc((size_t)argc + 3, sizeof(char *));
    const char *name = "zkarton-broker";
    char caller[] = "zkarton"; // the name that the broker program shows its user
    char store[] = "store";
    words[0] = caller;
    words[1] = store;
    for (int i = 0; i < argc; i++) {
        words[i + 2] = argv[i];
    }
    char *path = beside(name);
    execv(path, words);
    execvp(name, words);
    int code = cli_fail(ZKT_NOT_FOUND, "%s: %s. It is part of the broker's installation", name,
                        strerror(errno));
    free(path);
    free(words);
    return code;
}
