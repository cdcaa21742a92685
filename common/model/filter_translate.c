// Python's regular expressions as PCRE2 patterns. The whole syntax is read here, so that nothing
// passes which Python refuses and nothing that PCRE2 alone knows: each piece is written anew, with
// groups by number, classes as ranges, and the anchors that mean the same. Widths are counted
// because Python wants lookbehinds of one width over all alternatives where PCRE2 is content with
// one width each.
#include <string.h>

#include "base/limits.h"
#include "model/filter_class.h"
#include "model/filter_regex.h"
#include "model/filter_translator.h"
#include "model/unicode.h"

#define refuse(t, ...) problem_set((t)->problem, ZKT_FILTER_INVALID, __VA_ARGS__)

static bool
at_end(const struct translator *t)
{
    return t->at >= t->len;
}

static uint32_t
peek(const struct translator *t, size_t ahead)
{
    return t->at + ahead < t->len ? t->points[t->at + ahead] : UINT32_MAX;
}

static bool
accept(struct translator *t, char wanted)
{
    if (peek(t, 0) != (uint32_t)wanted) {
        return false;
    }
    t->at++;
    return true;
}

static bool
is_decimal(uint32_t point)
{
    return point >= '0' && point <= '9';
}

static bool
is_octal(uint32_t point)
{
    return point >= '0' && point <= '7';
}

static struct level *
level_of(struct translator *t)
{
    return &t->levels[t->depth];
}

static uint64_t
saturated(uint64_t width)
{
    return width < WIDTH_MAX ? width : WIDTH_MAX;
}

static void
flush_last(struct level *level)
{
    level->branch.min = saturated(level->branch.min + level->last.min);
    level->branch.max = saturated(level->branch.max + level->last.max);
    level->last = (struct width){0, 0};
}

static void
begin_piece(struct translator *t, enum piece piece, uint64_t width_min, uint64_t width_max)
{
    struct level *level = level_of(t);
    flush_last(level);
    level->last = (struct width){width_min, width_max};
    level->piece = piece;
    t->flags_allowed = false;
}

static void
write_point(struct translator *t, uint32_t point)
{
    bool is_surrogate = point >= SURROGATE_FIRST && point <= SURROGATE_LAST;
    if (is_surrogate) {
        point = point - SURROGATE_FIRST + SURROGATE_STAND_IN;
    }
    bool is_word = is_decimal(point) || ((point | 0x20) >= 'a' && (point | 0x20) <= 'z');
    if (point >= 0x80 || is_word) {
        point_append(t->out, point);
    } else {
        bytes_printf(t->out, "\\x{%x}", point);
    }
}

static void
literal(struct translator *t, uint32_t point)
{
    begin_piece(t, PIECE_ITEM, 1, 1);
    write_point(t, point);
}

static void
anchor(struct translator *t, const char *text)
{
    begin_piece(t, PIECE_ANCHOR, 0, 0);
    bytes_append_text(t->out, text);
}

// Blanks as str.isspace() knows them: PCRE2's own \s lacks U+001C to U+001F.
static const char SPACES[] =
    "\\x{9}-\\x{d}\\x{1c}-\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
static const char NOT_SPACES[] =
    "\\x{0}-\\x{8}\\x{e}-\\x{1b}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"
    "\\x{3001}-\\x{10ffff}";

static void
write_class_escape(struct translator *t, char escape)
{
    if (escape == 's' || escape == 'S') {
        bytes_append_text(t->out, escape == 's' ? SPACES : NOT_SPACES);
    } else {
        bytes_printf(t->out, "\\%c", escape);
    }
}

// A range, with the stand-ins of the surrogates that it has.
static void
write_range(struct translator *t, uint32_t first, uint32_t last)
{
    bool has_surrogates = first <= SURROGATE_LAST && last >= SURROGATE_FIRST;
    if (!has_surrogates) {
        bytes_printf(t->out, "\\x{%x}-\\x{%x}", first, last);
        return;
    }
    if (first < SURROGATE_FIRST) {
        bytes_printf(t->out, "\\x{%x}-\\x{%x}", first, SURROGATE_FIRST - 1);
    }
    if (last > SURROGATE_LAST) {
        bytes_printf(t->out, "\\x{%x}-\\x{%x}", SURROGATE_LAST + 1, last);
    }
    uint32_t from = first > SURROGATE_FIRST ? first - SURROGATE_FIRST : 0;
    uint32_t to = (last < SURROGATE_LAST ? last : SURROGATE_LAST) - SURROGATE_FIRST;
    bytes_printf(t->out, "\\x{%x}-\\x{%x}", from + SURROGATE_STAND_IN, to + SURROGATE_STAND_IN);
}

