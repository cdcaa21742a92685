// Wildcards. A pattern becomes a row of steps; matching goes back to the last star only, since an
// earlier one cannot do better.
#include "model/filter_glob.h"

#include <string.h>

#include "model/filter_class.h"
#include "model/unicode.h"

enum step_kind { STEP_TEXT, STEP_ANY, STEP_SET, STEP_NEVER, STEP_STAR };

struct step {
    enum step_kind kind;
    const uint8_t *text; // STEP_TEXT: bytes to be there
    size_t text_len;
    struct class_set set; // STEP_SET
};
struct glob {
    struct step *steps;
    size_t steps_count;
};

bool
glob_is_needed(const struct value *text)
{
    for (uint32_t byte_index = 0; byte_index < text->len; byte_index++) {
        char byte = text->text[byte_index];
        if (byte == '?' || byte == '*' || byte == '[' || byte == ']' || byte == '!') {
            return true;
        }
    }
    return false;
}

// Points of a class while it is put into the syntax of re. Chunks are what lies between the
// hyphens that make ranges.
struct chunks {
    uint32_t *points;
    size_t *starts; // of each chunk in points; one more at the end
    size_t count;
};

static void
chunk_push(struct chunks *chunks, const uint32_t *points, size_t len)
{
    size_t start = chunks->starts[chunks->count];
    memcpy(chunks->points + start, points, len * sizeof *points);
    chunks->starts[++chunks->count] = start + len;
}

// [k - 1] ends above where [k] begins: an empty range, which re would refuse. Both ends go.
static void
drop_empty_ranges(struct chunks *chunks)
{
    for (size_t index = chunks->count; index-- > 1;) {
        size_t border = chunks->starts[index];
        size_t end = chunks->starts[chunks->count];
        if (border == chunks->starts[index - 1] ||
            chunks->points[border - 1] <= chunks->points[border]) {
            continue;
        }
        memmove(chunks->points + border - 1, chunks->points + border + 1,
                (end - border - 1) * sizeof *chunks->points);
        for (size_t later = index; later < chunks->count; later++) {
            chunks->starts[later] = chunks->starts[later + 1] - 2;
        }
        chunks->count--;
    }
}

// Splits stuff (between the brackets) at the hyphens that make ranges, as fnmatch does: not at the
// first place, and not two places behind another such hyphen.
static void
split_chunks(const uint32_t *stuff, size_t len, struct chunks *chunks)
{
    size_t start = 0;
    size_t at = stuff[0] == '!' ? 2 : 1;
    for (; at < len; at++) {
        if (stuff[at] == '-') {
            chunk_push(chunks, stuff + start, at - start);
            start = at + 1;
            at += 2;
        }
    }
    if (start < len) {
        chunk_push(chunks, stuff + start, len - start);
    } else {
        chunks->points[chunks->starts[chunks->count]++] = '-';
    }
    drop_empty_ranges(chunks);
}

static size_t
put_escaped(uint32_t *text, uint32_t point)
{
    bool is_special = point == '\\' || point == '-' || point == '&' || point == '~' || point == '|';
    if (is_special) {
        text[0] = '\\';
    }
    text[is_special] = point;
    return 1U + is_special;
}

// The class as re would be given it, without its '[' and with its ']'. Returns its length.
static size_t
class_text(const struct chunks *chunks, uint32_t *text)
{
    size_t len = 1; // room for a backslash or '^' in front
    for (size_t index = 0; index < chunks->count; index++) {
        if (index > 0) {
            text[len++] = '-';
        }
        for (size_t at = chunks->starts[index]; at < chunks->starts[index + 1]; at++) {
            len += put_escaped(text + len, chunks->points[at]);
        }
    }
    text[len] = ']';
    return len + 1;
}

// What stands between '[' and ']' of a pattern, as a step.
static struct step
class_step(struct arena *arena, const uint8_t *text, const uint8_t *end)
{
    size_t len_max = (size_t)(end - text);
    uint32_t *stuff = arena_alloc(arena, len_max * sizeof *stuff);
    size_t len = 0;
    while (text < end) {
        stuff[len++] = point_next(&text, end);
    }
    struct chunks chunks = {
        .points = arena_alloc(arena, (len + 1) * sizeof *chunks.points),
        .starts = arena_alloc(arena, (len + 2) * sizeof *chunks.starts),
    };
    chunks.starts[0] = 0;
    split_chunks(stuff, len, &chunks);
    uint32_t *class = arena_alloc(arena, (3 * len + 4) * sizeof *class);
    size_t class_len = class_text(&chunks, class);
    if (class_len == 2) {
        return (struct step){.kind = STEP_NEVER};
    }
    if (class[1] == '!' && class_len == 3) {
        return (struct step){.kind = STEP_ANY};
    }
    size_t at = 1;
    if (class[1] == '!') {
        class[1] = '^';
    } else if (class[1] == '^') {
        class[0] = '\\';
        at = 0;
    }
    struct step step = {.kind = STEP_SET};
    if (class_parse(class, class_len, &at, arena, &step.set, NULL) != ZKT_OK) {
        step.kind = STEP_NEVER;
    }
    return step;
}

