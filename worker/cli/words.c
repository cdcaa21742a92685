#include "words.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "output.h"
#include "wire/json.h"

enum zkt_err
json_check(const char *text, struct problem *problem)
{
    struct arena arena;
    struct value value;
    arena_init(&arena);
    enum zkt_err err = json_parse(span_of_text(text), &arena, &value, problem);
    arena_fini(&arena);
    return err;
}

enum zkt_err
word_parse(const char *text, struct word *word, struct problem *problem)
{
    *word = (struct word){0};
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || (equals == text + 1 && text[0] == ':')) {
        const char *colon = strchr(text, ':');
        if (colon != NULL && colon != text && equals == NULL) {
            return problem_set(problem, ZKT_USAGE,
                               "\"%s\" is not KEY=VALUE. Write %.*s=%s, or %.*s:=JSON.", text,
                               (int)(colon - text), text, colon + 1, (int)(colon - text), text);
        }
        return problem_set(problem, ZKT_USAGE,
                           "\"%s\" is not KEY=VALUE. Write type=sample, or type:=JSON.", text);
    }
    word->is_json = equals[-1] == ':';
    word->value = equals + 1;
    size_t key_len = (size_t)(equals - text) - (word->is_json ? 1 : 0);
    struct problem why;
    enum zkt_err err = word->is_json ? json_check(word->value, &why) : ZKT_OK;
    if (err == ZKT_TOO_LARGE) { // it is JSON, and more than a task may hold
        return problem_set(problem, ZKT_USAGE, "\"%.*s:=\": %s", (int)key_len, text, why.text);
    }
    if (err != ZKT_OK) {
        return problem_set(problem, ZKT_USAGE,
                           "\"%s\": what follows \":=\" is no JSON. Text goes as KEY=TEXT.", text);
    }
    word->key = xmemdup(text, key_len);
    return ZKT_OK;
}

void
word_fini(struct word *word)
{
    free(word->key);
    *word = (struct word){0};
}

void
word_append_json(const struct word *word, struct bytes *out)
{
    json_quote(out, word->key);
    bytes_append_text(out, ": ");
    if (word->is_json) {
        bytes_append_text(out, word->value);
    } else {
        json_quote(out, word->value);
    }
}

enum zkt_err
filter_words_add(struct filter_words *filters, const char *text, struct problem *problem)
{
    bool is_whole = text[0] == '[' || text[0] == '{';
    bool is_first = filters->rules_count == 0 && filters->words_count == 0;
    if (filters->is_whole || (is_whole && !is_first)) {
        return problem_set(problem, ZKT_USAGE,
                           "\"%s\": filters as JSON stand alone. Write words, or one JSON "
                           "list.",
                           text);
    }
    if (is_whole) {
        struct problem why;
        if (json_check(text, &why) != ZKT_OK) {
            return problem_set(problem, ZKT_USAGE, "filters as JSON: %s", why.text);
        }
        filters->is_whole = true;
        bytes_append_text(&filters->json, text);
        return ZKT_OK;
    }
    struct word word;
    enum zkt_err err = word_parse(text, &word, problem);
    if (err != ZKT_OK) {
        return err;
    }
    bytes_append_text(&filters->json, is_first ? "[{" : filters->words_count == 0 ? ", {" : ", ");
    word_append_json(&word, &filters->json);
    filters->words_count++;
    word_fini(&word);
    return ZKT_OK;
}

enum zkt_err
filter_words_or(struct filter_words *filters, struct problem *problem)
{
    if (filters->is_whole || filters->words_count == 0) {
        return problem_set(problem, ZKT_USAGE,
                           "--or stands between filters. Write type=a --or type=b");
    }
    bytes_append_text(&filters->json, "}");
    filters->rules_count++;
    filters->words_count = 0;
    return ZKT_OK;
}

const char *
filter_words_end(struct filter_words *filters)
{
    if (filters->words_count > 0) {
        bytes_append_text(&filters->json, "}");
        filters->rules_count++;
        filters->words_count = 0;
    }
    if (filters->rules_count > 0 && !filters->is_whole) {
        bytes_append_text(&filters->json, "]");
        filters->is_whole = true;
    }
    return filters->json.len > 0 ? bytes_text(&filters->json) : NULL;
}

void
filter_words_fini(struct filter_words *filters)
{
    bytes_fini(&filters->json);
    *filters = (struct filter_words){0};
}