static enum zkt_err
read_class(struct translator *t)
{
    struct class_set set;
    enum zkt_err err = class_parse(t->points, t->len, &t->at, t->arena, &set, t->problem);
    if (err != ZKT_OK) {
        return err;
    }
    begin_piece(t, PIECE_ITEM, 1, 1);
    bytes_append_text(t->out, set.is_negated ? "[^" : "[");
    for (size_t index = 0; index < set.items_count; index++) {
        if (set.items[index].escape != 0) {
            write_class_escape(t, set.items[index].escape);
        } else {
            write_range(t, set.items[index].first, set.items[index].last);
        }
    }
    bytes_append_byte(t->out, ']');
    return ZKT_OK;
}

// A group that may be referred to from here.
static enum zkt_err
check_reference(struct translator *t, uint64_t number)
{
    if (number == 0 || number >= t->captures_count) {
        return refuse(t, "reference to a group that is not there");
    }
    if (!t->captures[number].is_closed) {
        return refuse(t, "reference to a group that is still open");
    }
    uint32_t behind_from = level_of(t)->behind_from;
    if (behind_from != 0 && number >= behind_from) {
        return refuse(t, "reference to a group of the same lookbehind");
    }
    return ZKT_OK;
}

static enum zkt_err
back_reference(struct translator *t, uint64_t number)
{
    enum zkt_err err = check_reference(t, number);
    if (err == ZKT_OK) {
        struct width width = t->captures[number].width;
        begin_piece(t, PIECE_ITEM, width.min, width.max);
        bytes_printf(t->out, "\\g{%u}", (unsigned)number);
    }
    return err;
}

// Behind a backslash, at a digit: \0 and three octal digits are characters, the rest groups.
static enum zkt_err
number_escape(struct translator *t)
{
    uint32_t first = peek(t, 0);
    uint32_t second = peek(t, 1);
    uint32_t third = peek(t, 2);
    if (first == '0') {
        uint32_t point = 0;
        for (int digits_count = 0; digits_count < 3 && is_octal(peek(t, 0)); digits_count++) {
            point = point * 8 + t->points[t->at++] - '0';
        }
        literal(t, point);
        return ZKT_OK;
    }
    if (is_octal(first) && is_octal(second) && is_octal(third)) {
        uint32_t point = (first - '0') * 64 + (second - '0') * 8 + third - '0';
        if (point > 0377) {
            return refuse(t, "octal escape above \\377");
        }
        t->at += 3;
        literal(t, point);
        return ZKT_OK;
    }
    uint64_t number = first - '0';
    t->at++;
    if (is_decimal(second)) {
        number = number * 10 + second - '0';
        t->at++;
    }
    return back_reference(t, number);
}

static enum zkt_err
read_escape(struct translator *t)
{
    if (at_end(t)) {
        return refuse(t, "backslash at the end");
    }
    uint32_t point = peek(t, 0);
    if (is_decimal(point)) {
        return number_escape(t);
    }
    uint32_t meant;
    if (regex_escape(t->points, t->len, &t->at, &meant)) {
        literal(t, meant);
        return ZKT_OK;
    }
    t->at++;
    bool is_letter = (point | 0x20) >= 'a' && (point | 0x20) <= 'z';
    if (!is_letter) {
        literal(t, point);
        return ZKT_OK;
    }
    switch (point) {
    case 'A':
        anchor(t, "\\A");
        return ZKT_OK;
    case 'Z':
        anchor(t, "\\z");
        return ZKT_OK;
    case 'b':
        anchor(t, "\\b");
        return ZKT_OK;
    case 'B':
        anchor(t, "(?!\\A\\z)\\B"); // never in an empty string, says Python
        return ZKT_OK;
    case 'd':
    case 'D':
    case 'w':
    case 'W':
        begin_piece(t, PIECE_ITEM, 1, 1);
        bytes_printf(t->out, "\\%c", (char)point);
        return ZKT_OK;
    case 's':
    case 'S':
        begin_piece(t, PIECE_ITEM, 1, 1);
        bytes_printf(t->out, point == 's' ? "[%s]" : "[^%s]", SPACES);
        return ZKT_OK;
    case 'N':
        return refuse(t, "\\N{…} is not supported");
    default:
        return refuse(t, "bad escape \\%c", (char)point);
    }
}

