// Regexes run under four limits: PCRE2's match, depth and heap limit, and a budget that a callout
// before each item of the pattern counts down. The budget is what bounds time: PCRE2 counts its
// match limit anew for each place where a match may begin, and does not count what single items
// skip, so that on a long string a pattern can stay under it for seconds. It is shared by all
// regexes of an evaluation.
#include "model/filter_regex.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"

enum {
    POSITIONS_PER_STEP = 16, // characters skipped that cost as much as a callout
    JIT_PATTERNS_MAX = 64,   // of a filter; more are interpreted
    JIT_CODE_BYTES = 8192,   // compiled patterns above this are interpreted
    JIT_STACK_START = 32 << 10,
};

struct regex {
    struct regex *next; // of the same filter
    struct regexes *regexes;
    pcre2_code *code;
};
struct regexes {
    struct regex *first;
    pcre2_compile_context *compile_context;
    pcre2_match_context *match_context;
    pcre2_match_data *match_data;
    uint32_t jit_count;
};

// Every item of a pattern costs one step, and what was skipped since the item before.
static int
on_item(pcre2_callout_block *block, void *data)
{
    struct regex_budget *budget = data;
    uintptr_t position = block->current_position;
    uintptr_t skipped = position > budget->last_position ? position - budget->last_position
                                                         : budget->last_position - position;
    budget->last_position = position;
    budget->steps -= 1 + (int64_t)(skipped / POSITIONS_PER_STEP);
    return budget->steps < 0 ? PCRE2_ERROR_MATCHLIMIT : 0;
}

struct regexes *
regexes_new(void)
{
    struct regexes *regexes = xcalloc(1, sizeof *regexes);
    regexes->compile_context = pcre2_compile_context_create(NULL);
    regexes->match_context = pcre2_match_context_create(NULL);
    regexes->match_data = pcre2_match_data_create(1, NULL);
    zkt_assert(regexes->compile_context != NULL);
    zkt_assert(regexes->match_context != NULL);
    zkt_assert(regexes->match_data != NULL);
    pcre2_set_newline(regexes->compile_context, PCRE2_NEWLINE_LF);
    pcre2_set_match_limit(regexes->match_context, LIMIT_REGEX_MATCH);
    pcre2_set_depth_limit(regexes->match_context, LIMIT_REGEX_DEPTH);
    pcre2_set_heap_limit(regexes->match_context, LIMIT_REGEX_HEAP_KIB);
    return regexes;
}

void
regexes_destroy(struct regexes **regexes_p)
{
    struct regexes *regexes = *regexes_p;
    if (regexes == NULL) {
        return;
    }
    while (regexes->first != NULL) {
        struct regex *regex = regexes->first;
        regexes->first = regex->next;
        pcre2_code_free(regex->code);
        free(regex);
    }
    pcre2_match_data_free(regexes->match_data);
    pcre2_match_context_free(regexes->match_context);
    pcre2_compile_context_free(regexes->compile_context);
    free(regexes);
    *regexes_p = NULL;
}

// "/expression/flags" → expression and flags; anything else is an expression as a whole.
static struct span
split_flags(const struct value *operand, unsigned *flags)
{
    struct span whole = span_of(operand->text, operand->len);
    *flags = 0;
    const char *slash = operand->len > 0 ? memrchr(operand->text, '/', operand->len) : NULL;
    if (slash == NULL || operand->text[0] != '/' || slash - operand->text < 2) {
        return whole;
    }
    const char *end = operand->text + operand->len;
    if (end - slash - 1 > 4) {
        return whole;
    }
    for (const char *at = slash + 1; at < end; at++) {
        static const char letters[] = "imsx";
        const char *letter = *at != '\0' ? strchr(letters, *at) : NULL;
        if (letter == NULL) {
            *flags = 0;
            return whole;
        }
        *flags |= 1U << (letter - letters);
    }
    return span_of(operand->text + 1, (size_t)(slash - operand->text - 1));
}

