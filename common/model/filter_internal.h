// filter_internal.h: the compiled form of filters, shared by the filter_*.c files alone.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/filter.h"
#include "model/filter_glob.h"
#include "model/filter_path.h"
#include "model/filter_regex.h"
#include "model/value.h"

enum clause_kind {
    CLAUSE_PATH, // what lies at the path meets the condition
    CLAUSE_EQ,
    CLAUSE_NE,
    CLAUSE_GT,
    CLAUSE_GTE,
    CLAUSE_LT,
    CLAUSE_LTE,
    CLAUSE_IN,
    CLAUSE_NIN,
    CLAUSE_AND, // and $all, and each element's conditions
    CLAUSE_OR,
    CLAUSE_NOR,
    CLAUSE_NOT,
    CLAUSE_ELEM_MATCH,
    CLAUSE_SIZE,
    CLAUSE_TYPE,
    CLAUSE_MOD,
    CLAUSE_REGEX,
    CLAUSE_GLOB, // a string with wildcards at the top level of a rule
    CLAUSE_YES,  // $exists when it is reached as an operator
    CLAUSE_NO,
};

// {"$exists": X} beside other conditions is asked first, with the key or operator that holds them.
enum gate {
    GATE_NONE,
    GATE_KEY,      // `key in entry` must be as said, then the clause itself
    GATE_KEY_ONLY, // nothing but $exists
    GATE_PATH,     // a dotted key: decides alone
};

enum {
    TYPE_MASK_FLOAT = 1,
    TYPE_MASK_STRING = 2,
    TYPE_MASK_MAP = 4,
    TYPE_MASK_LIST = 8,
    TYPE_MASK_BOOL = 16,
    TYPE_MASK_NULL = 32,
    TYPE_MASK_INT = 64,
};

struct clause;

// What an entry is asked: every clause (a map), or a literal.
struct condition {
    bool is_map;
    struct value literal;
    struct clause *clauses;
    uint32_t clauses_count;
};

struct clause {
    enum clause_kind kind;
    enum gate gate;
    struct value key;     // as written: a path or an operator
    struct value operand; // as written
    bool exists_true;     // GATE_*: $exists == True
    bool exists_false;    // GATE_*: $exists == False
    bool exists_truth;    // GATE_PATH: bool($exists)
    bool exists_is_nan;   // GATE_PATH: $exists differs from itself
    uint32_t type_mask;   // CLAUSE_TYPE
    uint32_t size;        // CLAUSE_SIZE
    uint32_t conditions_count;
    struct path path;             // CLAUSE_PATH, GATE_PATH
    struct condition *conditions; // of PATH, NOT, ELEM_MATCH one; of AND, OR, NOR all
    struct regex *regex;
    struct glob *glob;
};

struct rule {
    struct clause *positives; // all must hold
    uint32_t positives_count;
    struct clause *vetoes; // old-style negations: inner pattern of each (S31)
    uint32_t vetoes_count;
};

struct filter {
    struct arena arena; // holds everything below but the regexes
    struct rule *rules;
    uint32_t rules_count;
    struct regexes *regexes; // owned; NULL: no clause needs one
};

// The state of one filter_match.
struct evaluation {
    struct arena arena;   // lists made by dotted keys that walk into lists
    struct bytes scratch; // str() of a header
    int64_t steps;        // left of LIMIT_FILTER_STEPS
    struct regex_budget regex_budget;
};

// NO and YES, or what Karton would raise on, or out of budget; both of the latter end the
// evaluation.
enum verdict { VERDICT_NO, VERDICT_YES, VERDICT_RAISED, VERDICT_LIMIT };

void
evaluation_init(struct evaluation *evaluation);
void
evaluation_fini(struct evaluation *evaluation);
enum verdict
clause_match(struct evaluation *evaluation, const struct clause *clause, const struct value *entry);

// condition_compile and clause_compile belong to filter_compile.c; filter_operators.c calls back
// into them for the operands that are conditions themselves.
struct compiler {
    struct filter *filter;
    uint32_t clauses_count; // so far, against LIMIT_FILTER_CLAUSES
    struct problem *problem;
};
// Where a clause stands: what it is asked about, and how deep.
struct place {
    bool on_headers; // the entry is always the map of headers itself
    uint32_t depth;
};
ZKT_MUST enum zkt_err
condition_compile(struct compiler *compiler, const struct value *value, struct place place,
                  struct condition *condition);
// operator_compile fills kind and operands of clause, whose key begins with '$'.
ZKT_MUST enum zkt_err
operator_compile(struct compiler *compiler, struct place place, struct clause *clause);
