#include "model/filter_class.h"

#include <string.h>

struct reader {
    const uint32_t *points;
    size_t len;
    size_t at;
    struct problem *problem;
};

static int
hex_digit(uint32_t point)
{
    if (point >= '0' && point <= '9') {
        return (int)(point - '0');
    }
    uint32_t lower = point | 0x20;
    return point < 0x80 && lower >= 'a' && lower <= 'f' ? (int)(lower - 'a' + 10) : -1;
}

bool
regex_escape(const uint32_t *points, size_t len, size_t *at, uint32_t *point)
{
    static const char letters[] = "afnrtv\\";
    static const char meanings[] = "\a\f\n\r\t\v\\";
    if (*at >= len || points[*at] >= 0x80 || points[*at] == 0) {
        return false;
    }
    char letter = (char)points[*at];
    const char *found = strchr(letters, letter);
    if (found != NULL) {
        *point = (uint32_t)meanings[found - letters];
        *at += 1;
        return true;
    }
    size_t digits_count = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (digits_count == 0 || len - *at - 1 < digits_count) {
        return false;
    }
    uint64_t number = 0;
    for (size_t digit_index = 0; digit_index < digits_count; digit_index++) {
        int digit = hex_digit(points[*at + 1 + digit_index]);
        if (digit < 0) {
            return false;
        }
        number = number * 16 + (uint64_t)digit;
    }
    if (number > 0x10ffff) {
        return false;
    }
    *point = (uint32_t)number;
    *at += 1 + digits_count;
    return true;
}

static bool
is_octal(uint32_t point)
{
    return point >= '0' && point <= '7';
}

// What stands behind a backslash within a class.
static enum zkt_err
escaped_item(struct reader *reader, struct class_item *item)
{
    if (reader->at >= reader->len) {
        return problem_set(reader->problem, ZKT_FILTER_INVALID, "backslash at the end");
    }
    uint32_t point = reader->points[reader->at];
    if (point < 0x80 && point != 0 && strchr("dDwWsS", (char)point) != NULL) {
        item->escape = (char)point;
        reader->at++;
        return ZKT_OK;
    }
    if (regex_escape(reader->points, reader->len, &reader->at, &item->first)) {
        return ZKT_OK;
    }
    if (point == 'b') {
        item->first = '\b';
        reader->at++;
        return ZKT_OK;
    }
    if (is_octal(point)) {
        uint32_t number = 0;
        for (int digits_count = 0;
             digits_count < 3 && reader->at < reader->len && is_octal(reader->points[reader->at]);
             digits_count++) {
            number = number * 8 + reader->points[reader->at++] - '0';
        }
        item->first = number;
        return number <= 0377 ? ZKT_OK
                              : problem_set(reader->problem, ZKT_FILTER_INVALID,
                                            "octal escape above \\377 in a class");
    }
    bool is_letter = (point | 0x20) >= 'a' && (point | 0x20) <= 'z';
    if (point < 0x80 && (is_letter || (point >= '0' && point <= '9'))) {
        return problem_set(reader->problem, ZKT_FILTER_INVALID, "bad escape \\%c in a class",
                           (char)point);
    }
    item->first = point;
    reader->at++;
    return ZKT_OK;
}

static enum zkt_err
one_item(struct reader *reader, struct class_item *item)
{
    *item = (struct class_item){0};
    uint32_t point = reader->points[reader->at++];
    enum zkt_err err = ZKT_OK;
    if (point == '\\') {
        err = escaped_item(reader, item);
    } else {
        item->first = point;
    }
    item->last = item->first;
    return err;
}

// Behind an item: a range goes on with '-' and another item, unless ']' follows the '-'.
static enum zkt_err
maybe_range(struct reader *reader, struct class_item *item)
{
    const uint32_t *points = reader->points;
    size_t at = reader->at;
    if (at >= reader->len || points[at] != '-') {
        return ZKT_OK;
    }
    if (at + 1 >= reader->len) {
        return problem_set(reader->problem, ZKT_FILTER_INVALID, "class without its ]");
    }
    if (points[at + 1] == ']') {
        return ZKT_OK;
    }
    reader->at++;
    struct class_item end;
    enum zkt_err err = one_item(reader, &end);
    if (err != ZKT_OK) {
        return err;
    }
    if (item->escape != 0 || end.escape != 0 || end.first < item->first) {
        return problem_set(reader->problem, ZKT_FILTER_INVALID, "bad range in a class");
    }
    item->last = end.first;
    return ZKT_OK;
}

static void
append_item(struct arena *arena, struct class_set *set, struct class_item item)
{
    size_t count = set->items_count;
    if (count == 0 || (count >= 4 && (count & (count - 1)) == 0)) {
        struct class_item *items = arena_alloc(arena, (count == 0 ? 4 : count * 2) * sizeof *items);
        if (count > 0) {
            memcpy(items, set->items, count * sizeof *items);
        }
        set->items = items;
    }
    set->items[set->items_count++] = item;
}

enum zkt_err
class_parse(const uint32_t *points, size_t len, size_t *at, struct arena *arena,
            struct class_set *set, struct problem *problem)
{
    struct reader reader = {.points = points, .len = len, .at = *at, .problem = problem};
    *set = (struct class_set){0};
    if (reader.at < len && points[reader.at] == '^') {
        set->is_negated = true;
        reader.at++;
    }
    while (reader.at < len && (points[reader.at] != ']' || set->items_count == 0)) {
        struct class_item item;
        enum zkt_err err = one_item(&reader, &item);
        if (err == ZKT_OK) {
            err = maybe_range(&reader, &item);
        }
        if (err != ZKT_OK) {
            return err;
        }
        append_item(arena, set, item);
    }
    if (reader.at >= len) {
        return problem_set(problem, ZKT_FILTER_INVALID, "class without its ]");
    }
    *at = reader.at + 1;
    return ZKT_OK;
}
