// filter_regex.h: Python's regular expressions on PCRE2, within limits (parity F7, F10).
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/problem.h"
#include "model/value.h"

// Flags of a pattern, as in "/expression/imsx".
enum {
    REGEX_CASELESS = 1,
    REGEX_MULTILINE = 2,
    REGEX_DOTALL = 4,
    REGEX_VERBOSE = 8,
};

// regex_translate appends the PCRE2 form of a pattern in Python's syntax (re of 3.11) to out; the
// flags it begins with are added to *flags. FILTER_INVALID: re refuses it, or it is outside of the
// common dialect (docs/filters.md).
ZKT_MUST enum zkt_err
regex_translate(struct span pattern, unsigned *flags, struct arena *arena, struct bytes *out,
                struct problem *problem);
// regex_append_text appends WTF-8 text as valid UTF-8: lone surrogates become private characters.
void
regex_append_text(struct bytes *out, const char *text, size_t len);
// regex_has_surrogates: the text is WTF-8 but not UTF-8 because of them.
bool
regex_has_surrogates(const char *text, size_t len);

// The patterns of one filter with what they share; not for two threads at once.
struct regexes;
struct regex;

struct regexes *
regexes_new(void);
void
regexes_destroy(struct regexes **regexes_p);
// regex_compile compiles the operand of $regex; the regex belongs to regexes.
ZKT_MUST enum zkt_err
regex_compile(struct regexes *regexes, const struct value *operand, struct regex **regex,
              struct problem *problem);

// What the regexes of one evaluation may still cost together.
struct regex_budget {
    int64_t steps;
    uintptr_t last_position; // in the subject, at the step before
};

enum regex_result { REGEX_NO, REGEX_YES, REGEX_LIMIT };
// regex_search is re.search(pattern, string) != None.
enum regex_result
regex_search(const struct regex *regex, const struct value *string, struct regex_budget *budget);
