#include "model/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"

struct value
value_null(void)
{
    return (struct value){.type = VALUE_NULL};
}

struct value
value_bool(bool boolean)
{
    return (struct value){.type = VALUE_BOOL, .boolean = boolean};
}

struct value
value_int(int64_t integer)
{
    return (struct value){.type = VALUE_INT, .integer = integer};
}

struct value
value_uint(struct arena *arena, uint64_t integer)
{
    if (integer <= INT64_MAX) {
        return value_int((int64_t)integer);
    }
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRIu64, integer);
    struct value value = value_string(arena, text, (size_t)len);
    value.type = VALUE_BIGINT;
    return value;
}

struct value
value_double(double number)
{
    return (struct value){.type = VALUE_DOUBLE, .number = number};
}

// Digits behind the sign that fit int64_t; false: they do not.
static bool
digits_fit(const char *digits, size_t len, bool is_negative, int64_t *out)
{
    if (len > 19) {
        return false;
    }
    uint64_t magnitude = 0;
    for (size_t digit_index = 0; digit_index < len; digit_index++) {
        magnitude = magnitude * 10 + (uint64_t)(digits[digit_index] - '0');
    }
    if (magnitude > (uint64_t)INT64_MAX + is_negative) {
        return false;
    }
    *out = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool
value_bigint(struct arena *arena, const char *text, size_t len, struct value *out)
{
    bool is_negative = len > 0 && text[0] == '-';
    const char *digits = text + is_negative;
    size_t digits_len = len - is_negative;
    if (digits_len == 0 || digits_len > LIMIT_BIGINT_DIGITS) {
        return false;
    }
    for (size_t digit_index = 0; digit_index < digits_len; digit_index++) {
        if (digits[digit_index] < '0' || digits[digit_index] > '9') {
            return false;
        }
    }
    while (digits_len > 1 && digits[0] == '0') {
        digits++;
        digits_len--;
    }
    int64_t integer;
    if (digits_fit(digits, digits_len, is_negative, &integer)) {
        *out = value_int(integer);
        return true;
    }
    char *copy = arena_alloc(arena, digits_len + 2);
    copy[0] = '-';
    memcpy(copy + is_negative, digits, digits_len);
    copy[digits_len + is_negative] = '\0';
    *out = (struct value){
        .type = VALUE_BIGINT, .len = (uint32_t)(digits_len + is_negative), .text = copy};
    return true;
}

struct value
value_text(struct arena *arena, const char *text)
{
    return value_string(arena, text, strlen(text));
}

struct value
value_string(struct arena *arena, const void *data, size_t len)
{
    zkt_assert(len <= UINT32_MAX);
    return (struct value){
        .type = VALUE_STRING, .len = (uint32_t)len, .text = arena_copy(arena, data, len)};
}

struct value
value_resource(uint32_t resource_index)
{
    return (struct value){.type = VALUE_RESOURCE, .resource_index = resource_index};
}

struct value
value_list(void)
{
    return (struct value){.type = VALUE_LIST};
}

struct value
value_map(void)
{
    return (struct value){.type = VALUE_MAP};
}

// Capacity is implied by the length: 4, then the next power of two.
static bool
is_full(uint32_t len)
{
    return len == 0 || (len >= 4 && (len & (len - 1)) == 0);
}

uint32_t
value_capacity(uint32_t len)
{
    uint32_t capacity = 4;
    while (capacity < len) {
        capacity *= 2;
    }
    return capacity;
}

static void *
grown(struct arena *arena, const void *items, uint32_t len, size_t item_size)
{
    size_t capacity = len == 0 ? 4 : (size_t)len * 2;
    void *moved = arena_alloc(arena, capacity * item_size);
    if (len > 0) {
        memcpy(moved, items, len * item_size);
    }
    return moved;
}

void
value_append(struct arena *arena, struct value *list, struct value item)
{
    zkt_assert(list->type == VALUE_LIST);
    if (is_full(list->len)) {
        list->items = grown(arena, list->items, list->len, sizeof *list->items);
    }
    list->items[list->len++] = item;
}

static struct member *
find_member(const struct value *map, const void *key, size_t key_len)
{
    if (map == NULL || map->type != VALUE_MAP) {
        return NULL;
    }
    for (uint32_t member_index = 0; member_index < map->len; member_index++) {
        struct member *member = &map->members[member_index];
        if (member->key.len == key_len && memcmp(member->key.text, key, key_len) == 0) {
            return member;
        }
    }
    return NULL;
}

void
value_put(struct arena *arena, struct value *map, const char *key, struct value item)
{
    struct member *member = find_member(map, key, strlen(key));
    if (member != NULL) {
        member->value = item;
        return;
    }
    value_put_key(arena, map, value_text(arena, key), item);
}

void
value_put_key(struct arena *arena, struct value *map, struct value key, struct value item)
{
    zkt_assert(map->type == VALUE_MAP);
    zkt_assert(key.type == VALUE_STRING);
    struct member *member = find_member(map, key.text, key.len);
    if (member != NULL) {
        member->value = item;
        return;
    }
    if (is_full(map->len)) {
        map->members = grown(arena, map->members, map->len, sizeof *map->members);
    }
    map->members[map->len++] = (struct member){.key = key, .value = item};
}

bool
value_remove(struct value *map, const char *key)
{
    return value_remove_n(map, key, strlen(key));
}

bool
value_remove_n(struct value *map, const void *key, size_t key_len)
{
    struct member *member = find_member(map, key, key_len);
    if (member == NULL) {
        return false;
    }
    size_t behind = (size_t)(map->members + map->len - member - 1);
    memmove(member, member + 1, behind * sizeof *member);
    map->len--;
    // The implied capacity must not grow: when the length falls on a boundary the next append moves
    // the members anyway.
    return true;
}

const struct value *
value_get(const struct value *map, const char *key)
{
    return value_get_n(map, key, strlen(key));
}

const struct value *
value_get_n(const struct value *map, const void *key, size_t key_len)
{
    const struct member *member = find_member(map, key, key_len);
    return member != NULL ? &member->value : NULL;
}

static const struct value *
list_item(const struct value *list, const char *digits, size_t len)
{
    size_t item_index = 0;
    if (len == 0 || len > 9) {
        return NULL;
    }
    for (size_t digit_index = 0; digit_index < len; digit_index++) {
        if (digits[digit_index] < '0' || digits[digit_index] > '9') {
            return NULL;
        }
        item_index = item_index * 10 + (size_t)(digits[digit_index] - '0');
    }
    return item_index < list->len ? &list->items[item_index] : NULL;
}

const struct value *
value_path(const struct value *value, const char *path)
{
    while (value != NULL) {
        const char *dot = strchrnul(path, '.');
        size_t len = (size_t)(dot - path);
        value =
            value->type == VALUE_LIST ? list_item(value, path, len) : value_get_n(value, path, len);
        if (*dot == '\0') {
            return value;
        }
        path = dot + 1;
    }
    return NULL;
}

// The depth of a value is bounded by LIMIT_VALUE_DEPTH where it was decoded, so these may recurse.
struct value
value_copy(struct arena *arena, const struct value *value)
{
    struct value copy = *value;
    switch (value->type) {
    case VALUE_STRING:
    case VALUE_BIGINT:
        copy.text = arena_copy(arena, value->text, value->len);
        break;
    case VALUE_LIST:
        copy.len = 0;
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            value_append(arena, &copy, value_copy(arena, &value->items[item_index]));
        }
        break;
    case VALUE_MAP:
        copy.len = 0;
        for (uint32_t member_index = 0; member_index < value->len; member_index++) {
            const struct member *member = &value->members[member_index];
            if (is_full(copy.len)) {
                copy.members = grown(arena, copy.members, copy.len, sizeof *copy.members);
            }
            copy.members[copy.len++] = (struct member){.key = value_copy(arena, &member->key),
                                                       .value = value_copy(arena, &member->value)};
        }
        break;
    default:
        break;
    }
    return copy;
}

