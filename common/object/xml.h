// xml.h: reading the small documents of S3's protocol, and writing their texts. Reading is expat's,
// with limits on depth, texts and size; document types (and with them entities) are refused.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/problem.h"

enum {
    XML_DEPTH_MAX = 8,
    XML_TEXT_MAX = 8192,        // of one element
    XML_PATH_SIZE = 512,        // "/Delete/Object/Key"
    XML_DOCUMENT_MAX = 4 << 20, // 10,000 parts or 1,000 keys fit well
};

// Told while a document is read; false stops. path names the element and those around it, without
// prefixes of name spaces.
struct xml_events {
    bool (*on_begin)(void *arg, const char *path); // may be NULL
    bool (*on_end)(void *arg, const char *path, const char *text);
};

// xml_read reads a whole document. INVALID says what is wrong with it and in which line; so does a
// handler that stopped.
ZKT_MUST enum zkt_err
xml_read(struct span document, const struct xml_events *events, void *arg, struct problem *problem);
// xml_escape appends text as it may stand between tags. What XML cannot say (control characters,
// U+FFFE, U+FFFF, what is no UTF-8) becomes '?'.
void
xml_escape(struct bytes *out, const char *text);
// xml_element appends <name>text</name>.
void
xml_element(struct bytes *out, const char *name, const char *text);