static void
maybe_jit(struct regexes *regexes, pcre2_code *code)
{
    size_t size = 0;
    pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
    if (regexes->jit_count < JIT_PATTERNS_MAX && size <= JIT_CODE_BYTES &&
        pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0) {
        regexes->jit_count++;
    }
}

enum zkt_err
regex_compile(struct regexes *regexes, const struct value *operand, struct regex **regex,
              struct problem *problem)
{
    zkt_assert(operand->type == VALUE_STRING);
    if (operand->len > LIMIT_REGEX_BYTES) {
        return problem_set(problem, ZKT_FILTER_INVALID, "a pattern has at most %d bytes, not %u",
                           LIMIT_REGEX_BYTES, operand->len);
    }
    unsigned flags;
    struct span pattern = split_flags(operand, &flags);
    struct arena arena;
    arena_init(&arena);
    struct bytes translated = {0};
    enum zkt_err err = regex_translate(pattern, &flags, &arena, &translated, problem);
    arena_fini(&arena);
    if (err != ZKT_OK) {
        bytes_fini(&translated);
        return err;
    }
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_MULTILINE |
                       PCRE2_ALT_CIRCUMFLEX | PCRE2_AUTO_CALLOUT | PCRE2_DOTALL |
                       (flags & REGEX_CASELESS ? PCRE2_CASELESS : 0);
    int error;
    PCRE2_SIZE offset;
    // bytes_text, since PCRE2 takes no NULL for an empty pattern.
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)bytes_text(&translated), translated.len, options,
                                     &error, &offset, regexes->compile_context);
    bytes_fini(&translated);
    if (code == NULL) {
        char reason[128] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof reason);
        return problem_set(problem, ZKT_FILTER_INVALID, "the pattern cannot be used: %s", reason);
    }
    maybe_jit(regexes, code);
    *regex = xcalloc(1, sizeof **regex);
    **regex = (struct regex){.next = regexes->first, .regexes = regexes, .code = code};
    regexes->first = *regex;
    return ZKT_OK;
}

static int
run(const struct regex *regex, const uint8_t *text, size_t len)
{
    const struct regexes *regexes = regex->regexes;
    int count =
        pcre2_match(regex->code, text, len, 0, 0, regexes->match_data, regexes->match_context);
    if (count != PCRE2_ERROR_JIT_STACKLIMIT) {
        return count;
    }
    // The 32 KiB on the machine's stack were too few: once more with as much as the heap limit.
    pcre2_jit_stack *stack =
        pcre2_jit_stack_create(JIT_STACK_START, (size_t)LIMIT_REGEX_HEAP_KIB << 10, NULL);
    if (stack == NULL) {
        return count;
    }
    pcre2_jit_stack_assign(regexes->match_context, NULL, stack);
    count = pcre2_match(regex->code, text, len, 0, 0, regexes->match_data, regexes->match_context);
    pcre2_jit_stack_assign(regexes->match_context, NULL, NULL);
    pcre2_jit_stack_free(stack);
    return count;
}

enum regex_result
regex_search(const struct regex *regex, const struct value *string, struct regex_budget *budget)
{
    struct bytes changed = {0};
    const uint8_t *text = (const uint8_t *)string->text;
    size_t len = string->len;
    if (regex_has_surrogates(string->text, len)) {
        regex_append_text(&changed, string->text, len);
        text = changed.data;
        len = changed.len;
    }
    budget->last_position = 0;
    pcre2_set_callout(regex->regexes->match_context, on_item, budget);
    int count = run(regex, text, len);
    pcre2_set_callout(regex->regexes->match_context, NULL, NULL);
    bytes_fini(&changed);
    if (count == PCRE2_ERROR_NOMATCH) {
        return REGEX_NO;
    }
    return count >= 0 ? REGEX_YES : REGEX_LIMIT;
}
