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

// Nobody reads the pipe: the writer goes on, and says later how much was lost.
static void
a_full_pipe_stops_nobody(void **state)
{
    (void)state;
    static char text[1 << 20];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int old = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    log_set_level(LOG_INFO);
    for (int line = 0; line < 5000; line++) {
        log_info("MANY", "line=%d", line);
    }
    ssize_t len = read(ends[0], text, sizeof text - 1);
    log_info("AFTER", "n=1");
    log_info("LAST", "n=2");
    ssize_t more = read(ends[0], text + len, sizeof text - 1 - (size_t)len);
    dup2(old, STDERR_FILENO);
    close(old);
    close(ends[0]);
    close(ends[1]);
    assert_true(len > 0 && more > 0);
    text[len + more] = '\0';
    int written_count = 0;
    for (const char *at = text; (at = strstr(at, " MANY ")) != NULL; at++) {
        written_count++;
    }
    char expected[80];
    snprintf(expected, sizeof expected, " AFTER n=1 log_lines_lost=%d\n", 5000 - written_count);
    assert_non_null(strstr(text, expected));
    assert_non_null(strstr(text, " LAST n=2\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_pipe_stops_nobody),
        cmocka_unit_test(lines_have_time_level_id_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
