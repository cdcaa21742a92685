// problem.h: what went wrong, as an error code and one sentence that names the field and what would
// be right.
#pragma once
#include "base/zkarton_err.h"
#include <stddef.h>

enum { PROBLEM_TEXT_SIZE = 512 };

struct problem {
    enum zkt_err code;
    char text[PROBLEM_TEXT_SIZE];
};

// problem_set stores code and text (cut at the size) and returns code. problem may be NULL.
enum zkt_err
problem_set(struct problem *problem, enum zkt_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// problem_in puts "prefix" in front of the text: problem_in(p, "tasks[3].") names the way to the
// field.
void
problem_in(struct problem *problem, const char *format, ...) __attribute__((format(printf, 2, 3)));
// problem_sentence writes the text for people with the name of the code behind its first sentence:
// [broker] adress: unknown (CONFIG_INVALID). Did you mean "address"?
void
problem_sentence(const struct problem *problem, char *text, size_t size);
// nearest returns the candidate within an edit distance of 2 and at most half of the word, or
// NULL: "Did you mean".
const char *
nearest(const char *word, const char *const *candidates, size_t candidates_count);
