// exec through the test kit: one task, a real command, no broker.
#include "unit/testing.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scratch.h"
#include "exec.h"
#include "files.h"

struct fixture {
    struct exec_plan plan;
    zkt_worker_options_t options;
    char *temp;
    zkt_config_t *config;
};

static void
set_up(struct fixture *fixture, char **command)
{
    struct problem problem;
    *fixture = (struct fixture){
        .plan = {.identity = "karton.test",
                 .command = command,
                 .input_key = "sample",
                 .kill_after_ms = 2000,
                 .base_lock = -1},
        .temp = xasprintf("%s/zkarton-test-XXXXXX", temp_base()),
    };
    assert_non_null(mkdtemp(fixture->temp));
    pthread_mutex_init(&fixture->plan.running_mutex, NULL);
    pthread_cond_init(&fixture->plan.running_changed, NULL);
    assert_int_equal(exec_base_open(&fixture->plan, fixture->temp, &problem), ZKT_OK);
    assert_int_equal(zkt_config_load(NULL, &fixture->config), ZKT_OK);
    fixture->options = (zkt_worker_options_t){
        .identity = "karton.test",
        .filters = {"[{}]"},
        .process = exec_process,
        .arg = &fixture->plan,
        .config = fixture->config,
        .transactional = true,
    };
}

static void
tear_down(struct fixture *fixture)
{
    exec_base_close(&fixture->plan);
    assert_int_equal(rmdir(fixture->temp), 0); // nothing is left
    free(fixture->temp);
    zkt_config_destroy(&fixture->config);
    pthread_cond_destroy(&fixture->plan.running_changed);
    pthread_mutex_destroy(&fixture->plan.running_mutex);
}

static zkt_test_t *
run_task(struct fixture *fixture, zkt_task_t **task_p)
{
    zkt_test_t *test = NULL;
    enum zkt_err err = zkt_test_run(&fixture->options, task_p, &test);
    if (err != ZKT_OK) {
        print_error("%s: %s\n", zkt_err_name(err), zkt_test_error(test));
    }
    assert_int_equal(err, ZKT_OK);
    return test;
}

static zkt_test_t *
run_script(struct fixture *fixture, char *script)
{
    static char *command[] = {"/bin/sh", "-c", NULL, "sh", "{}", NULL};
    command[2] = script;
    set_up(fixture, command);
    zkt_task_t *task = zkt_task_new("type=sample share-x=1 n:=3");
    zkt_task_set_data(task, "sample", "ls", "hello", 5);
    zkt_task_set_int(task, "level", 2);
    return run_task(fixture, &task);
}