static void
append_text(struct glob *glob, const uint8_t *text, size_t len)
{
    struct step *last = glob->steps_count > 0 ? &glob->steps[glob->steps_count - 1] : NULL;
    if (last != NULL && last->kind == STEP_TEXT && last->text + last->text_len == text) {
        last->text_len += len;
        return;
    }
    glob->steps[glob->steps_count++] =
        (struct step){.kind = STEP_TEXT, .text = text, .text_len = len};
}

// The ']' that ends the class behind '[', NULL: there is none and '[' is itself.
static const uint8_t *
class_end(const uint8_t *at, const uint8_t *end)
{
    if (at < end && *at == '!') {
        at++;
    }
    if (at < end && *at == ']') {
        at++;
    }
    return at < end ? memchr(at, ']', (size_t)(end - at)) : NULL;
}

struct glob *
glob_compile(struct arena *arena, const char *text, size_t len)
{
    struct glob *glob = arena_alloc(arena, sizeof *glob);
    const uint8_t *at = (const uint8_t *)arena_copy(arena, text, len);
    const uint8_t *end = at + len;
    *glob = (struct glob){.steps = arena_alloc(arena, (len + 1) * sizeof *glob->steps)};
    // Karton searches for the pattern, so it may begin anywhere: "win*" takes "darwin" too.
    glob->steps[glob->steps_count++] = (struct step){.kind = STEP_STAR};
    while (at < end) {
        const uint8_t *bracket = *at == '[' ? class_end(at + 1, end) : NULL;
        bool after_star =
            glob->steps_count > 0 && glob->steps[glob->steps_count - 1].kind == STEP_STAR;
        if (*at == '*' && after_star) {
            at++;
        } else if (*at == '*' || *at == '?') {
            enum step_kind kind = *at == '*' ? STEP_STAR : STEP_ANY;
            glob->steps[glob->steps_count++] = (struct step){.kind = kind};
            at++;
        } else if (bracket != NULL) {
            glob->steps[glob->steps_count++] = class_step(arena, at + 1, bracket);
            at = bracket + 1;
        } else {
            append_text(glob, at, 1);
            at++;
        }
    }
    return glob;
}

static bool
set_has(const struct class_set *set, uint32_t point)
{
    for (size_t index = 0; index < set->items_count; index++) {
        if (point >= set->items[index].first && point <= set->items[index].last) {
            return !set->is_negated;
        }
    }
    return set->is_negated;
}

// One step that is no star, at *at; steps over what it took.
static bool
step_takes(const struct step *step, const uint8_t **at, const uint8_t *end)
{
    if (step->kind == STEP_NEVER) {
        return false;
    }
    if (step->kind == STEP_TEXT) {
        if ((size_t)(end - *at) < step->text_len || memcmp(*at, step->text, step->text_len) != 0) {
            return false;
        }
        *at += step->text_len;
        return true;
    }
    if (*at == end) {
        return false;
    }
    uint32_t point = point_next(at, end);
    return step->kind == STEP_ANY || set_has(&step->set, point);
}

bool
glob_match(const struct glob *glob, const struct value *string, int64_t *steps)
{
    const uint8_t *at = (const uint8_t *)string->text;
    const uint8_t *end = at + string->len;
    const uint8_t *star_at = NULL; // where the last star would take one more
    size_t star_index = 0;
    size_t index = 0;
    while (index < glob->steps_count || at < end) {
        const struct step *step = index < glob->steps_count ? &glob->steps[index] : NULL;
        *steps -= 1 + (step != NULL ? (int64_t)(step->set.items_count / 8) : 0);
        if (*steps < 0) {
            return false;
        }
        if (step != NULL && step->kind == STEP_STAR) {
            star_at = at;
            star_index = ++index;
            if (star_index == glob->steps_count) {
                return true;
            }
        } else if (step != NULL && step_takes(step, &at, end)) {
            index++;
        } else if (star_at != NULL && star_at < end) {
            (void)point_next(&star_at, end);
            at = star_at;
            index = star_index;
        } else {
            return false;
        }
    }
    return true;
}
