// words.h: the one syntax of headers, payload and filters: key=text, key:=JSON.
#pragma once
#include "base/bytes.h"
#include "base/problem.h"

// json_check says why text is no JSON value: INVALID, or TOO_LARGE for what breaks a limit.
ZKT_MUST enum zkt_err
json_check(const char *text, struct problem *problem);

struct word {
    char *key;         // owned
    const char *value; // borrowed from the text
    bool is_json;      // key:=JSON, and value is JSON
};

// word_parse splits at the first '='. USAGE: not of this form, or no JSON behind ":=".
ZKT_MUST enum zkt_err
word_parse(const char *text, struct word *word, struct problem *problem);
void
word_fini(struct word *word);
// word_append_json appends `"key": value`.
void
word_append_json(const struct word *word, struct bytes *out);

// A growing list of filters: rules of an OR, each a map of words.
struct filter_words {
    struct bytes json;  // "[{…}, {…}" so far
    size_t rules_count; // finished rules
    size_t words_count; // words in the open rule
    bool is_whole;      // one word gave the whole list: "[]", "{}" or other JSON
};
// filter_words_add takes one word: key=V, key:=JSON, or a whole list as JSON, alone.
ZKT_MUST enum zkt_err
filter_words_add(struct filter_words *filters, const char *text, struct problem *problem);
// filter_words_or closes the rule.
ZKT_MUST enum zkt_err
filter_words_or(struct filter_words *filters, struct problem *problem);
// filter_words_end closes the list; the text lives in filters. NULL: no word at all.
const char *
filter_words_end(struct filter_words *filters);
void
filter_words_fini(struct filter_words *filters);
