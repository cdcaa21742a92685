// Evaluation of compiled filters. Every question is asked in the order in which Karton would ask
// it, so that what Karton would raise on is met exactly when Karton meets it; that ends the
// evaluation with "no match" (F8). Recursion follows the filter, whose depth is bounded.
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "model/filter_internal.h"
#include "model/python.h"
#include "model/unicode.h"

void
evaluation_init(struct evaluation *evaluation)
{
    *evaluation = (struct evaluation){
        .steps = LIMIT_FILTER_STEPS,
        .regex_budget = {.steps = LIMIT_REGEX_STEPS},
    };
    arena_init(&evaluation->arena);
}

void
evaluation_fini(struct evaluation *evaluation)
{
    arena_fini(&evaluation->arena);
    bytes_fini(&evaluation->scratch);
}

static enum verdict
verdict_of(bool holds)
{
    return holds ? VERDICT_YES : VERDICT_NO;
}

static enum verdict
opposite(enum verdict verdict)
{
    return verdict == VERDICT_YES ? VERDICT_NO : verdict == VERDICT_NO ? VERDICT_YES : verdict;
}

// str(entry) == text (F4).
static bool
equals_as_text(struct evaluation *evaluation, const struct value *text, const struct value *entry)
{
    if (entry->type == VALUE_LIST || entry->type == VALUE_MAP) {
        char bracket = entry->type == VALUE_LIST ? '[' : '{';
        if (text->len < 2 || text->text[0] != bracket) {
            return false;
        }
    }
    bytes_clear(&evaluation->scratch);
    return python_str(entry, &evaluation->scratch, &evaluation->steps) &&
           span_equal(bytes_span(&evaluation->scratch), span_of(text->text, text->len));
}

// Query._eq.
static bool
equals(struct evaluation *evaluation, const struct value *condition, const struct value *entry)
{
    if (condition->type == VALUE_STRING && entry->type != VALUE_STRING) {
        return equals_as_text(evaluation, condition, entry);
    }
    return python_equal(entry, condition, &evaluation->steps);
}

static enum verdict
condition_match(struct evaluation *evaluation, const struct condition *condition,
                const struct value *entry)
{
    if (!condition->is_map) {
        bool holds = entry->type == VALUE_LIST
                         ? python_contains(entry, &condition->literal, &evaluation->steps)
                         : equals(evaluation, &condition->literal, entry);
        return verdict_of(holds);
    }
    for (uint32_t index = 0; index < condition->clauses_count; index++) {
        enum verdict verdict = clause_match(evaluation, &condition->clauses[index], entry);
        if (verdict != VERDICT_YES) {
            return verdict;
        }
    }
    return VERDICT_YES;
}

// Asks the conditions in order until one answers `stop`, and says so, or the opposite.
static enum verdict
conditions_match(struct evaluation *evaluation, const struct clause *clause,
                 const struct value *entry, enum verdict stop)
{
    for (uint32_t index = 0; index < clause->conditions_count; index++) {
        enum verdict verdict = condition_match(evaluation, &clause->conditions[index], entry);
        if (verdict != opposite(stop)) {
            return verdict;
        }
    }
    return opposite(stop);
}

static enum verdict
elements_match(struct evaluation *evaluation, const struct clause *clause,
               const struct value *entry)
{
    if (entry->type == VALUE_LIST) {
        for (uint32_t index = 0; index < entry->len; index++) {
            enum verdict verdict =
                condition_match(evaluation, &clause->conditions[0], &entry->items[index]);
            if (verdict != VERDICT_NO) {
                return verdict;
            }
        }
        return VERDICT_NO;
    }
    if (entry->type != VALUE_STRING) {
        return VERDICT_NO;
    }
    // A string is a sequence of strings of one character.
    const uint8_t *at = (const uint8_t *)entry->text;
    const uint8_t *end = at + entry->len;
    while (at < end) {
        const uint8_t *start = at;
        (void)point_next(&at, end);
        struct value character = {
            .type = VALUE_STRING, .len = (uint32_t)(at - start), .text = (const char *)start};
        enum verdict verdict = condition_match(evaluation, &clause->conditions[0], &character);
        if (verdict != VERDICT_NO) {
            return verdict;
        }
    }
    return VERDICT_NO;
}