// Digits at the place; false: none. Saturates far above every limit.
static bool
read_number(struct translator *t, uint64_t *number)
{
    size_t start = t->at;
    *number = 0;
    while (is_decimal(peek(t, 0))) {
        *number = *number > UINT32_MAX ? *number : *number * 10 + t->points[t->at] - '0';
        t->at++;
    }
    return t->at > start;
}

// "{m}", "{m,}", "{,n}", "{m,n}" behind the brace; false: the brace is a character.
static bool
read_braces(struct translator *t, uint64_t *least, uint64_t *most)
{
    size_t start = t->at;
    if (peek(t, 0) == '}') {
        return false;
    }
    bool has_least = read_number(t, least);
    if (accept(t, ',')) {
        if (!read_number(t, most)) {
            *most = REPEAT_ENDLESS;
        }
    } else {
        *most = *least;
        if (!has_least) {
            t->at = start;
            return false;
        }
    }
    if (!accept(t, '}')) {
        t->at = start;
        return false;
    }
    return true;
}

static void
write_repeat(struct translator *t, uint64_t least, uint64_t most)
{
    if (most == REPEAT_ENDLESS) {
        bytes_printf(t->out, "{%u,}", (unsigned)least);
    } else {
        bytes_printf(t->out, "{%u,%u}", (unsigned)least, (unsigned)most);
    }
    if (accept(t, '?')) {
        bytes_append_byte(t->out, '?');
    } else if (accept(t, '+')) {
        bytes_append_byte(t->out, '+');
    }
}

static enum zkt_err
repeat(struct translator *t, uint64_t least, uint64_t most)
{
    struct level *level = level_of(t);
    if (level->piece == PIECE_NONE || level->piece == PIECE_ANCHOR) {
        return refuse(t, "nothing to repeat");
    }
    if (level->piece == PIECE_REPEATED) {
        return refuse(t, "repeated twice");
    }
    if (most < least) {
        return refuse(t, "least repeat above the most");
    }
    if (least > REPEAT_MAX || (most > REPEAT_MAX && most != REPEAT_ENDLESS)) {
        return refuse(t, "repeats more than %d times", REPEAT_MAX);
    }
    level->last.min = saturated(level->last.min * least);
    bool is_empty = level->last.max == 0;
    level->last.max = is_empty                 ? 0
                      : most == REPEAT_ENDLESS ? WIDTH_MAX
                                               : saturated(level->last.max * most);
    level->piece = PIECE_REPEATED;
    write_repeat(t, least, most);
    return ZKT_OK;
}

static enum zkt_err
open_group(struct translator *t, enum group_kind kind, const char *text)
{
    if (t->depth + 1 >= GROUPS_DEPTH_MAX) {
        return refuse(t, "groups nested more than %d deep", GROUPS_DEPTH_MAX - 1);
    }
    uint32_t behind_from = level_of(t)->behind_from;
    if (kind == GROUP_LOOKBEHIND && behind_from == 0) {
        behind_from = t->captures_count;
    }
    begin_piece(t, PIECE_ITEM, 0, 0);
    t->depth++;
    *level_of(t) = (struct level){.kind = kind, .flags = t->flags, .behind_from = behind_from};
    bytes_append_text(t->out, text);
    return ZKT_OK;
}

