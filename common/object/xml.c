#include "object/xml.h"

#include <stdio.h>
#include <string.h>

#include <expat.h>

#include "base/assert.h"
#include "base/utf8.h"

struct reading {
    XML_Parser parser;
    const struct xml_events *events;
    void *arg;
    char path[XML_PATH_SIZE];
    unsigned depth;
    struct bytes text; // of the innermost element, so far
    const char *why;   // it was stopped, or NULL
};

static void
stop(struct reading *reading, const char *why)
{
    reading->why = reading->why != NULL ? reading->why : why;
    XML_StopParser(reading->parser, XML_FALSE);
}

static void
on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct reading *reading = arg;
    const char *colon = strrchr(name, ':');
    const char *local = colon != NULL ? colon + 1 : name;
    size_t len = strlen(reading->path);
    bytes_clear(&reading->text);
    if (++reading->depth > XML_DEPTH_MAX) {
        stop(reading, "too deep");
    } else if (snprintf(reading->path + len, sizeof(reading->path) - len, "/%s", local) >=
               (int)(sizeof(reading->path) - len)) {
        stop(reading, "a name is too long");
    } else if (reading->events->on_begin != NULL &&
               !reading->events->on_begin(reading->arg, reading->path)) {
        stop(reading, "an element that does not belong here");
    }
}

static void
on_end(void *arg, const XML_Char *name)
{
    (void)name;
    struct reading *reading = arg;
    char *slash = strrchr(reading->path, '/');
    if (reading->why != NULL) {
        return;
    }
    zkt_assert(slash != NULL);
    if (!reading->events->on_end(reading->arg, reading->path, bytes_text(&reading->text))) {
        stop(reading, "a value that does not belong here");
    }
    *slash = '\0';
    reading->depth--;
    bytes_clear(&reading->text);
}

static void
on_text(void *arg, const XML_Char *text, int len)
{
    struct reading *reading = arg;
    if (reading->text.len + (size_t)len > XML_TEXT_MAX) {
        stop(reading, "a text is too long");
        return;
    }
    bytes_append(&reading->text, text, (size_t)len);
}

static void
on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id, const XML_Char *public_id,
           int has_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_subset;
    stop(arg, "a document type, which is not allowed");
}

enum zkt_err
xml_read(struct span document, const struct xml_events *events, void *arg, struct problem *problem)
{
    struct reading reading = {.events = events, .arg = arg, .path = ""};
    enum zkt_err err = ZKT_OK;
    if (document.len > XML_DOCUMENT_MAX) {
        return problem_set(problem, ZKT_INVALID, "the XML document has more than %d bytes",
                           XML_DOCUMENT_MAX);
    }
    reading.parser = XML_ParserCreate("UTF-8");
    zkt_assert(reading.parser != NULL);
    XML_SetUserData(reading.parser, &reading);
    XML_SetElementHandler(reading.parser, on_start, on_end);
    XML_SetCharacterDataHandler(reading.parser, on_text);
    XML_SetStartDoctypeDeclHandler(reading.parser, on_doctype);
    if (XML_Parse(reading.parser, (const char *)document.data, (int)document.len, XML_TRUE) !=
        XML_STATUS_OK) {
        const char *why =
            reading.why != NULL ? reading.why : XML_ErrorString(XML_GetErrorCode(reading.parser));
        err = problem_set(problem, ZKT_INVALID, "the XML document, line %lu: %s",
                          XML_GetCurrentLineNumber(reading.parser), why);
    }
    XML_ParserFree(reading.parser);
    bytes_fini(&reading.text);
    return err;
}

// Whether XML 1.0 has this character.
static bool
is_sayable(const char *text, size_t len)
{
    return len > 0 && (unsigned char)*text >= ' ' &&
           !(len == 3 && memcmp(text, "\xef\xbf", 2) == 0 && (unsigned char)text[2] >= 0xbe);
}

void
xml_escape(struct bytes *out, const char *text)
{
    while (*text != '\0') {
        size_t len = utf8_character_len(text);
        switch (*text) {
        case '&':
            bytes_append_text(out, "&amp;");
            break;
        case '<':
            bytes_append_text(out, "&lt;");
            break;
        case '>':
            bytes_append_text(out, "&gt;");
            break;
        case '"':
            bytes_append_text(out, "&quot;");
            break;
        case '\t':
        case '\n':
        case '\r':
            bytes_printf(out, "&#%d;", *text);
            break;
        default:
            if (is_sayable(text, len)) {
                bytes_append(out, text, len);
            } else {
                bytes_append_byte(out, '?');
            }
            break;
        }
        text += len > 0 ? len : 1;
    }
}

void
xml_element(struct bytes *out, const char *name, const char *text)
{
    bytes_printf(out, "<%s>", name);
    xml_escape(out, text);
    bytes_printf(out, "</%s>", name);
}