static void
exit_zero_is_finished(void **state)
{
    (void)state;
    struct fixture fixture;
    zkt_test_t *test =
        run_script(&fixture, "set -e; test \"$(cat \"$1\")\" = hello; test $ZKT_H_TYPE = sample;"
                             " test $ZKT_H_SHARE_X = 1; test $ZKT_H_N = 3; test $ZKT_P_LEVEL = 2;"
                             " test \"$PWD\" = \"$ZKT_TASK\"; test $ZKT_IDENTITY = karton.test;"
                             " grep -q '\"type\"'; test $(stat -c %a .) = 700; test -d out;"
                             " test $(stat -c %a in/sample) = 400; echo fine; echo '<3>bad' >&2");
    assert_string_equal(zkt_test_state(test), "Finished");
    assert_non_null(strstr(zkt_test_log(test), "[INFO] fine"));
    assert_non_null(strstr(zkt_test_log(test), "[ERROR] bad"));
    assert_int_equal(zkt_test_children_count(test), 0);
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
other_ends_are_crashes(void **state)
{
    (void)state;
    struct fixture fixture;
    zkt_test_t *test = run_script(&fixture, "echo one >&2; echo two >&2; exit 3");
    assert_string_equal(zkt_test_state(test), "Crashed");
    assert_string_equal(zkt_test_error(test), "exit status 3\none\ntwo");
    zkt_test_destroy(&test);
    tear_down(&fixture);
    test = run_script(&fixture, "kill -SEGV $$");
    assert_string_equal(zkt_test_state(test), "Crashed");
    assert_string_equal(zkt_test_error(test), "killed by SIGSEGV");
    zkt_test_destroy(&test);
    tear_down(&fixture);
    test = run_script(&fixture, "exit 75");
    assert_string_equal(zkt_test_state(test), "Returned");
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
documents_become_children(void **state)
{
    (void)state;
    struct fixture fixture;
    zkt_test_t *test = run_script(
        &fixture,
        "echo new > made.txt;"
        "echo '{\"headers\": {\"type\": \"b\"}, \"payload\": {\"sample\": {\"$file\": "
        "\"in/sample\"}, \"n\": 1}, \"persistent\": [\"n\"]}' > out/2.json;"
        "echo '{\"headers\": {\"type\": \"a\"}, \"derive\": true, \"payload\": {\"made\": "
        "{\"$file\": \"made.txt\"}}}' > out/1.json; echo broken > out/.3.json");
    assert_string_equal(zkt_test_state(test), "Finished");
    assert_int_equal(zkt_test_children_count(test), 2);
    const zkt_task_t *a = zkt_test_child(test, 0);
    const zkt_task_t *b = zkt_test_child(test, 1);
    assert_string_equal(zkt_task_header(a, "type"), "a");
    assert_int_equal(zkt_value_int(zkt_task_payload(a, "level"), 0), 2); // derived (A2)
    size_t size = 0;
    const void *data = zkt_test_data(test, zkt_task_resource(a, "made"), &size);
    assert_int_equal(size, 4);
    assert_memory_equal(data, "new\n", 4);
    assert_string_equal(zkt_task_header(b, "type"), "b");
    assert_string_equal(zkt_resource_name(zkt_task_resource(b, "sample")), "ls");
    assert_string_equal(zkt_resource_uid(zkt_task_resource(b, "sample")),
                        zkt_resource_uid(zkt_task_resource(a, "sample")));
    assert_int_equal(zkt_value_int(zkt_value_get(zkt_task_persistent_map(b), "n"), 0), 1);
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
children_of_a_failed_command_are_dropped(void **state)
{
    (void)state;
    struct fixture fixture;
    zkt_test_t *test =
        run_script(&fixture, "echo '{\"headers\": {\"type\": \"b\"}}' > out/2.json; exit 1");
    assert_string_equal(zkt_test_state(test), "Crashed");
    assert_int_equal(zkt_test_children_count(test), 0);
    zkt_test_destroy(&test);
    tear_down(&fixture);
    test = run_script(&fixture, "echo '{\"headers\": 1}' > out/2.json");
    assert_string_equal(zkt_test_error(test), "out/2.json: headers has the wrong type");
    zkt_test_destroy(&test);
    tear_down(&fixture);
    test = run_script(&fixture, "echo '{\"payload\": {\"a\": [{\"$file\": \"x\"}]}}' > out/2.json");
    assert_string_equal(zkt_test_error(test), "out/2.json: payload.a: $file stands directly under "
                                              "a key of the payload");
    zkt_test_destroy(&test);
    tear_down(&fixture);
    test = run_script(&fixture, "echo '{' > out/2.json");
    assert_string_equal(zkt_test_error(test), "out/2.json: no JSON object");
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
a_timeout_stops_the_group(void **state)
{
    (void)state;
    struct fixture fixture;
    static char *command[] = {"/bin/sh", "-c", "echo on >&2; sleep 1000 & wait", NULL};
    set_up(&fixture, command);
    fixture.plan.timeout_ms = 300;
    zkt_task_t *task = zkt_task_new("type=sample");
    zkt_test_t *test = run_task(&fixture, &task);
    assert_string_equal(zkt_test_state(test), "Crashed");
    assert_string_equal(zkt_test_error(test), "timed out after 300 ms\non");
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
a_deaf_command_is_killed(void **state)
{
    (void)state;
    struct fixture fixture;
    static char *command[] = {"/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done", NULL};
    set_up(&fixture, command);
    fixture.plan.timeout_ms = 100;
    fixture.plan.kill_after_ms = 100;
    zkt_task_t *task = zkt_task_new("type=sample");
    zkt_test_t *test = run_task(&fixture, &task);
    assert_string_equal(zkt_test_state(test), "Crashed");
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
daemons_go_with_their_command(void **state)
{
    (void)state;
    struct fixture fixture;
    zkt_test_t *test = run_script(
        &fixture, "setsid sh -c 'sleep 1000 & sleep 1000' & sleep 1000 & echo $! ; setsid sh -c "
                  "'echo $$ > pid; exec sleep 1000' & while ! [ -s pid ]; do :; done; cat pid");
    assert_string_equal(zkt_test_state(test), "Finished");
    const char *at = zkt_test_log(test);
    unsigned pids_count = 0;
    while ((at = strstr(at, "[INFO] ")) != NULL) {
        at += strlen("[INFO] ");
        long pid = strtol(at, NULL, 10);
        if (pid > 1) {
            assert_int_equal(kill((pid_t)pid, 0), -1);
            pids_count++;
        }
    }
    assert_int_equal(pids_count, 2);
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
the_output_becomes_the_emitted_child(void **state)
{
    (void)state;
    struct fixture fixture;
    static char *command[] = {"/bin/cat", "{}", NULL};
    static struct word emits[] = {{.key = "type", .value = "strings"}};
    set_up(&fixture, command);
    fixture.plan.emits = emits;
    fixture.plan.emits_count = 1;
    zkt_task_t *task = zkt_task_new("type=sample");
    zkt_task_set_data(task, "sample", "ls", "hello", 5);
    zkt_test_t *test = run_task(&fixture, &task);
    assert_string_equal(zkt_test_state(test), "Finished");
    assert_int_equal(zkt_test_children_count(test), 1);
    const zkt_resource_t *output = zkt_task_resource(zkt_test_child(test, 0), "output");
    size_t size = 0;
    assert_memory_equal(zkt_test_data(test, output, &size), "hello", 5);
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
a_missing_input_is_a_crash(void **state)
{
    (void)state;
    struct fixture fixture;
    static char *command[] = {"/bin/cat", "{}", NULL};
    set_up(&fixture, command);
    zkt_task_t *task = zkt_task_new("type=sample");
    zkt_test_t *test = run_task(&fixture, &task);
    assert_string_equal(zkt_test_state(test), "Crashed");
    assert_string_equal(zkt_test_error(test), "payload.sample: missing, or no resource");
    zkt_test_destroy(&test);
    tear_down(&fixture);
}

static void
folders_of_dead_processes_are_swept(void **state)
{
    (void)state;
    struct exec_plan living = {.base_lock = -1};
    struct exec_plan dead = {.base_lock = -1};
    struct exec_plan later = {.base_lock = -1};
    struct problem problem;
    char *temp = xasprintf("%s/zkarton-test-XXXXXX", temp_base());
    assert_non_null(mkdtemp(temp));
    assert_int_equal(exec_base_open(&living, temp, &problem), ZKT_OK);
    assert_int_equal(exec_base_open(&dead, temp, &problem), ZKT_OK);
    close(dead.base_lock); // as the kernel does for a killed process
    assert_int_equal(exec_base_open(&later, temp, &problem), ZKT_OK);
    assert_int_equal(access(living.base, F_OK), 0);
    assert_int_equal(access(dead.base, F_OK), -1);
    dead.base_lock = -1;
    exec_base_close(&living);
    exec_base_close(&dead);
    exec_base_close(&later);
    assert_int_equal(rmdir(temp), 0);
    free(temp);
}

static void *
open_and_look(void *arg)
{
    const char *temp = arg;
    for (int i = 0; i < 50; i++) {
        struct exec_plan plan = {.base_lock = -1};
        struct problem problem;
        if (exec_base_open(&plan, temp, &problem) != ZKT_OK || access(plan.base, F_OK) != 0) {
            return "lost";
        }
        exec_base_close(&plan);
    }
    return NULL;
}

static void
those_who_start_together_leave_each_other_alone(void **state)
{
    (void)state;
    pthread_t threads[8];
    char *temp = xasprintf("%s/zkarton-test-XXXXXX", temp_base());
    assert_non_null(mkdtemp(temp));
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_look, temp), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        void *lost = NULL;
        pthread_join(threads[i], &lost);
        assert_null(lost);
    }
    assert_int_equal(rmdir(temp), 0);
    free(temp);
}

static void
odd_names_are_encoded(void **state)
{
    (void)state;
    struct bytes name = {0};
    exec_encode_name(&name, "../a b%\n\xff");
    assert_string_equal(bytes_text(&name), "%2E.%2Fa%20b%25%0A%FF");
    bytes_fini(&name);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_zero_is_finished),
        cmocka_unit_test(other_ends_are_crashes),
        cmocka_unit_test(documents_become_children),
        cmocka_unit_test(children_of_a_failed_command_are_dropped),
        cmocka_unit_test(a_timeout_stops_the_group),
        cmocka_unit_test(a_deaf_command_is_killed),
        cmocka_unit_test(daemons_go_with_their_command),
        cmocka_unit_test(the_output_becomes_the_emitted_child),
        cmocka_unit_test(a_missing_input_is_a_crash),
        cmocka_unit_test(folders_of_dead_processes_are_swept),
        cmocka_unit_test(those_who_start_together_leave_each_other_alone),
        cmocka_unit_test(odd_names_are_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
