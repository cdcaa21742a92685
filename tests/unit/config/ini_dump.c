// ini_dump: for test_ini_python.py. Reads lines of names from stdin: "FILE", then lines
// "section\toption" that end with an empty line; prints "error TEXT", or a line a value: its bytes
// in hex, "-" where there is none; then an empty line.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

static void
print_value(const struct config *config, char *line)
{
    char *tab = strchr(line, '\t');
    *tab = '\0';
    const char *value = config_text(config, line, tab + 1, NULL);
    if (value == NULL) {
        puts("-");
        return;
    }
    for (; *value != '\0'; value++) {
        printf("%02x", (unsigned char)*value);
    }
    puts("");
}

int
main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    while ((len = getline(&line, &capacity, stdin)) > 1) {
        line[len - 1] = '\0';
        struct problem problem = {.code = ZKT_OK};
        struct config *config = config_new();
        enum zkt_err err = config_load(config, line, &problem);
        if (err != ZKT_OK) {
            printf("error %s\n", problem.text);
        }
        while ((len = getline(&line, &capacity, stdin)) > 1) {
            line[len - 1] = '\0';
            if (err == ZKT_OK) {
                print_value(config, line);
            }
        }
        puts("");
        fflush(stdout);
        config_destroy(&config);
    }
    free(line);
    return 0;
}
