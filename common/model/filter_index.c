// An index over equality terms. Every rule with one is filed under the rarest of its terms (header,
// value); the other rules make their consumer one that is always asked. A task looks up each of its
// headers, so its cost does not grow with the consumers that ask for other values.
//
// No matching consumer may be missed, so a term files a rule under a token of its value, and a
// header is looked up under every token that an equal value could have been filed under: numbers by
// their value alone (1 == 1.0 == True), each item of a list (F5), and str() of what is no string
// (F4). What is found too much, filter_match sorts out.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/memory.h"
#include "model/filter_internal.h"
#include "model/python.h"

enum { ALTERNATIVES_MAX = 64 }; // values of one term ($in, $or); more make no term

struct numbers {
    uint32_t *items; // ascending, each once
    size_t len;
    size_t capacity;
};

// A header that terms ask for.
struct header {
    struct map *tokens;  // of struct posting
    uint32_t text_count; // postings whose value is a string: they may equal str() of a header
};
// Who asks for a value of a header.
struct posting {
    struct header *header;
    struct bytes name; // of the header
    struct bytes token;
    struct numbers consumers;
};
// What a consumer is filed under.
struct filed {
    uint32_t consumer;
    struct posting **postings;
    size_t postings_count;
    size_t capacity;
    bool is_always;
};

struct filter_index {
    struct map *headers; // of struct header, by name
    struct map *filed;   // of struct filed, by number
    struct numbers always;
    struct numbers found; // scratch of filter_index_candidates
    struct bytes token;   // scratch
};

