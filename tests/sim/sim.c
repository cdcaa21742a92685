// sim: the whole engine and store under a simulated world (docs/testing.md).
//   sim --seed N [--events M] [--trace]    one random world
//   sim --seeds N [--from S] [--events M]  many; prints the seed that violates an invariant
//   sim --list, sim --scenario NAME [--trace]
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sim/scenarios.h"
#include "sim/storm.h"

enum { EVENTS_MIN = 5000, EXIT_USAGE = 2 };

struct arguments {
    uint64_t seed, seeds_count, from, events_min;
    const char *scenario;
    bool has_seed, is_traced, is_list;
};

static bool
parse_number(const char *text, uint64_t *number)
{
    char *end = NULL;
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    *number = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool
parse(int argc, char **argv, struct arguments *arguments)
{
    *arguments = (struct arguments){.events_min = EVENTS_MIN, .from = 1};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            arguments->is_traced = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            arguments->is_list = true;
        } else if (strcmp(argv[i], "--scenario") == 0 && value != NULL) {
            arguments->scenario = argv[++i];
        } else if (strcmp(argv[i], "--seed") == 0 && parse_number(value, &arguments->seed)) {
            arguments->has_seed = true;
            i++;
        } else if ((strcmp(argv[i], "--seeds") == 0 &&
                    parse_number(value, &arguments->seeds_count)) ||
                   (strcmp(argv[i], "--from") == 0 && parse_number(value, &arguments->from)) ||
                   (strcmp(argv[i], "--events") == 0 &&
                    parse_number(value, &arguments->events_min))) {
            i++;
        } else {
            return false;
        }
    }
    return arguments->is_list || arguments->scenario != NULL || arguments->has_seed ||
           arguments->seeds_count > 0;
}

static int
run_scenario(const struct arguments *arguments)
{
    for (size_t i = 0; i < scenarios_count; i++) {
        if (strcmp(scenarios[i].name, arguments->scenario) != 0) {
            continue;
        }
        struct world *world = world_new(1, arguments->is_traced);
        scenarios[i].run(world);
        bool is_good = !world_is_violated(world);
        printf("%s %s: %s\n", is_good ? "ok" : "FAILED", scenarios[i].name,
               is_good ? scenarios[i].says : world->violation);
        world_destroy(&world);
        return is_good ? 0 : 1;
    }
    fprintf(stderr, "sim: no scenario \"%s\"; sim --list names them\n", arguments->scenario);
    return EXIT_USAGE;
}

static bool
run_seed(uint64_t seed, const struct arguments *arguments, struct storm_result *sum)
{
    struct storm_result result;
    storm_run(seed, arguments->events_min, arguments->is_traced, &result);
    sum->events_count += result.events_count;
    sum->acked_count += result.acked_count;
    sum->restarts_count += result.restarts_count;
    if (result.violation[0] == '\0') {
        return true;
    }
    printf("FAILED seed %" PRIu64 ": %s\n  again: sim --seed %" PRIu64 " --events %" PRIu64
           " --trace\n",
           seed, result.violation, seed, arguments->events_min);
    return false;
}

static int
run_seeds(const struct arguments *arguments)
{
    struct storm_result sum = {0};
    uint64_t first = arguments->has_seed ? arguments->seed : arguments->from;
    uint64_t count = arguments->has_seed ? 1 : arguments->seeds_count;
    for (uint64_t i = 0; i < count; i++) {
        if (!run_seed(first + i, arguments, &sum)) {
            return 1;
        }
    }
    printf("ok %" PRIu64 " seeds: %" PRIu64 " events, %" PRIu64 " tasks acknowledged, %" PRIu64
           " broker restarts\n",
           count, sum.events_count, sum.acked_count, sum.restarts_count);
    return 0;
}

int
main(int argc, char **argv)
{
    struct arguments arguments;
    if (!parse(argc, argv, &arguments)) {
        fprintf(stderr, "usage: sim --seed N | --seeds N [--from S] | --scenario NAME | --list   "
                        "[--events M] [--trace]\n");
        return EXIT_USAGE;
    }
    log_set_level(arguments.is_traced ? LOG_INFO : LOG_ERROR);
    if (arguments.is_list) {
        for (size_t i = 0; i < scenarios_count; i++) {
            printf("%s\n", scenarios[i].name);
        }
        return 0;
    }
    return arguments.scenario != NULL ? run_scenario(&arguments) : run_seeds(&arguments);
}
