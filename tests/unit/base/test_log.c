#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static size_t
slurp(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t len = fread(text, 1, size - 1, file);
    text[len] = '\0';
    fclose(file);
    return len;
}

static void
lines_have_time_level_id_and_words(void **state)
{
    (void)state;
    char directory[] = "/tmp/zkt-log-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char path[64];
    char moved[64];
    char text[8192];
    snprintf(path, sizeof path, "%s/log", directory);
    snprintf(moved, sizeof moved, "%s/old", directory);
    assert_int_equal(log_open(path), 0);
    log_debug("NOT-SEEN", "a=%d", 1);
    log_warn("LEASE-EXPIRED", "task=%s held_ms=%d", "x", 5);
    log_info("LINE-BREAK", "text=%s", "a\nb");
    slurp(path, text, sizeof text);
    assert_null(strstr(text, "NOT-SEEN"));
    assert_non_null(strstr(text, " LEASE-EXPIRED task=x held_ms=5\n"));
    int lines_count = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines_count++;
    }
    assert_int_equal(lines_count, 2);

    assert_int_equal(rename(path, moved), 0); // logrotate, SIGHUP
    log_error("TO-OLD", "n=1");
    assert_int_equal(log_reopen(), 0);
    log_error("TO-NEW", "n=2");
    slurp(moved, text, sizeof text);
    assert_non_null(strstr(text, "TO-OLD"));
    slurp(path, text, sizeof text);
    assert_null(strstr(text, "TO-OLD"));
    assert_non_null(strstr(text, "TO-NEW"));

    assert_int_equal(log_open("/nonexistent/directory/log"), -1);
    log_set_level(LOG_ERROR);
    log_warn("TOO-LOW", "n=3");
    slurp(path, text, sizeof text);
    assert_null(strstr(text, "TOO-LOW"));
    assert_int_equal(log_open(NULL), 0);
    unlink(path);
    unlink(moved);
    rmdir(directory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_time_level_id_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
