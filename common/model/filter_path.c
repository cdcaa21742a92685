// Dotted keys. Recursion goes one list deeper each time, and values are at most LIMIT_VALUE_DEPTH
// deep.
#include "model/filter_path.h"

#include <string.h>

#include "model/python.h"
#include "model/unicode.h"

enum { INT_DIGITS_MAX = 4300 }; // of int(text) in Python

static const int64_t INDEX_MAX = INT64_MAX / 16;

static bool
is_blank(uint32_t point)
{
    return point < 0x80 ? point == ' ' || (point >= '\t' && point <= '\r') : point_is_space(point);
}

// int(name): blanks around, a sign, digits of any script, single underscores between digits.
static bool
parse_index(const char *name, size_t len, int64_t *index)
{
    const uint8_t *at = (const uint8_t *)name;
    const uint8_t *end = at + len;
    int64_t number = 0;
    uint32_t digits_count = 0;
    bool is_negative = false;
    bool had_sign = false;
    bool after_digit = false;
    bool is_over = false;
    while (at < end) {
        uint32_t point = point_next(&at, end);
        int digit = point_digit(point);
        if (is_blank(point)) {
            if ((had_sign && digits_count == 0) || (digits_count > 0 && !after_digit)) {
                return false;
            }
            is_over = digits_count > 0;
        } else if (is_over) {
            return false;
        } else if (digit >= 0) {
            digits_count++;
            after_digit = true;
            number = number > INDEX_MAX ? number : number * 10 + digit;
        } else if ((point == '-' || point == '+') && !had_sign && digits_count == 0) {
            had_sign = true;
            is_negative = point == '-';
        } else if (point == '_' && after_digit) {
            after_digit = false;
        } else {
            return false;
        }
    }
    *index = is_negative ? -number : number;
    return after_digit && digits_count <= INT_DIGITS_MAX;
}

static bool
all_digits(const char *name, size_t len)
{
    const uint8_t *at = (const uint8_t *)name;
    const uint8_t *end = at + len;
    while (at < end) {
        if (!point_is_digit(point_next(&at, end))) {
            return false;
        }
    }
    return len > 0;
}

struct path
path_split(struct arena *arena, const struct value *key)
{
    uint32_t parts_count = 1;
    for (uint32_t byte_index = 0; byte_index < key->len; byte_index++) {
        parts_count += key->text[byte_index] == '.';
    }
    struct path path = {.parts = arena_alloc(arena, parts_count * sizeof *path.parts),
                        .parts_count = parts_count};
    const char *at = key->text;
    const char *end = key->text + key->len;
    for (uint32_t part_index = 0; part_index < parts_count; part_index++) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        size_t len = (size_t)((dot != NULL ? dot : end) - at);
        struct path_part *part = &path.parts[part_index];
        *part = (struct path_part){.name = at, .len = (uint32_t)len};
        part->is_index = parse_index(at, len, &part->index);
        part->is_digits = all_digits(at, len);
        at += len + 1;
    }
    return path;
}

static const struct value *
member_of(const struct value *map, const struct path_part *part, int64_t *steps)
{
    *steps -= 1 + map->len / 8;
    return value_get_n(map, part->name, part->len);
}

// list[index], NULL: IndexError.
static const struct value *
item_at(const struct value *list, int64_t index)
{
    if (index < 0) {
        index += list->len;
    }
    return index >= 0 && index < list->len ? &list->items[index] : NULL;
}

// Where a walk makes its walk, and its budget.
struct walk {
    struct arena *arena;
    int64_t *steps;
};

// False: an IndexError anywhere, which makes the whole answer undefined.
static bool
extract(const struct path *path, uint32_t part_index, const struct value *entry, struct walk *walk,
        struct value *out);

static bool
extract_each(const struct path *path, uint32_t part_index, const struct value *list,
             struct walk *walk, struct value *out)
{
    *out = value_list();
    for (uint32_t item_index = 0; item_index < list->len; item_index++) {
        struct value item;
        if (!extract(path, part_index, &list->items[item_index], walk, &item)) {
            return false;
        }
        if (*walk->steps < 0) {
            return false;
        }
        value_append(walk->arena, out, item);
    }
    return true;
}