// The first place whose item is not below number.
static size_t
numbers_find(const struct numbers *numbers, uint32_t number)
{
    size_t low = 0;
    size_t high = numbers->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (numbers->items[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
numbers_reserve(struct numbers *numbers, size_t more)
{
    if (numbers->len + more <= numbers->capacity) {
        return;
    }
    size_t capacity = numbers->capacity < 4 ? 4 : numbers->capacity * 2;
    while (capacity < numbers->len + more) {
        capacity *= 2;
    }
    numbers->items = xrealloc(numbers->items, capacity * sizeof *numbers->items);
    numbers->capacity = capacity;
}

static bool
numbers_add(struct numbers *numbers, uint32_t number)
{
    size_t at = numbers_find(numbers, number);
    if (at < numbers->len && numbers->items[at] == number) {
        return false;
    }
    numbers_reserve(numbers, 1);
    memmove(numbers->items + at + 1, numbers->items + at,
            (numbers->len - at) * sizeof *numbers->items);
    numbers->items[at] = number;
    numbers->len++;
    return true;
}

static void
numbers_remove(struct numbers *numbers, uint32_t number)
{
    size_t at = numbers_find(numbers, number);
    zkt_assert(at < numbers->len);
    zkt_assert(numbers->items[at] == number);
    numbers->len--;
    memmove(numbers->items + at, numbers->items + at + 1,
            (numbers->len - at) * sizeof *numbers->items);
}

// The token of a value: the same for all that Python calls equal. False: a list or map.
static bool
token_of(const struct value *value, struct bytes *token)
{
    bytes_clear(token);
    switch (value->type) {
    case VALUE_NULL:
        bytes_append_byte(token, '0');
        return true;
    case VALUE_BOOL:
        bytes_printf(token, "i%d", value->boolean);
        return true;
    case VALUE_INT:
        bytes_printf(token, "i%lld", (long long)value->integer);
        return true;
    case VALUE_BIGINT:
        bytes_append_byte(token, 'i');
        bytes_append(token, value->text, value->len);
        return true;
    case VALUE_DOUBLE:
        if (isfinite(value->number) && value->number == trunc(value->number)) {
            bytes_printf(token, "i%.0f", value->number == 0 ? 0.0 : value->number);
        } else if (isnan(value->number)) {
            bytes_append_text(token, "n"); // one NaN, whatever its bits
        } else {
            bytes_append_byte(token, 'f');
            bytes_append(token, &value->number, sizeof value->number);
        }
        return true;
    case VALUE_STRING:
        bytes_append_byte(token, 's');
        bytes_append(token, value->text, value->len);
        return true;
    default:
        return false;
    }
}

// A term of a rule: the header must equal one of the values.
struct term {
    const struct value *name;
    const struct value *values[ALTERNATIVES_MAX];
    size_t values_count;
};

static bool
is_scalar(const struct value *value)
{
    return value->type != VALUE_LIST && value->type != VALUE_MAP && value->type != VALUE_RESOURCE;
}

// Alternatives of $in, and of $or where all are literals.
static bool
alternatives_of(const struct clause *clause, struct term *term)
{
    const struct value *list = &clause->operand;
    bool fits = (clause->kind == CLAUSE_IN || clause->kind == CLAUSE_OR) &&
                clause->gate == GATE_NONE && list->type == VALUE_LIST &&
                list->len <= ALTERNATIVES_MAX;
    if (!fits) {
        return false;
    }
    for (uint32_t index = 0; index < list->len; index++) {
        if (!is_scalar(&list->items[index])) {
            return false;
        }
        term->values[term->values_count++] = &list->items[index];
    }
    return true;
}

// True: the clause holds only if its header equals a value of the term.
static bool
term_of(const struct clause *clause, struct term *term)
{
    bool fits =
        clause->kind == CLAUSE_PATH && clause->gate == GATE_NONE && clause->path.parts_count == 1;
    if (!fits) {
        return false;
    }
    *term = (struct term){.name = &clause->key};
    const struct condition *condition = &clause->conditions[0];
    if (!condition->is_map) {
        term->values[0] = &condition->literal;
        term->values_count = 1;
        return is_scalar(&condition->literal);
    }
    for (uint32_t index = 0; index < condition->clauses_count; index++) {
        term->values_count = 0;
        if (alternatives_of(&condition->clauses[index], term)) {
            return true;
        }
    }
    return false;
}

static struct posting *
find_posting(struct filter_index *index, const struct term *term, size_t value_index)
{
    struct header *header = map_get(index->headers, term->name->text, term->name->len);
    if (header == NULL || !token_of(term->values[value_index], &index->token)) {
        return NULL;
    }
    return map_get(header->tokens, index->token.data, index->token.len);
}

static size_t
count_filed(struct filter_index *index, const struct term *term)
{
    size_t count = 0;
    for (size_t value_index = 0; value_index < term->values_count; value_index++) {
        struct posting *posting = find_posting(index, term, value_index);
        count += posting != NULL ? posting->consumers.len : 0;
    }
    return count;
}

static struct posting *
make_posting(struct filter_index *index, const struct term *term, size_t value_index)
{
    struct posting *posting = find_posting(index, term, value_index);
    if (posting != NULL) {
        return posting;
    }
    struct header *header = map_get(index->headers, term->name->text, term->name->len);
    if (header == NULL) {
        header = xcalloc(1, sizeof *header);
        header->tokens = map_new();
        map_put(index->headers, term->name->text, term->name->len, header);
    }
    posting = xcalloc(1, sizeof *posting);
    posting->header = header;
    bytes_append(&posting->name, term->name->text, term->name->len);
    bool has_token = token_of(term->values[value_index], &index->token);
    zkt_assert(has_token);
    bytes_append(&posting->token, index->token.data, index->token.len);
    map_put(header->tokens, posting->token.data, posting->token.len, posting);
    header->text_count += posting->token.data[0] == 's';
    return posting;
}

static void
file_under(struct filed *filed, struct posting *posting)
{
    if (!numbers_add(&posting->consumers, filed->consumer)) {
        return; // another rule of this consumer is there already
    }
    if (filed->postings_count == filed->capacity) {
        filed->capacity = filed->capacity == 0 ? 2 : filed->capacity * 2;
        filed->postings = xrealloc(filed->postings, filed->capacity * sizeof *filed->postings);
    }
    filed->postings[filed->postings_count++] = posting;
}

static void
file_rule(struct filter_index *index, struct filed *filed, const struct rule *rule)
{
    struct term best;
    struct term term;
    size_t best_count = SIZE_MAX;
    for (uint32_t clause_index = 0; clause_index < rule->positives_count; clause_index++) {
        if (term_of(&rule->positives[clause_index], &term)) {
            size_t count = count_filed(index, &term);
            if (count < best_count) {
                best = term;
                best_count = count;
            }
        }
    }
    if (best_count == SIZE_MAX) {
        filed->is_always = true;
        return;
    }
    for (size_t value_index = 0; value_index < best.values_count; value_index++) {
        file_under(filed, make_posting(index, &best, value_index));
    }
}

struct filter_index *
filter_index_new(void)
{
    struct filter_index *index = xcalloc(1, sizeof *index);
    index->headers = map_new();
    index->filed = map_new();
    return index;
}

void
filter_index_add(struct filter_index *index, uint32_t consumer, const struct filter *filter)
{
    filter_index_remove(index, consumer);
    struct filed *filed = xcalloc(1, sizeof *filed);
    filed->consumer = consumer;
    map_put(index->filed, &consumer, sizeof consumer, filed);
    for (uint32_t rule_index = 0; rule_index < filter->rules_count; rule_index++) {
        file_rule(index, filed, &filter->rules[rule_index]);
    }
    if (filed->is_always) {
        numbers_add(&index->always, consumer);
    }
}

static void
drop_posting(struct filter_index *index, struct posting *posting)
{
    struct header *header = posting->header;
    map_remove(header->tokens, posting->token.data, posting->token.len);
    header->text_count -= posting->token.data[0] == 's';
    if (map_len(header->tokens) == 0) {
        map_remove(index->headers, posting->name.data, posting->name.len);
        map_destroy(&header->tokens);
        free(header);
    }
    bytes_fini(&posting->name);
    bytes_fini(&posting->token);
    free(posting->consumers.items);
    free(posting);
}

void
filter_index_remove(struct filter_index *index, uint32_t consumer)
{
    struct filed *filed = map_remove(index->filed, &consumer, sizeof consumer);
    if (filed == NULL) {
        return;
    }
    for (size_t posting_index = 0; posting_index < filed->postings_count; posting_index++) {
        struct posting *posting = filed->postings[posting_index];
        numbers_remove(&posting->consumers, consumer);
        if (posting->consumers.len == 0) {
            drop_posting(index, posting);
        }
    }
    if (filed->is_always) {
        numbers_remove(&index->always, consumer);
    }
    free(filed->postings);
    free(filed);
}

void
filter_index_destroy(struct filter_index **index_p)
{
    struct filter_index *index = *index_p;
    if (index == NULL) {
        return;
    }
    struct map_cursor cursor = {0};
    while (map_next(index->filed, &cursor)) {
        struct filed *filed = cursor.value;
        filter_index_remove(index, filed->consumer);
    }
    zkt_assert(map_len(index->headers) == 0);
    map_destroy(&index->headers);
    map_destroy(&index->filed);
    free(index->always.items);
    free(index->found.items);
    bytes_fini(&index->token);
    free(index);
    *index_p = NULL;
}

// Adds who is filed under the token that index->token holds.
static void
collect_token(struct filter_index *index, const struct header *header)
{
    const struct posting *posting = map_get(header->tokens, index->token.data, index->token.len);
    if (posting == NULL) {
        return;
    }
    const struct numbers *consumers = &posting->consumers;
    numbers_reserve(&index->found, consumers->len);
    memcpy(index->found.items + index->found.len, consumers->items,
           consumers->len * sizeof *consumers->items);
    index->found.len += consumers->len;
}

static void
collect_value(struct filter_index *index, const struct header *header, const struct value *value)
{
    if (token_of(value, &index->token)) {
        collect_token(index, header);
    }
}

static void
collect_header(struct filter_index *index, const struct header *header, const struct value *value)
{
    if (value->type == VALUE_LIST) {
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            collect_value(index, header, &value->items[item_index]);
        }
        return;
    }
    collect_value(index, header, value);
    if (value->type != VALUE_STRING && header->text_count > 0) {
        int64_t steps = LIMIT_FILTER_STEPS;
        bytes_clear(&index->token);
        bytes_append_byte(&index->token, 's');
        (void)python_str(value, &index->token, &steps);
        collect_token(index, header);
    }
}

static int
compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

size_t
filter_index_candidates(struct filter_index *index, const struct value *headers,
                        uint32_t **consumers, size_t *capacity)
{
    zkt_assert(headers->type == VALUE_MAP);
    index->found.len = 0;
    for (uint32_t member_index = 0; member_index < headers->len; member_index++) {
        const struct member *member = &headers->members[member_index];
        const struct header *header = map_get(index->headers, member->key.text, member->key.len);
        if (header != NULL) {
            collect_header(index, header, &member->value);
        }
    }
    const struct numbers *found = &index->found;
    const struct numbers *always = &index->always;
    if (found->len > 1) {
        qsort(found->items, found->len, sizeof *found->items, compare_numbers);
    }
    if (found->len + always->len > *capacity) {
        *capacity = found->len + always->len;
        *consumers = xrealloc(*consumers, *capacity * sizeof **consumers);
    }
    // Merge two ascending rows, each number once.
    size_t count = 0;
    size_t found_at = 0;
    size_t always_at = 0;
    while (found_at < found->len || always_at < always->len) {
        bool from_found =
            always_at == always->len ||
            (found_at < found->len && found->items[found_at] <= always->items[always_at]);
        uint32_t number = from_found ? found->items[found_at++] : always->items[always_at++];
        if (count == 0 || (*consumers)[count - 1] != number) {
            (*consumers)[count++] = number;
        }
    }
    return count;
}
