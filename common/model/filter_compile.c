// Filters as given → the tree that filter_match.c walks. What Karton could only stumble over while
// matching is refused here, with the clause named. What it never reaches (conditions beside a
// dotted $exists) is not looked at, as Karton does not.
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "model/filter_internal.h"
#include "model/python.h"

enum { KEY_SHOWN_BYTES = 80 };

static bool
equals_bool(const struct value *value, bool boolean)
{
    struct value wanted = value_bool(boolean);
    return value_equal(value, &wanted);
}

// bool(value) of Python.
static bool
truth(const struct value *value)
{
    switch (value->type) {
    case VALUE_NULL:
        return false;
    case VALUE_BOOL:
        return value->boolean;
    case VALUE_INT:
        return value->integer != 0;
    case VALUE_DOUBLE:
        return value->number != 0; // NaN is true
    case VALUE_STRING:
    case VALUE_LIST:
    case VALUE_MAP:
        return value->len > 0;
    default:
        return true;
    }
}

static bool
has_byte(const struct value *text, char byte)
{
    return text->len > 0 && memchr(text->text, byte, text->len) != NULL;
}

static bool
is_operator(const struct value *key)
{
    return key->len > 0 && key->text[0] == '$';
}

// Puts ".key" in front of the problem, to name the way to the clause.
static enum zkt_err
in_key(struct compiler *compiler, const struct value *key, enum zkt_err err)
{
    if (err != ZKT_OK) {
        int len = key->len > KEY_SHOWN_BYTES ? KEY_SHOWN_BYTES : (int)key->len;
        problem_in(compiler->problem, ".%.*s", len, key->text);
    }
    return err;
}

static enum zkt_err
count_clause(struct compiler *compiler)
{
    if (++compiler->clauses_count > LIMIT_FILTER_CLAUSES) {
        return problem_set(compiler->problem, ZKT_FILTER_INVALID, ": more than %d clauses",
                           LIMIT_FILTER_CLAUSES);
    }
    return ZKT_OK;
}

// Sets the gate of a clause from $exists beside its other conditions. False: the gate decides
// alone and the rest is never asked.
static bool
open_gate(struct compiler *compiler, struct clause *clause)
{
    const struct value *exists = value_get(&clause->operand, "$exists");
    if (exists == NULL) {
        return true;
    }
    clause->exists_true = equals_bool(exists, true);
    clause->exists_false = equals_bool(exists, false);
    clause->exists_truth = truth(exists);
    clause->exists_is_nan = !value_equal(exists, exists);
    if (has_byte(&clause->key, '.')) {
        clause->gate = GATE_PATH;
        clause->path = path_split(&compiler->filter->arena, &clause->key);
        return false;
    }
    clause->gate = clause->operand.len == 1 ? GATE_KEY_ONLY : GATE_KEY;
    return clause->gate == GATE_KEY && (clause->exists_true || clause->exists_false);
}

static enum zkt_err
clause_compile(struct compiler *compiler, const struct member *member, struct place place,
               struct clause *clause)
{
    *clause = (struct clause){.kind = CLAUSE_NO, .key = member->key, .operand = member->value};
    enum zkt_err err = count_clause(compiler);
    if (err != ZKT_OK || !open_gate(compiler, clause)) {
        return err;
    }
    if (is_operator(&clause->key)) {
        return operator_compile(compiler, place, clause);
    }
    struct arena *arena = &compiler->filter->arena;
    clause->kind = CLAUSE_PATH;
    clause->path = path_split(arena, &clause->key);
    clause->conditions = arena_alloc(arena, sizeof *clause->conditions);
    clause->conditions_count = 1;
    struct place inside = {.on_headers = false, .depth = place.depth + 1};
    err = condition_compile(compiler, &clause->operand, inside, clause->conditions);
    return in_key(compiler, &clause->key, err);
}

enum zkt_err
condition_compile(struct compiler *compiler, const struct value *value, struct place place,
                  struct condition *condition)
{
    *condition = (struct condition){.is_map = value->type == VALUE_MAP, .literal = *value};
    if (!condition->is_map) {
        return count_clause(compiler);
    }
    if (place.depth > LIMIT_VALUE_DEPTH) {
        return problem_set(compiler->problem, ZKT_FILTER_INVALID, ": nested more than %d deep",
                           LIMIT_VALUE_DEPTH);
    }
    condition->clauses =
        arena_alloc(&compiler->filter->arena, value->len * sizeof *condition->clauses);
    for (uint32_t index = 0; index < value->len; index++) {
        enum zkt_err err = clause_compile(compiler, &value->members[index], place,
                                          &condition->clauses[condition->clauses_count++]);
        if (err != ZKT_OK) {
            return err;
        }
    }
    return ZKT_OK;
}