bool
value_is_number(const struct value *value)
{
    return value->type == VALUE_BOOL || value->type == VALUE_INT || value->type == VALUE_BIGINT ||
           value->type == VALUE_DOUBLE;
}

int64_t
value_small_integer(const struct value *value)
{
    return value->type == VALUE_BOOL ? value->boolean : value->integer;
}

// An integer of any size against a double, exactly, as Python compares them.
static bool
integer_equals_double(const struct value *integer, double number)
{
    if (!isfinite(number) || number != floor(number)) {
        return false;
    }
    if (integer->type != VALUE_BIGINT) {
        return number >= -0x1p63 && number < 0x1p63 &&
               (int64_t)number == value_small_integer(integer);
    }
    char text[320];
    int len = snprintf(text, sizeof text, "%.0f", number);
    return len == (int)integer->len && memcmp(text, integer->text, (size_t)len) == 0;
}

static bool
numbers_equal(const struct value *a, const struct value *b)
{
    if (a->type == VALUE_DOUBLE && b->type == VALUE_DOUBLE) {
        return a->number == b->number;
    }
    if (a->type == VALUE_DOUBLE) {
        return integer_equals_double(b, a->number);
    }
    if (b->type == VALUE_DOUBLE) {
        return integer_equals_double(a, b->number);
    }
    if (a->type == VALUE_BIGINT || b->type == VALUE_BIGINT) {
        return a->type == b->type && a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
    }
    return value_small_integer(a) == value_small_integer(b);
}

