#include "base/problem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum zkt_err
problem_set(struct problem *problem, enum zkt_err code, const char *format, ...)
{
    if (problem != NULL) {
        problem->code = code;
        va_list args;
        va_start(args, format);
        vsnprintf(problem->text, sizeof problem->text, format, args);
        va_end(args);
    }
    return code;
}

void
problem_in(struct problem *problem, const char *format, ...)
{
    if (problem == NULL) {
        return;
    }
    char text[PROBLEM_TEXT_SIZE];
    memcpy(text, problem->text, sizeof text);
    va_list args;
    va_start(args, format);
    int len = vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof problem->text) {
        snprintf(problem->text + len, sizeof problem->text - (size_t)len, "%s", text);
    }
}

// The advice starts behind a full stop and a blank, with a capital letter.
static const char *
advice(const char *text)
{
    const char *stop = text;
    while ((stop = strstr(stop, ". ")) != NULL && !(stop[2] >= 'A' && stop[2] <= 'Z')) {
        stop++;
    }
    return stop;
}

void
problem_sentence(const struct problem *problem, char *text, size_t size)
{
    const char *stop = advice(problem->text);
    size_t len = stop != NULL ? (size_t)(stop - problem->text) : strlen(problem->text);
    snprintf(text, size, "%.*s (%s)%s", (int)len, problem->text, zkt_err_name(problem->code),
             stop != NULL ? stop : "");
}

enum { WORD_MAX = 48 };

static size_t
min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

static size_t
edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[WORD_MAX + 1];
    for (size_t b_index = 0; b_index <= b_len; b_index++) {
        row[b_index] = b_index;
    }
    for (size_t a_index = 1; a_index <= a_len; a_index++) {
        size_t diagonal = row[0];
        row[0] = a_index;
        for (size_t b_index = 1; b_index <= b_len; b_index++) {
            size_t above = row[b_index];
            size_t change = diagonal + (a[a_index - 1] != b[b_index - 1]);
            row[b_index] = min3(above + 1, row[b_index - 1] + 1, change);
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *
nearest(const char *word, const char *const *candidates, size_t candidates_count)
{
    size_t word_len = strlen(word);
    const char *best = NULL;
    size_t best_distance = 3;
    if (word_len > WORD_MAX) {
        return NULL;
    }
    for (size_t candidate_index = 0; candidate_index < candidates_count; candidate_index++) {
        size_t len = strlen(candidates[candidate_index]);
        if (len > WORD_MAX) {
            continue;
        }
        size_t distance = edit_distance(word, word_len, candidates[candidate_index], len);
        if (distance < best_distance && distance * 2 <= word_len) {
            best = candidates[candidate_index];
            best_distance = distance;
        }
    }
    return best;
}