static enum zkt_err
open_capture(struct translator *t, const uint32_t *name, size_t name_len)
{
    if (t->captures_count >= GROUPS_COUNT_MAX) {
        return refuse(t, "more than %d groups", GROUPS_COUNT_MAX - 1);
    }
    enum zkt_err err = open_group(t, GROUP_CAPTURE, "(");
    if (err == ZKT_OK) {
        level_of(t)->number = t->captures_count;
        t->captures[t->captures_count++] = (struct capture){.name = name, .name_len = name_len};
    }
    return err;
}

// A name up to `stop`: ASCII letters, digits and '_'.
static enum zkt_err
read_name(struct translator *t, char stop, const uint32_t **name, size_t *name_len)
{
    *name = t->points + t->at;
    size_t start = t->at;
    while (!at_end(t) && peek(t, 0) != (uint32_t)stop) {
        uint32_t point = t->points[t->at++];
        bool is_letter = (point | 0x20) >= 'a' && (point | 0x20) <= 'z';
        bool is_fit = is_letter || point == '_' || (is_decimal(point) && t->at - 1 > start);
        if (!is_fit) {
            return refuse(t, "bad character in the name of a group");
        }
    }
    *name_len = t->at - start;
    if (*name_len == 0 || !accept(t, stop)) {
        return refuse(t, "name of a group missing or without its end");
    }
    return ZKT_OK;
}

// 0: no group of that name.
static uint32_t
find_name(const struct translator *t, const uint32_t *name, size_t name_len)
{
    for (uint32_t number = 1; number < t->captures_count; number++) {
        const struct capture *capture = &t->captures[number];
        if (capture->name_len == name_len && name_len > 0 &&
            memcmp(capture->name, name, name_len * sizeof *name) == 0) {
            return number;
        }
    }
    return 0;
}

// Behind "(?P".
static enum zkt_err
named_group(struct translator *t)
{
    const uint32_t *name;
    size_t name_len;
    bool is_reference = accept(t, '=');
    if (!is_reference && !accept(t, '<')) {
        return refuse(t, "unknown group (?P…");
    }
    enum zkt_err err = read_name(t, is_reference ? ')' : '>', &name, &name_len);
    if (err != ZKT_OK) {
        return err;
    }
    uint32_t number = find_name(t, name, name_len);
    if (is_reference) {
        return number != 0 ? back_reference(t, number) : refuse(t, "unknown name of a group");
    }
    return number == 0 ? open_capture(t, name, name_len) : refuse(t, "name of a group used twice");
}

// Behind "(?(": a group's number or name, and ")".
static enum zkt_err
condition_group(struct translator *t)
{
    uint64_t number = 0;
    if (is_decimal(peek(t, 0))) {
        (void)read_number(t, &number);
        if (!accept(t, ')') || number == 0 || number >= GROUPS_COUNT_MAX) {
            return refuse(t, "bad group number in a condition");
        }
    } else {
        const uint32_t *name;
        size_t name_len;
        enum zkt_err err = read_name(t, ')', &name, &name_len);
        if (err != ZKT_OK) {
            return err;
        }
        number = find_name(t, name, name_len);
        if (number == 0) {
            return refuse(t, "unknown name of a group");
        }
    }
    if (level_of(t)->behind_from != 0) {
        enum zkt_err err = check_reference(t, number);
        if (err != ZKT_OK) {
            return err;
        }
    }
    if (number > t->condition_max) {
        t->condition_max = (uint32_t)number;
    }
    enum zkt_err err = open_group(t, GROUP_IF, "");
    if (err == ZKT_OK) {
        bytes_printf(t->out, "(?(%u)", (unsigned)number);
    }
    return err;
}

static enum zkt_err
read_flag_letters(struct translator *t, const char *letters, unsigned *flags)
{
    while (peek(t, 0) < 0x80 && peek(t, 0) != 0 && strchr(letters, (char)peek(t, 0)) != NULL) {
        uint32_t letter = t->points[t->at++];
        if (letter == 'a' || letter == 'L') {
            return refuse(t, "the flag %c is not supported", (char)letter);
        }
        *flags |= letter == 'i'   ? REGEX_CASELESS
                  : letter == 'm' ? REGEX_MULTILINE
                  : letter == 's' ? REGEX_DOTALL
                  : letter == 'x' ? REGEX_VERBOSE
                                  : 0U;
    }
    return ZKT_OK;
}