static bool
lists_match(const struct value *a, const struct value *b,
            bool (*match)(const struct value *, const struct value *))
{
    for (uint32_t item_index = 0; item_index < a->len; item_index++) {
        if (!match(&a->items[item_index], &b->items[item_index])) {
            return false;
        }
    }
    return true;
}

// In a container Python asks for identity first, and json makes one NaN for all: [NaN] == [NaN].
static bool
equal_inside(const struct value *a, const struct value *b)
{
    bool are_nan =
        a->type == VALUE_DOUBLE && b->type == VALUE_DOUBLE && isnan(a->number) && isnan(b->number);
    return are_nan || value_equal(a, b);
}

static int
compare_members(const void *a, const void *b)
{
    const struct member *const *left = a;
    const struct member *const *right = b;
    return span_compare(span_of((*left)->key.text, (*left)->key.len),
                        span_of((*right)->key.text, (*right)->key.len));
}

static const struct member **
sorted_members(const struct value *map)
{
    const struct member **sorted = xmalloc(map->len * sizeof(const struct member *));
    for (uint32_t member_index = 0; member_index < map->len; member_index++) {
        sorted[member_index] = &map->members[member_index];
    }
    qsort(sorted, map->len, sizeof(const struct member *), compare_members);
    return sorted;
}

// Many keys are compared sorted: searching each would take a hostile peer's map squared.
static bool
large_maps_equal(const struct value *a, const struct value *b)
{
    const struct member **left = sorted_members(a);
    const struct member **right = sorted_members(b);
    bool are_equal = true;
    for (uint32_t member_index = 0; are_equal && member_index < a->len; member_index++) {
        are_equal = compare_members(&left[member_index], &right[member_index]) == 0 &&
                    equal_inside(&left[member_index]->value, &right[member_index]->value);
    }
    free(left);
    free(right);
    return are_equal;
}

static bool
maps_equal(const struct value *a, const struct value *b)
{
    enum { FEW = 32 };
    if (a->len > FEW) {
        return large_maps_equal(a, b);
    }
    for (uint32_t member_index = 0; member_index < a->len; member_index++) {
        const struct member *member = &a->members[member_index];
        const struct value *other = value_get_n(b, member->key.text, member->key.len);
        if (other == NULL || !equal_inside(&member->value, other)) {
            return false;
        }
    }
    return true;
}

bool
value_equal(const struct value *a, const struct value *b)
{
    if (value_is_number(a) && value_is_number(b)) {
        return numbers_equal(a, b);
    }
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case VALUE_NULL:
        return true;
    case VALUE_STRING:
        return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
    case VALUE_LIST:
        return a->len == b->len && lists_match(a, b, equal_inside);
    case VALUE_MAP:
        return a->len == b->len && maps_equal(a, b);
    case VALUE_RESOURCE:
        return a->resource_index == b->resource_index;
    default:
        return false;
    }
}

static bool
members_same(const struct value *a, const struct value *b)
{
    for (uint32_t member_index = 0; member_index < a->len; member_index++) {
        if (!value_same(&a->members[member_index].key, &b->members[member_index].key) ||
            !value_same(&a->members[member_index].value, &b->members[member_index].value)) {
            return false;
        }
    }
    return true;
}

bool
value_same(const struct value *a, const struct value *b)
{
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_INT:
        return a->integer == b->integer;
    case VALUE_DOUBLE:
        return (isnan(a->number) && isnan(b->number)) ||
               (a->number == b->number && !signbit(a->number) == !signbit(b->number));
    case VALUE_BIGINT:
    case VALUE_STRING:
        return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
    case VALUE_LIST:
        return a->len == b->len && lists_match(a, b, value_same);
    case VALUE_MAP:
        return a->len == b->len && members_same(a, b);
    case VALUE_RESOURCE:
        break;
    }
    return a->resource_index == b->resource_index;
}

bool
value_is_text(const struct value *value, const char *text)
{
    return value != NULL && value->type == VALUE_STRING && value->len == strlen(text) &&
           memcmp(value->text, text, value->len) == 0;
}

const char *
value_type_name(const struct value *value)
{
    static const char *const names[] = {
        [VALUE_NULL] = "null",      [VALUE_BOOL] = "boolean",  [VALUE_INT] = "integer",
        [VALUE_BIGINT] = "integer", [VALUE_DOUBLE] = "number", [VALUE_STRING] = "string",
        [VALUE_LIST] = "list",      [VALUE_MAP] = "map",       [VALUE_RESOURCE] = "resource",
    };
    return names[value->type];
}