static bool
extract(const struct path *path, uint32_t part_index, const struct value *entry, struct walk *walk,
        struct value *out)
{
    --*walk->steps;
    for (; part_index < path->parts_count && entry->type != VALUE_NULL; part_index++) {
        const struct path_part *part = &path->parts[part_index];
        const struct value *next = NULL;
        if (entry->type == VALUE_LIST && !part->is_index) {
            return extract_each(path, part_index, entry, walk, out);
        }
        if (entry->type == VALUE_LIST) {
            next = item_at(entry, part->index);
            if (next == NULL) {
                return false;
            }
        } else if (entry->type == VALUE_MAP) {
            next = member_of(entry, part, walk->steps);
        }
        if (next == NULL) {
            *out = python_undefined();
            return true;
        }
        entry = next;
    }
    *out = *entry;
    return true;
}

void
path_extract(const struct path *path, const struct value *entry, struct arena *arena,
             int64_t *steps, struct value *out)
{
    struct walk walk = {.arena = arena, .steps = steps};
    if (!extract(path, 0, entry, &walk, out)) {
        *out = python_undefined();
    }
}

static enum path_exists
exists_from(const struct path *path, uint32_t part_index, const struct value *entry, bool is_nan,
            int64_t *steps);

static enum path_exists
exists_in_each(const struct path *path, uint32_t part_index, const struct value *list, bool is_nan,
               int64_t *steps)
{
    for (uint32_t item_index = 0; item_index < list->len && *steps >= 0; item_index++) {
        enum path_exists found =
            exists_from(path, part_index, &list->items[item_index], is_nan, steps);
        if (found == PATH_RAISED || (found == PATH_PRESENT && !is_nan)) {
            return found;
        }
    }
    return PATH_ABSENT;
}

static bool
has_character(const struct value *string, int64_t index)
{
    const uint8_t *at = (const uint8_t *)string->text;
    const uint8_t *end = at + string->len;
    for (; at < end && index > 0; index--) {
        (void)point_next(&at, end);
    }
    return at < end;
}

// One step into a sequence by an index. *entry becomes what lies there.
static enum path_exists
step_into(const struct path_part *part, const struct value **entry)
{
    // Stands for any single character: only that it is one matters to the steps behind.
    static const struct value character = {.type = VALUE_STRING, .len = 1, .text = "c"};
    if (!part->is_index) {
        return PATH_RAISED; // "²".isdigit(), but int("²") raises
    }
    if ((*entry)->type == VALUE_STRING) {
        if (!has_character(*entry, part->index)) {
            return PATH_ABSENT;
        }
        *entry = &character;
        return PATH_PRESENT;
    }
    *entry = item_at(*entry, part->index);
    return *entry != NULL ? PATH_PRESENT : PATH_ABSENT;
}

static enum path_exists
exists_from(const struct path *path, uint32_t part_index, const struct value *entry, bool is_nan,
            int64_t *steps)
{
    for (; part_index < path->parts_count; part_index++) {
        const struct path_part *part = &path->parts[part_index];
        --*steps;
        if (entry->type == VALUE_LIST && !part->is_digits) {
            return exists_in_each(path, part_index, entry, is_nan, steps);
        }
        if (entry->type == VALUE_STRING && !part->is_digits) {
            // A character is a sequence of itself: Python recurses until it raises.
            return entry->len > 0 ? PATH_RAISED : PATH_ABSENT;
        }
        if (entry->type == VALUE_LIST || entry->type == VALUE_STRING) {
            enum path_exists found = step_into(part, &entry);
            if (found != PATH_PRESENT) {
                return found;
            }
            continue;
        }
        entry = entry->type == VALUE_MAP ? member_of(entry, part, steps) : NULL;
        if (entry == NULL) {
            return PATH_ABSENT;
        }
    }
    return PATH_PRESENT;
}

enum path_exists
path_exists(const struct path *path, const struct value *entry, bool is_nan, int64_t *steps)
{
    return exists_from(path, 0, entry, is_nan, steps);
}