// A clause of a rule whose value is a string: compared exactly, or by its wildcards.
static enum zkt_err
text_clause_compile(struct compiler *compiler, const struct value *key, struct value text,
                    struct clause *clause)
{
    struct place place = {.on_headers = true, .depth = 1};
    struct member member = {.key = *key, .value = text};
    if (!glob_is_needed(&text)) {
        return clause_compile(compiler, &member, place, clause);
    }
    struct arena *arena = &compiler->filter->arena;
    if (is_operator(key)) {
        // Karton hands the operator a map {"$regex": …} then.
        member.value = value_map();
        value_put(arena, &member.value, "$regex", text);
        return clause_compile(compiler, &member, place, clause);
    }
    enum zkt_err err = count_clause(compiler);
    struct clause *inner = arena_alloc(arena, sizeof *inner);
    *inner = (struct clause){.kind = CLAUSE_GLOB, .operand = text};
    inner->glob = glob_compile(arena, text.text, text.len);
    struct condition *condition = arena_alloc(arena, sizeof *condition);
    *condition = (struct condition){.is_map = true, .clauses = inner, .clauses_count = 1};
    *clause = (struct clause){.kind = CLAUSE_PATH,
                              .key = *key,
                              .operand = text,
                              .path = path_split(arena, key),
                              .conditions = condition,
                              .conditions_count = 1};
    return err;
}

static enum zkt_err
rule_compile(struct compiler *compiler, const struct value *map, struct rule *rule)
{
    if (map->type != VALUE_MAP) {
        return problem_set(compiler->problem, ZKT_FILTER_INVALID, ": must be a map, not a %s",
                           value_type_name(map));
    }
    struct arena *arena = &compiler->filter->arena;
    *rule = (struct rule){0};
    rule->positives = arena_alloc(arena, map->len * sizeof *rule->positives);
    rule->vetoes = arena_alloc(arena, map->len * sizeof *rule->vetoes);
    for (uint32_t index = 0; index < map->len; index++) {
        const struct member *member = &map->members[index];
        struct value text = member->value;
        enum zkt_err err;
        if (text.type == VALUE_STRING && text.len > 0 && text.text[0] == '!') {
            text.text++;
            text.len--;
            err = text_clause_compile(compiler, &member->key, text,
                                      &rule->vetoes[rule->vetoes_count++]);
        } else if (text.type == VALUE_STRING) {
            err = text_clause_compile(compiler, &member->key, text,
                                      &rule->positives[rule->positives_count++]);
        } else {
            struct place place = {.on_headers = true, .depth = 1};
            err =
                clause_compile(compiler, member, place, &rule->positives[rule->positives_count++]);
        }
        if (err != ZKT_OK) {
            return err;
        }
    }
    return ZKT_OK;
}

static enum zkt_err
check_shape(const struct value *filters, struct problem *problem)
{
    if (filters->type == VALUE_MAP && filters->len == 0) {
        return ZKT_OK;
    }
    if (filters->type != VALUE_LIST) {
        return problem_set(problem, ZKT_FILTER_INVALID,
                           "filters: must be a list of maps, not a %s%s", value_type_name(filters),
                           filters->type == VALUE_MAP ? ". Did you mean [{…}]?" : "");
    }
    if (filters->len > LIMIT_FILTER_RULES) {
        return problem_set(problem, ZKT_FILTER_INVALID, "filters: at most %d rules, not %u",
                           LIMIT_FILTER_RULES, filters->len);
    }
    return ZKT_OK;
}

enum zkt_err
filter_compile(const struct value *filters, struct filter **filter, struct problem *problem)
{
    *filter = NULL;
    struct problem own_problem;
    if (problem == NULL) {
        problem = &own_problem;
    }
    enum zkt_err err = check_shape(filters, problem);
    if (err != ZKT_OK) {
        return err;
    }
    struct filter *made = xcalloc(1, sizeof *made);
    arena_init(&made->arena);
    struct value copy = value_copy(&made->arena, filters);
    struct compiler compiler = {.filter = made, .problem = problem};
    uint32_t rules_count = copy.type == VALUE_LIST ? copy.len : 0;
    made->rules = arena_alloc(&made->arena, (rules_count + 1) * sizeof *made->rules);
    for (uint32_t index = 0; index < rules_count; index++) {
        err = rule_compile(&compiler, &copy.items[index], &made->rules[made->rules_count++]);
        if (err != ZKT_OK) {
            problem_in(problem, "filters[%u]", index);
            filter_destroy(&made);
            return err;
        }
    }
    *filter = made;
    return ZKT_OK;
}

void
filter_destroy(struct filter **filter_p)
{
    struct filter *filter = *filter_p;
    if (filter == NULL) {
        return;
    }
    regexes_destroy(&filter->regexes);
    arena_fini(&filter->arena);
    free(filter);
    *filter_p = NULL;
}
