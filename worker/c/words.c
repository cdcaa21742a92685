// Words: the one syntax of headers and filters in C strings and on the command line: key=text and
// key:=JSON, apart by white space. A text that begins with '{' or '[' is JSON as a whole.
#include <ctype.h>
#include <string.h>

#include "handles.h"
#include "wire/json.h"

static const char *
skip_space(const char *at)
{
    while (isspace((unsigned char)*at)) {
        at++;
    }
    return at;
}

// The end of a word: white space outside of JSON strings and brackets.
static const char *
word_end(const char *at)
{
    const char *start = at;
    bool is_json = false;
    bool is_quoted = false;
    unsigned depth = 0;
    for (; *at != '\0'; at++) {
        if (is_json && is_quoted) {
            if (*at == '\\' && at[1] != '\0') {
                at++;
            } else if (*at == '"') {
                is_quoted = false;
            }
            continue;
        }
        if (isspace((unsigned char)*at) && depth == 0) {
            break;
        }
        if (!is_json) {
            is_json = *at == '=' && at > start && at[-1] == ':' &&
                      memchr(start, '=', (size_t)(at - start)) == NULL;
            continue;
        }
        if (*at == '"') {
            is_quoted = true;
        } else if (*at == '[' || *at == '{') {
            depth++;
        } else if ((*at == ']' || *at == '}') && depth > 0) {
            depth--;
        }
    }
    return at;
}

static enum zkt_err
parse_word(struct span word, struct arena *arena, struct value *map, struct problem *problem)
{
    const char *text = (const char *)word.data;
    const char *equals = memchr(text, '=', word.len);
    if (equals == NULL || equals == text) {
        return problem_set(problem, ZKT_INVALID,
                           "\"%.*s\" is not KEY=VALUE. Write %.*s=VALUE, or KEY:=JSON.",
                           (int)word.len, text, (int)word.len, text);
    }
    size_t key_len = (size_t)(equals - text);
    const char *rest = equals + 1;
    size_t rest_len = word.len - key_len - 1;
    bool is_json = text[key_len - 1] == ':';
    struct value item = value_string(arena, rest, rest_len);
    if (is_json) {
        key_len--;
        if (json_parse(span_of(rest, rest_len), arena, &item, problem) != ZKT_OK) {
            problem_in(problem, "\"%.*s\": ", (int)word.len, text);
            return ZKT_INVALID;
        }
    }
    if (key_len == 0) {
        return problem_set(problem, ZKT_INVALID, "\"%.*s\" has no key.", (int)word.len, text);
    }
    value_put_key(arena, map, value_string(arena, text, key_len), item);
    return ZKT_OK;
}

static enum zkt_err
parse_words(const char *text, struct arena *arena, struct value *map, struct problem *problem)
{
    *map = value_map();
    for (const char *at = skip_space(text); *at != '\0'; at = skip_space(at)) {
        const char *end = word_end(at);
        enum zkt_err err = parse_word(span_of(at, (size_t)(end - at)), arena, map, problem);
        if (err != ZKT_OK) {
            return err;
        }
        at = end;
    }
    return ZKT_OK;
}

enum zkt_err
headers_parse(const char *text, struct arena *arena, struct value *map, struct problem *problem)
{
    const char *start = skip_space(text == NULL ? "" : text);
    if (*start != '{') {
        return parse_words(start, arena, map, problem);
    }
    enum zkt_err err = json_parse(span_of_text(start), arena, map, problem);
    if (err != ZKT_OK) {
        problem_in(problem, "headers: ");
        return ZKT_INVALID;
    }
    return ZKT_OK;
}

static enum zkt_err
add_filter(const char *text, struct arena *arena, struct value *list, struct problem *problem)
{
    const char *start = skip_space(text);
    struct value rule;
    if (*start != '{' && *start != '[') {
        enum zkt_err err = parse_words(start, arena, &rule, problem);
        if (err == ZKT_OK && rule.len == 0) {
            return problem_set(
                problem, ZKT_FILTER_INVALID,
                "empty filter. Write \"[{}]\" to take everything, \"[]\" for nothing.");
        }
        if (err == ZKT_OK) {
            value_append(arena, list, rule);
        }
        return err;
    }
    if (json_parse(span_of_text(start), arena, &rule, problem) != ZKT_OK) {
        return ZKT_FILTER_INVALID;
    }
    if (rule.type == VALUE_MAP && rule.len > 0) {
        value_append(arena, list, rule);
    }
    for (uint32_t item_index = 0; rule.type == VALUE_LIST && item_index < rule.len; item_index++) {
        value_append(arena, list, rule.items[item_index]);
    }
    return ZKT_OK;
}

enum zkt_err
filters_parse(const char *const *filters, size_t filters_count, struct arena *arena,
              struct value *out, struct problem *problem)
{
    *out = value_list();
    size_t filter_index = 0;
    for (; filter_index < filters_count && filters[filter_index] != NULL; filter_index++) {
        enum zkt_err err = add_filter(filters[filter_index], arena, out, problem);
        if (err != ZKT_OK) {
            problem_in(problem, "filters[%zu]: ", filter_index);
            problem->code = ZKT_FILTER_INVALID;
            return ZKT_FILTER_INVALID;
        }
    }
    if (filter_index == 0) {
        return problem_set(problem, ZKT_FILTER_INVALID,
                           "no filters. Write at least one, or \"[]\" to drain the queue.");
    }
    return ZKT_OK;
}
