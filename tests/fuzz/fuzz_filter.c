// Filters and headers from anybody: filters are refused or can be asked, explained and indexed; who
// matches is a candidate.
#include <stdlib.h>

#include "base/assert.h"
#include "model/filter.h"
#include "wire/json.h"

static void
check_filter(const struct filter *filter, const struct value *headers)
{
    struct filter_outcome outcome = {0};
    bool matches = filter_match(filter, headers, &outcome);
    struct bytes why = {0};
    filter_explain(filter, headers, &why);
    bytes_fini(&why);
    struct filter_index *index = filter_index_new();
    filter_index_add(index, 7, filter);
    uint32_t *consumers = NULL;
    size_t capacity = 0;
    size_t count = filter_index_candidates(index, headers, &consumers, &capacity);
    zkt_assert(count <= 1);
    if (matches) {
        zkt_assert(count == 1);
        zkt_assert(!filter_is_empty(filter));
    }
    free(consumers);
    filter_index_destroy(&index);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena);
    struct value document;
    struct problem problem;
    struct filter *filter = NULL;
    if (json_parse(span_of(data, size), &arena, &document, &problem) == ZKT_OK &&
        document.type == VALUE_LIST && document.len == 2 && document.items[1].type == VALUE_MAP &&
        filter_compile(&document.items[0], &filter, &problem) == ZKT_OK) {
        check_filter(filter, &document.items[1]);
    }
    filter_destroy(&filter);
    arena_fini(&arena);
    return 0;
}
