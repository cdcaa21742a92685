// msgpack_value.h: values ↔ msgpack. Beyond plain msgpack: ext 1 = integer beyond 64 bits as
// decimal text, ext 2 = text that is not valid Unicode (WTF-8), ext 3 = reference to a resource
// (index, 4 bytes big-endian). NaN and infinities are floats. Map keys are texts, each once.
#pragma once
#include "base/arena.h"
#include "base/bytes.h"
#include "base/problem.h"
#include "model/value.h"
#include "wire/reader.h"

enum { EXT_BIGINT = 1, EXT_WTF8 = 2, EXT_RESOURCE = 3 };

// msgpack_write_value appends value to out. A VALUE_STRING that is not WTF-8 (only rows of ANSWER
// have them: packed bags) goes as bytes.
void
msgpack_write_value(const struct value *value, struct bytes *out);
// msgpack_read_value takes one value; texts are copied into arena, so the message may go. INVALID
// or TOO_LARGE with the place inside the value. LIMIT_VALUE_DEPTH and LIMIT_VALUE_COUNT hold.
ZKT_MUST enum zkt_err
msgpack_read_value(struct reader *reader, struct arena *arena, struct value *out,
                   struct problem *problem);
// msgpack_read_rows is msgpack_read_value that takes bytes as well, as a VALUE_STRING of just them.
ZKT_MUST enum zkt_err
msgpack_read_rows(struct reader *reader, struct arena *arena, struct value *out,
                  struct problem *problem);
// msgpack_read_members takes count pairs that stand without the head of their map.
ZKT_MUST enum zkt_err
msgpack_read_members(struct reader *reader, uint32_t count, struct arena *arena, struct value *out,
                     struct problem *problem);
// msgpack_parse_value is msgpack_read_value of a whole span: nothing may follow.
ZKT_MUST enum zkt_err
msgpack_parse_value(struct span span, struct arena *arena, struct value *out,
                    struct problem *problem);
