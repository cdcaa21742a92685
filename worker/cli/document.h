// document.h: a row of the query "task" as Karton's task document (T1-T5).
#pragma once
#include "base/bytes.h"
#include <zkarton.h>

// document_write appends the document as one line of JSON, keys sorted.
void
document_write(const zkt_value_t *row, struct bytes *out);