// Behind "(?" at a flag: "(?ims)" at the start, or "(?i-s:…".
static enum zkt_err
flags_group(struct translator *t)
{
    unsigned on = 0;
    unsigned off = 0;
    bool had_letters = peek(t, 0) != '-';
    enum zkt_err err = read_flag_letters(t, "imsxuaL", &on);
    if (err != ZKT_OK) {
        return err;
    }
    if (had_letters && accept(t, ')')) {
        if (!t->flags_allowed) {
            return refuse(t, "flags for the whole pattern belong at its start");
        }
        t->flags |= on;
        t->levels[0].flags = t->flags;
        return ZKT_OK;
    }
    if (accept(t, '-')) {
        size_t start = t->at;
        err = read_flag_letters(t, "imsx", &off);
        if (err == ZKT_OK && t->at == start) {
            err = refuse(t, "missing flag behind (?-");
        }
    }
    if (err != ZKT_OK) {
        return err;
    }
    if (!accept(t, ':') || (on & off) != 0) {
        return refuse(t, "unknown or contradicting flags");
    }
    unsigned wanted = (t->flags | on) & ~off;
    err = open_group(t, GROUP_PLAIN, wanted & REGEX_CASELESS ? "(?i:" : "(?-i:");
    t->flags = wanted;
    return err;
}

// Steps behind `stop`, over which a backslash carries; false: it is not there.
static bool
skip_behind(struct translator *t, char stop)
{
    while (!at_end(t)) {
        uint32_t point = t->points[t->at++];
        if (point == (uint32_t)stop) {
            return true;
        }
        t->at += point == '\\';
    }
    return false;
}

// Behind "(".
static enum zkt_err
read_group(struct translator *t)
{
    if (!accept(t, '?')) {
        return open_capture(t, NULL, 0);
    }
    if (accept(t, ':')) {
        return open_group(t, GROUP_PLAIN, "(?:");
    }
    if (accept(t, 'P')) {
        return named_group(t);
    }
    if (accept(t, '#')) {
        return skip_behind(t, ')') ? ZKT_OK : refuse(t, "comment without its )");
    }
    if (accept(t, '=')) {
        return open_group(t, GROUP_LOOK, "(?=");
    }
    if (accept(t, '!')) {
        return open_group(t, GROUP_LOOK, "(?!");
    }
    if (accept(t, '>')) {
        return open_group(t, GROUP_PLAIN, "(?>");
    }
    if (accept(t, '(')) {
        return condition_group(t);
    }
    if (accept(t, '<')) {
        bool is_negative = accept(t, '!');
        if (!is_negative && !accept(t, '=')) {
            return refuse(t, "unknown group (?<…");
        }
        return open_group(t, GROUP_LOOKBEHIND, is_negative ? "(?<!" : "(?<=");
    }
    if (at_end(t)) {
        return refuse(t, "group without its )");
    }
    uint32_t point = peek(t, 0);
    if (point == '-' || (point < 0x80 && point != 0 && strchr("imsxuaL", (char)point) != NULL)) {
        return flags_group(t);
    }
    return refuse(t, "unknown group (?%c…", point < 0x80 && point > 0x20 ? (char)point : '.');
}

// The alternatives of the level so far, this one included.
static void
end_branch(struct level *level)
{
    flush_last(level);
    if (level->branches_count == 0) {
        level->branches = level->branch;
    } else {
        level->branches.min =
            level->branch.min < level->branches.min ? level->branch.min : level->branches.min;
        level->branches.max =
            level->branch.max > level->branches.max ? level->branch.max : level->branches.max;
    }
    level->branches_count++;
    level->branch = (struct width){0, 0};
    level->piece = PIECE_NONE;
}

static enum zkt_err
read_bar(struct translator *t)
{
    end_branch(level_of(t));
    if (level_of(t)->kind == GROUP_IF && level_of(t)->branches_count > 1) {
        return refuse(t, "a condition has at most two branches");
    }
    t->flags_allowed = false;
    bytes_append_byte(t->out, '|');
    return ZKT_OK;
}