// Query._in: no coercion.
static bool
is_in(struct evaluation *evaluation, const struct value *list, const struct value *entry)
{
    for (uint32_t index = 0; index < list->len && evaluation->steps >= 0; index++) {
        const struct value *item = &list->items[index];
        bool found = entry->type == VALUE_LIST ? python_contains(entry, item, &evaluation->steps)
                                               : python_equal(item, entry, &evaluation->steps);
        if (found) {
            return true;
        }
    }
    return false;
}

static bool
is_ordered(struct evaluation *evaluation, const struct clause *clause, const struct value *entry)
{
    enum python_order order = python_order(entry, &clause->operand, &evaluation->steps);
    switch (clause->kind) {
    case CLAUSE_GT:
        return order == PYTHON_ABOVE;
    case CLAUSE_GTE:
        return order == PYTHON_ABOVE || order == PYTHON_SAME;
    case CLAUSE_LT:
        return order == PYTHON_BELOW;
    default:
        return order == PYTHON_BELOW || order == PYTHON_SAME;
    }
}

static uint32_t
type_mask_of(const struct value *entry)
{
    switch (entry->type) {
    case VALUE_NULL:
        return TYPE_MASK_NULL;
    case VALUE_BOOL:
        return TYPE_MASK_BOOL | TYPE_MASK_INT;
    case VALUE_INT:
    case VALUE_BIGINT:
        return TYPE_MASK_INT;
    case VALUE_DOUBLE:
        return TYPE_MASK_FLOAT;
    case VALUE_STRING:
        return TYPE_MASK_STRING | TYPE_MASK_LIST; // a str is a Sequence
    case VALUE_LIST:
        return TYPE_MASK_LIST;
    case VALUE_MAP:
        return TYPE_MASK_MAP;
    case VALUE_RESOURCE:
        break;
    }
    return 0;
}

static enum verdict
remainder_matches(struct evaluation *evaluation, const struct clause *clause,
                  const struct value *entry)
{
    if (entry->type == VALUE_STRING) {
        return python_format(entry, &clause->operand.items[0]) ? VERDICT_NO : VERDICT_RAISED;
    }
    if ((type_mask_of(entry) & (TYPE_MASK_INT | TYPE_MASK_FLOAT)) == 0) {
        return VERDICT_RAISED;
    }
    struct value rest;
    if (!python_remainder(entry, &clause->operand.items[0], &rest)) {
        return VERDICT_RAISED;
    }
    return verdict_of(python_equal(&rest, &clause->operand.items[1], &evaluation->steps));
}

static enum verdict
regex_matches(struct evaluation *evaluation, const struct clause *clause, const struct value *entry)
{
    if (entry->type != VALUE_STRING) {
        return VERDICT_NO;
    }
    if (clause->kind == CLAUSE_GLOB) {
        return verdict_of(glob_match(clause->glob, entry, &evaluation->steps));
    }
    if (evaluation->regex_budget.steps <= 0) {
        return VERDICT_LIMIT;
    }
    enum regex_result result = regex_search(clause->regex, entry, &evaluation->regex_budget);
    return result == REGEX_LIMIT ? VERDICT_LIMIT : verdict_of(result == REGEX_YES);
}

static bool
string_has(const struct value *string, const struct value *part)
{
    return memmem(string->text, string->len, part->text, part->len) != NULL;
}

// {"$exists": …}: NO or YES is the answer, *goes_on says that the clause itself decides.
static enum verdict
gate_matches(struct evaluation *evaluation, const struct clause *clause, const struct value *entry,
             bool *goes_on)
{
    *goes_on = false;
    if (clause->gate == GATE_PATH) {
        enum path_exists found =
            path_exists(&clause->path, entry, clause->exists_is_nan, &evaluation->steps);
        if (found == PATH_RAISED) {
            return VERDICT_RAISED;
        }
        return verdict_of((found == PATH_PRESENT) == clause->exists_truth);
    }
    bool has = false;
    if (entry->type == VALUE_MAP) {
        evaluation->steps -= entry->len / 8;
        has = value_get_n(entry, clause->key.text, clause->key.len) != NULL;
    } else if (entry->type == VALUE_LIST) {
        has = python_contains(entry, &clause->key, &evaluation->steps);
    } else if (entry->type == VALUE_STRING) {
        has = string_has(entry, &clause->key);
    } else {
        return VERDICT_RAISED;
    }
    *goes_on = has ? clause->exists_true : clause->exists_false;
    if (*goes_on && clause->gate == GATE_KEY_ONLY) {
        *goes_on = false;
        return VERDICT_YES;
    }
    return VERDICT_NO;
}

