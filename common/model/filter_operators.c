// The operators of a filter: which exist, and what each wants behind it.
#include <string.h>

#include "base/limits.h"
#include "model/filter_internal.h"
#include "model/unicode.h"

typedef enum zkt_err
compile_function(struct compiler *compiler, struct place place, struct clause *clause);

#define refuse(compiler, ...) problem_set((compiler)->problem, ZKT_FILTER_INVALID, __VA_ARGS__)

static enum zkt_err
compile_plain(struct compiler *compiler, struct place place, struct clause *clause)
{
    (void)compiler;
    (void)place;
    (void)clause;
    return ZKT_OK;
}

static enum zkt_err
compile_list(struct compiler *compiler, struct place place, struct clause *clause)
{
    (void)place;
    if (clause->operand.type == VALUE_LIST) {
        return ZKT_OK;
    }
    return refuse(compiler, ".%s: must be a list, not a %s", clause->key.text,
                  value_type_name(&clause->operand));
}

// The operand as a list of what Python would iterate over: a string's characters, a map's keys.
static bool
as_list(struct arena *arena, const struct value *operand, struct value *list)
{
    *list = *operand;
    if (operand->type == VALUE_LIST) {
        return true;
    }
    *list = value_list();
    if (operand->type == VALUE_MAP) {
        for (uint32_t index = 0; index < operand->len; index++) {
            value_append(arena, list, operand->members[index].key);
        }
        return true;
    }
    if (operand->type != VALUE_STRING) {
        return false;
    }
    const uint8_t *at = (const uint8_t *)operand->text;
    const uint8_t *end = at + operand->len;
    while (at < end) {
        const uint8_t *start = at;
        (void)point_next(&at, end);
        value_append(arena, list, value_string(arena, start, (size_t)(at - start)));
    }
    return true;
}

// $and, $or, $nor and $all: each item is a condition.
static enum zkt_err
compile_conditions(struct compiler *compiler, struct place place, struct clause *clause)
{
    struct arena *arena = &compiler->filter->arena;
    struct value list;
    bool is_all = value_is_text(&clause->key, "$all");
    if ((clause->operand.type == VALUE_MAP && !is_all) ||
        !as_list(arena, &clause->operand, &list)) {
        return refuse(compiler, ".%s: must be a list, not a %s", clause->key.text,
                      value_type_name(&clause->operand));
    }
    place.depth++;
    clause->conditions = arena_alloc(arena, list.len * sizeof *clause->conditions);
    for (uint32_t index = 0; index < list.len; index++) {
        enum zkt_err err = condition_compile(compiler, &list.items[index], place,
                                             &clause->conditions[clause->conditions_count++]);
        if (err != ZKT_OK) {
            problem_in(compiler->problem, ".%s[%u]", clause->key.text, index);
            return err;
        }
    }
    return ZKT_OK;
}

static enum zkt_err
compile_one_condition(struct compiler *compiler, struct place place, struct clause *clause)
{
    place.depth++;
    clause->conditions = arena_alloc(&compiler->filter->arena, sizeof *clause->conditions);
    clause->conditions_count = 1;
    enum zkt_err err = condition_compile(compiler, &clause->operand, place, clause->conditions);
    if (err != ZKT_OK) {
        problem_in(compiler->problem, ".%s", clause->key.text);
    }
    return err;
}

static enum zkt_err
compile_elem_match(struct compiler *compiler, struct place place, struct clause *clause)
{
    if (place.on_headers) {
        clause->kind = CLAUSE_NO; // headers are no sequence
        return ZKT_OK;
    }
    if (clause->operand.type != VALUE_MAP) {
        return refuse(compiler, ".$elemMatch: must be a map, not a %s",
                      value_type_name(&clause->operand));
    }
    return compile_one_condition(compiler, place, clause);
}

static enum zkt_err
compile_size(struct compiler *compiler, struct place place, struct clause *clause)
{
    (void)place;
    const struct value *size = &clause->operand;
    if (size->type == VALUE_BOOL) {
        clause->size = size->boolean;
        return ZKT_OK;
    }
    if (size->type == VALUE_INT || size->type == VALUE_BIGINT) {
        bool is_possible =
            size->type == VALUE_INT && size->integer >= 0 && size->integer < UINT32_MAX;
        clause->size = is_possible ? (uint32_t)size->integer : UINT32_MAX;
        return ZKT_OK;
    }
    return refuse(compiler, ".$size: must be an integer, not a %s", value_type_name(size));
}

// BSON's names and numbers.
static const struct type_row {
    const char *name;
    int number;
    uint32_t mask;
} type_rows[] = {
    {"double", 1, TYPE_MASK_FLOAT},
    {"string", 2, TYPE_MASK_STRING},
    {"object", 3, TYPE_MASK_MAP},
    {"array", 4, TYPE_MASK_LIST},
    {"binData", 5, 0},
    {"objectId", 7, TYPE_MASK_STRING},
    {"bool", 8, TYPE_MASK_BOOL},
    {"date", 9, TYPE_MASK_STRING},
    {"null", 10, TYPE_MASK_NULL},
    {"regex", 11, 0},
    {"javascript", 13, TYPE_MASK_STRING},
    {"javascriptWithScope", 15, TYPE_MASK_STRING},
    {"int", 16, TYPE_MASK_INT},
    {"timestamp", 17, TYPE_MASK_INT},
    {"long", 18, TYPE_MASK_INT},
    {"number", -1, TYPE_MASK_INT | TYPE_MASK_FLOAT},
};
enum { TYPE_ROWS_COUNT = sizeof type_rows / sizeof *type_rows };