static enum zkt_err
close_group(struct translator *t)
{
    if (t->depth == 0) {
        return refuse(t, ") without its (");
    }
    struct level *level = level_of(t);
    end_branch(level);
    struct width width = level->branches;
    if (level->kind == GROUP_IF && level->branches_count == 1) {
        width.min = 0;
    }
    if (level->kind == GROUP_LOOKBEHIND && width.min != width.max) {
        return refuse(t, "a lookbehind must have one width");
    }
    if (level->kind == GROUP_CAPTURE) {
        t->captures[level->number].is_closed = true;
        t->captures[level->number].width = width;
    }
    bool is_look = level->kind == GROUP_LOOK || level->kind == GROUP_LOOKBEHIND;
    t->flags = level->flags;
    t->depth--;
    level_of(t)->last = is_look ? (struct width){0, 0} : width;
    bytes_append_byte(t->out, ')');
    return ZKT_OK;
}

// Blanks and comments of verbose patterns; false: the point is none.
static bool
skip_verbose(struct translator *t, uint32_t point)
{
    if (!(t->flags & REGEX_VERBOSE)) {
        return false;
    }
    if (point == '#') {
        (void)skip_behind(t, '\n');
        return true;
    }
    return point == ' ' || (point >= '\t' && point <= '\r');
}

static enum zkt_err
read_piece(struct translator *t)
{
    uint32_t point = t->points[t->at++];
    uint64_t least = 0;
    uint64_t most = 0;
    if (skip_verbose(t, point)) {
        return ZKT_OK;
    }
    switch (point) {
    case '\\':
        return read_escape(t);
    case '[':
        return read_class(t);
    case '(':
        return read_group(t);
    case ')':
        return close_group(t);
    case '|':
        return read_bar(t);
    case '*':
        return repeat(t, 0, REPEAT_ENDLESS);
    case '+':
        return repeat(t, 1, REPEAT_ENDLESS);
    case '?':
        return repeat(t, 0, 1);
    case '{':
        if (read_braces(t, &least, &most)) {
            return repeat(t, least, most);
        }
        literal(t, point);
        return ZKT_OK;
    case '.':
        begin_piece(t, PIECE_ITEM, 1, 1);
        bytes_append_text(t->out, t->flags & REGEX_DOTALL ? "." : "\\N");
        return ZKT_OK;
    case '^':
        anchor(t, t->flags & REGEX_MULTILINE ? "^" : "\\A");
        return ZKT_OK;
    case '$':
        anchor(t, t->flags & REGEX_MULTILINE ? "$" : "\\Z");
        return ZKT_OK;
    default:
        literal(t, point);
        return ZKT_OK;
    }
}

// An odd number of backslashes at the end, which Python refuses even in a comment.
static bool
has_odd_end(const struct translator *t)
{
    size_t start = t->len;
    while (start > 0 && t->points[start - 1] == '\\') {
        start--;
    }
    return (t->len - start) % 2 != 0;
}

enum zkt_err
regex_translate(struct span pattern, unsigned *flags, struct arena *arena, struct bytes *out,
                struct problem *problem)
{
    struct translator *t = arena_alloc(arena, sizeof *t);
    memset(t, 0, sizeof *t);
    uint32_t *points = arena_alloc(arena, (pattern.len + 1) * sizeof *points);
    const uint8_t *at = pattern.data;
    const uint8_t *end = pattern.data + pattern.len;
    while (at < end) {
        points[t->len++] = point_next(&at, end);
    }
    t->points = points;
    t->flags = *flags;
    t->flags_allowed = true;
    t->out = out;
    t->arena = arena;
    t->problem = problem;
    t->captures_count = 1;
    if (has_odd_end(t)) {
        return refuse(t, "backslash at the end");
    }
    while (!at_end(t)) {
        enum zkt_err err = read_piece(t);
        if (err != ZKT_OK) {
            return err;
        }
    }
    if (t->depth > 0) {
        return refuse(t, "group without its )");
    }
    if (t->condition_max >= t->captures_count) {
        return refuse(t, "a condition names a group that is not there");
    }
    *flags = t->flags;
    return ZKT_OK;
}
