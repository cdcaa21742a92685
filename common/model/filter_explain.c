// Why headers do not match, one line for each rule that says no.
#include <string.h>

#include "model/filter_internal.h"
#include "model/python.h"

enum { SHOWN_BYTES = 100 };

static void
append_clause(const struct clause *clause, uint32_t rule_index, struct bytes *out)
{
    bytes_printf(out, "filters[%u].%.*s", rule_index, (int)clause->key.len, clause->key.text);
}

// What the headers have where the clause looks.
static void
append_found(struct evaluation *evaluation, const struct clause *clause,
             const struct value *headers, struct bytes *out)
{
    struct value found = *headers;
    if (clause->kind == CLAUSE_PATH || clause->gate == GATE_PATH) {
        path_extract(&clause->path, headers, &evaluation->arena, &evaluation->steps, &found);
    }
    if (python_is_undefined(&found)) {
        bytes_append_text(out, "the task has no such header");
        return;
    }
    bytes_append_text(out, "the task has ");
    python_json(&found, SHOWN_BYTES, out);
}

static void
append_failure(struct evaluation *evaluation, const struct clause *clause, uint32_t rule_index,
               enum verdict verdict, const struct value *headers, struct bytes *out)
{
    append_clause(clause, rule_index, out);
    if (verdict == VERDICT_LIMIT) {
        bytes_append_text(out, ": stopped, it takes too long on this task\n");
        return;
    }
    bytes_append_text(out, ": wants ");
    python_json(&clause->operand, SHOWN_BYTES, out);
    bytes_append_text(out, verdict == VERDICT_RAISED ? ", which cannot be asked: " : ", ");
    append_found(evaluation, clause, headers, out);
    bytes_append_byte(out, '\n');
}

// The first positive clause that does not hold, NULL: all hold.
static const struct clause *
first_failing(struct evaluation *evaluation, const struct rule *rule, const struct value *headers,
              enum verdict *verdict)
{
    for (uint32_t index = 0; index < rule->positives_count; index++) {
        *verdict = clause_match(evaluation, &rule->positives[index], headers);
        if (*verdict != VERDICT_YES) {
            return &rule->positives[index];
        }
    }
    return NULL;
}

static bool
explain_rule(struct evaluation *evaluation, const struct rule *rule, uint32_t rule_index,
             const struct value *headers, struct bytes *out)
{
    enum verdict verdict = VERDICT_YES;
    const struct clause *failing = first_failing(evaluation, rule, headers, &verdict);
    if (failing != NULL) {
        append_failure(evaluation, failing, rule_index, verdict, headers, out);
        return verdict == VERDICT_NO;
    }
    for (uint32_t index = 0; index < rule->vetoes_count; index++) {
        const struct clause *veto = &rule->vetoes[index];
        verdict = clause_match(evaluation, veto, headers);
        if (verdict == VERDICT_NO) {
            continue;
        }
        append_clause(veto, rule_index, out);
        bytes_printf(out, ": refuses the task whatever other rules say: not \"%.*s\", ",
                     (int)veto->operand.len, veto->operand.text);
        append_found(evaluation, veto, headers, out);
        bytes_append_byte(out, '\n');
        return false;
    }
    bytes_printf(out, "filters[%u]: matches\n", rule_index);
    return true;
}

void
filter_explain(const struct filter *filter, const struct value *headers, struct bytes *out)
{
    if (filter_is_empty(filter)) {
        bytes_append_text(out, "filters: no rule, matches nothing\n");
        return;
    }
    struct evaluation evaluation;
    evaluation_init(&evaluation);
    for (uint32_t index = 0; index < filter->rules_count; index++) {
        if (!explain_rule(&evaluation, &filter->rules[index], index, headers, out)) {
            break; // a veto, or what Karton would raise on: no later rule counts
        }
    }
    evaluation_fini(&evaluation);
}