static enum zkt_err
compile_type(struct compiler *compiler, struct place place, struct clause *clause)
{
    (void)place;
    const char *names[TYPE_ROWS_COUNT];
    for (size_t index = 0; index < TYPE_ROWS_COUNT; index++) {
        const struct type_row *row = &type_rows[index];
        struct value number = value_int(row->number);
        bool is_number = row->number >= 0 && value_equal(&clause->operand, &number);
        if (is_number || value_is_text(&clause->operand, row->name)) {
            clause->type_mask = row->mask;
            return ZKT_OK;
        }
        names[index] = row->name;
    }
    if (clause->operand.type != VALUE_STRING) {
        return refuse(compiler, ".$type: must be the name or number of a BSON type");
    }
    const char *near = nearest(clause->operand.text, names, TYPE_ROWS_COUNT);
    return refuse(compiler, ".$type: unknown type \"%.40s\"%s%s%s", clause->operand.text,
                  near != NULL ? ". Did you mean \"" : "", near != NULL ? near : "",
                  near != NULL ? "\"?" : "");
}

static enum zkt_err
compile_mod(struct compiler *compiler, struct place place, struct clause *clause)
{
    const struct value *operand = &clause->operand;
    if (place.on_headers) {
        return refuse(compiler, ".$mod: needs a header before it");
    }
    if (operand->type != VALUE_LIST || operand->len < 2 || !value_is_number(&operand->items[0]) ||
        !value_is_number(&operand->items[1])) {
        return refuse(compiler, ".$mod: must be [divisor, remainder]");
    }
    struct value zero = value_int(0);
    if (operand->items[0].type == VALUE_BIGINT) {
        return refuse(compiler, ".$mod: the divisor does not fit 64 bits");
    }
    if (value_equal(&operand->items[0], &zero)) {
        return refuse(compiler, ".$mod: the divisor is zero");
    }
    return ZKT_OK;
}

static enum zkt_err
compile_regex(struct compiler *compiler, struct place place, struct clause *clause)
{
    if (place.on_headers) {
        clause->kind = CLAUSE_NO; // headers are no string
        return ZKT_OK;
    }
    if (clause->operand.type != VALUE_STRING) {
        return refuse(compiler, ".$regex: must be a string, not a %s",
                      value_type_name(&clause->operand));
    }
    struct filter *filter = compiler->filter;
    if (filter->regexes == NULL) {
        filter->regexes = regexes_new();
    }
    enum zkt_err err =
        regex_compile(filter->regexes, &clause->operand, &clause->regex, compiler->problem);
    if (err != ZKT_OK) {
        problem_in(compiler->problem, ".$regex: ");
    }
    return err;
}

static enum zkt_err
compile_unsupported(struct compiler *compiler, struct place place, struct clause *clause)
{
    (void)place;
    return refuse(compiler, ": the operator \"%s\" is not supported", clause->key.text);
}

// Of words equally near to a wrong one the first is proposed.
static const struct operator_row {
    const char *name;
    enum clause_kind kind;
    compile_function *compile;
} operator_rows[] = {
    {"$not", CLAUSE_NOT, compile_one_condition},
    {"$eq", CLAUSE_EQ, compile_plain},
    {"$ne", CLAUSE_NE, compile_plain},
    {"$gt", CLAUSE_GT, compile_plain},
    {"$gte", CLAUSE_GTE, compile_plain},
    {"$lt", CLAUSE_LT, compile_plain},
    {"$lte", CLAUSE_LTE, compile_plain},
    {"$and", CLAUSE_AND, compile_conditions},
    {"$or", CLAUSE_OR, compile_conditions},
    {"$nor", CLAUSE_NOR, compile_conditions},
    {"$in", CLAUSE_IN, compile_list},
    {"$nin", CLAUSE_NIN, compile_list},
    {"$all", CLAUSE_AND, compile_conditions},
    {"$elemMatch", CLAUSE_ELEM_MATCH, compile_elem_match},
    {"$size", CLAUSE_SIZE, compile_size},
    {"$type", CLAUSE_TYPE, compile_type},
    {"$mod", CLAUSE_MOD, compile_mod},
    {"$regex", CLAUSE_REGEX, compile_regex},
    {"$exists", CLAUSE_YES, compile_plain},
    {"$options", CLAUSE_NO, compile_unsupported},
    {"$text", CLAUSE_NO, compile_unsupported},
    {"$where", CLAUSE_NO, compile_unsupported},
};
enum {
    OPERATOR_ROWS_COUNT = sizeof operator_rows / sizeof *operator_rows,
    OPERATORS_SUPPORTED_COUNT = OPERATOR_ROWS_COUNT - 3,
};

enum zkt_err
operator_compile(struct compiler *compiler, struct place place, struct clause *clause)
{
    const char *names[OPERATOR_ROWS_COUNT];
    for (size_t index = 0; index < OPERATOR_ROWS_COUNT; index++) {
        const struct operator_row *row = &operator_rows[index];
        names[index] = row->name;
        if (value_is_text(&clause->key, row->name)) {
            clause->kind = row->kind;
            return row->compile(compiler, place, clause);
        }
    }
    const char *near = nearest(clause->key.text, names, OPERATORS_SUPPORTED_COUNT);
    return refuse(compiler, ": unknown operator \"%.40s\"%s%s%s", clause->key.text,
                  near != NULL ? ". Did you mean \"" : "", near != NULL ? near : "",
                  near != NULL ? "\"?" : "");
}