static enum verdict
ask(struct evaluation *evaluation, const struct clause *clause, const struct value *entry)
{
    struct value found;
    switch (clause->kind) {
    case CLAUSE_PATH:
        path_extract(&clause->path, entry, &evaluation->arena, &evaluation->steps, &found);
        return condition_match(evaluation, &clause->conditions[0], &found);
    case CLAUSE_EQ:
        return verdict_of(equals(evaluation, &clause->operand, entry));
    case CLAUSE_NE:
        return verdict_of(!equals(evaluation, &clause->operand, entry));
    case CLAUSE_GT:
    case CLAUSE_GTE:
    case CLAUSE_LT:
    case CLAUSE_LTE:
        return verdict_of(is_ordered(evaluation, clause, entry));
    case CLAUSE_IN:
        return verdict_of(is_in(evaluation, &clause->operand, entry));
    case CLAUSE_NIN:
        return verdict_of(!is_in(evaluation, &clause->operand, entry));
    case CLAUSE_AND:
        return conditions_match(evaluation, clause, entry, VERDICT_NO);
    case CLAUSE_OR:
        return conditions_match(evaluation, clause, entry, VERDICT_YES);
    case CLAUSE_NOR:
    case CLAUSE_NOT:
        return opposite(conditions_match(evaluation, clause, entry, VERDICT_YES));
    case CLAUSE_ELEM_MATCH:
        return elements_match(evaluation, clause, entry);
    case CLAUSE_SIZE:
        return verdict_of(entry->type == VALUE_LIST && clause->operand.type != VALUE_BIGINT &&
                          entry->len == clause->size);
    case CLAUSE_TYPE:
        return verdict_of((type_mask_of(entry) & clause->type_mask) != 0);
    case CLAUSE_MOD:
        return remainder_matches(evaluation, clause, entry);
    case CLAUSE_REGEX:
    case CLAUSE_GLOB:
        return regex_matches(evaluation, clause, entry);
    case CLAUSE_YES:
        return VERDICT_YES;
    case CLAUSE_NO:
        break;
    }
    return VERDICT_NO;
}

enum verdict
clause_match(struct evaluation *evaluation, const struct clause *clause, const struct value *entry)
{
    if (--evaluation->steps < 0) {
        return VERDICT_LIMIT;
    }
    enum verdict verdict = VERDICT_YES;
    bool goes_on = true;
    if (clause->gate != GATE_NONE) {
        verdict = gate_matches(evaluation, clause, entry, &goes_on);
    }
    if (goes_on) {
        verdict = ask(evaluation, clause, entry);
    }
    // An answer that came while the steps ran out is none.
    return evaluation->steps < 0 ? VERDICT_LIMIT : verdict;
}

static enum verdict
rule_match(struct evaluation *evaluation, const struct rule *rule, const struct value *headers,
           bool *is_vetoed)
{
    for (uint32_t index = 0; index < rule->positives_count; index++) {
        enum verdict verdict = clause_match(evaluation, &rule->positives[index], headers);
        if (verdict != VERDICT_YES) {
            return verdict;
        }
    }
    for (uint32_t index = 0; index < rule->vetoes_count; index++) {
        enum verdict verdict = clause_match(evaluation, &rule->vetoes[index], headers);
        if (verdict != VERDICT_NO) {
            *is_vetoed = verdict == VERDICT_YES;
            return verdict;
        }
    }
    return VERDICT_YES;
}

// One pass does what Karton does in two: all rules with their vetoes are asked first (S31), and a
// rule holds if its positives do.
bool
filter_match(const struct filter *filter, const struct value *headers,
             struct filter_outcome *outcome)
{
    zkt_assert(headers->type == VALUE_MAP);
    struct evaluation evaluation;
    evaluation_init(&evaluation);
    if (outcome->are_regexes_off) {
        evaluation.regex_budget.steps = 0;
    }
    bool matches = false;
    for (uint32_t index = 0; index < filter->rules_count; index++) {
        bool is_vetoed = false;
        enum verdict verdict = rule_match(&evaluation, &filter->rules[index], headers, &is_vetoed);
        if (is_vetoed || verdict == VERDICT_RAISED || verdict == VERDICT_LIMIT) {
            outcome->errors_count += verdict == VERDICT_RAISED;
            outcome->limits_count += verdict == VERDICT_LIMIT;
            matches = false;
            break;
        }
        matches = matches || verdict == VERDICT_YES;
    }
    evaluation_fini(&evaluation);
    return matches;
}

bool
filter_is_empty(const struct filter *filter)
{
    return filter->rules_count == 0;
}
