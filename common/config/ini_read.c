// Design note. inih splits sections, names and values; its dialect is fixed when the library is
// built, and differs from configparser: it cuts lines at 200 bytes, names at 50, values at " ;" and
// drops empty lines in a value. So a reader stands in front of it that decides, as configparser
// does, what a comment, a continuation or an option is, and gives inih one short line at a time
// with every unusual byte as %XX. Values of any length pass as several continuation lines.
// Not as in configparser: only ASCII letters are lower-cased and only ASCII blanks are stripped,
// names are limited to NAME_BYTES, a file to FILE_LINES lines of LINE_BYTES.
#include "config/ini_read.h"

#include <ctype.h>
#include <ini.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"

enum {
    NAME_BYTES = 49,  // encoded; inih's own limit
    CHUNK_BYTES = 40, // of a value in one line for inih
    LINE_BYTES = 64 << 10,
    FILE_LINES = 65536,
    INIH_LINE_BYTES = 200,
};

_Static_assert(NAME_BYTES + 1 + 3 * CHUNK_BYTES + 2 < INIH_LINE_BYTES, "a line fits inih");

struct reader {
    FILE *file;
    const char *name;
    const struct ini_sink *sink;
    struct problem *problem;
    enum zkt_err err; // the first mistake
    unsigned line;    // just read, from 1
    char *text;       // of that line, getline's
    size_t text_capacity;
    // The option that is being read.
    struct bytes section; // raw
    struct bytes option;  // raw, lower case; empty: none
    struct bytes value;   // raw, lines separated by \n
    unsigned option_line;
    size_t indent;
    bool has_section;
    // For inih.
    size_t given_len;    // of value
    bool is_giving;      // an option is complete and goes to inih
    bool is_first_given; // its "name=" line went out
    bool at_end;
    bool has_next; // a line was read ahead
    // From inih.
    struct bytes got_section;
    struct bytes got_option;
    struct bytes got_value;
};

static void
refuse_at(struct reader *reader, unsigned line, const char *why)
{
    reader->err =
        problem_set(reader->problem, ZKT_CONFIG_INVALID, "%s:%u: %s", reader->name, line, why);
}

static void
refuse(struct reader *reader, const char *why)
{
    refuse_at(reader, reader->line, why);
}

// As Python's str.strip sees blanks, in ASCII.
static bool
is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r') || (byte >= 0x1c && byte <= 0x1f);
}

static struct span
strip(const char *text, size_t len)
{
    while (len > 0 && is_blank(text[len - 1])) {
        len--;
    }
    while (len > 0 && is_blank(*text)) {
        text++;
        len--;
    }
    return span_of(text, len);
}

// ---- Physical lines. \n, \r\n and \r end one.

// Reads one line into reader->text; false at the end of the file or after a mistake.
static bool
read_line(struct reader *reader, size_t *len)
{
    size_t used = 0;
    int byte;
    while ((byte = getc(reader->file)) != EOF && byte != '\n' && byte != '\r') {
        if (used + 1 >= reader->text_capacity) {
            reader->text_capacity *= 2;
            reader->text = xrealloc(reader->text, reader->text_capacity);
        }
        reader->text[used++] = (char)byte;
        if (byte == '\0' || used > LINE_BYTES) {
            reader->line++;
            refuse(reader, byte == '\0' ? "a NUL byte" : "the line is too long");
            return false;
        }
    }
    if (byte == '\r') {
        int next = getc(reader->file);
        if (next != '\n' && next != EOF) {
            ungetc(next, reader->file);
        }
    }
    if (byte == EOF && used == 0) {
        if (ferror(reader->file)) {
            refuse(reader, "cannot be read");
        }
        return false;
    }
    if (++reader->line > FILE_LINES) {
        refuse(reader, "too many lines");
        return false;
    }
    *len = used;
    return true;
}

// ---- What a line is, decided as configparser decides it

static bool
has_option(const struct reader *reader)
{
    return reader->option.len > 0;
}

static size_t
indent_of(const char *line)
{
    size_t indent = 0;
    while (is_blank(line[indent])) {
        indent++;
    }
    return indent;
}

static void
start_section(struct reader *reader, struct span name)
{
    bytes_clear(&reader->section);
    bytes_append(&reader->section, name.data, name.len);
    reader->has_section = true;
    bytes_clear(&reader->option);
    reader->err = reader->sink->section(reader->sink->user, bytes_text(&reader->section),
                                        reader->line, reader->problem);
    if (reader->err != ZKT_OK && reader->problem != NULL) {
        problem_in(reader->problem, "%s:%u: ", reader->name, reader->line);
    }
}

static void
start_option(struct reader *reader, struct span line)
{
    const char *text = (const char *)line.data;
    size_t name_len = 0;
    while (name_len < line.len && text[name_len] != '=' && text[name_len] != ':') {
        name_len++;
    }
    struct span name = strip(text, name_len);
    if (name_len == line.len || name.len == 0) {
        refuse(reader, "expected [SECTION] or OPTION = VALUE");
        return;
    }
    struct span value = strip(text + name_len + 1, line.len - name_len - 1);
    bytes_clear(&reader->option);
    for (size_t byte_index = 0; byte_index < name.len; byte_index++) {
        bytes_append_byte(&reader->option, (uint8_t)tolower(name.data[byte_index]));
    }
    bytes_clear(&reader->value);
    bytes_append(&reader->value, value.data, value.len);
    reader->option_line = reader->line;
}

// The header of a section runs to the last "]" of the line and is not empty; what follows it is
// ignored.
static bool
is_section(struct span line, struct span *name)
{
    if (line.data[0] != '[') {
        return false;
    }
    size_t end = line.len - 1;
    while (end > 0 && line.data[end] != ']') {
        end--;
    }
    *name = span_of(line.data + 1, end - 1);
    return end > 1;
}

// False: the line starts something new while an option is still open; it must be given to inih
// first.
static bool
continues(struct reader *reader, const char *line, size_t len)
{
    struct span text = strip(line, len);
    if (text.len == 0) {
        if (has_option(reader)) {
            bytes_append_byte(&reader->value, '\n');
        }
        return true;
    }
    if (text.data[0] == '#' || text.data[0] == ';') {
        return true;
    }
    if (has_option(reader) && indent_of(line) > reader->indent) {
        bytes_append_byte(&reader->value, '\n');
        bytes_append(&reader->value, text.data, text.len);
        return true;
    }
    return false;
}

static void
start(struct reader *reader, const char *line, size_t len)
{
    struct span text = strip(line, len);
    struct span name;
    reader->indent = indent_of(line);
    if (is_section(text, &name)) {
        start_section(reader, name);
    } else if (!reader->has_section) {
        refuse(reader, "an option before the first [SECTION]");
    } else {
        start_option(reader, text);
    }
}

// Reads on until an option is complete; false: the file has no more, or a mistake.
static bool
read_option(struct reader *reader)
{
    size_t len = 0;
    if (reader->has_next) {
        len = strlen(reader->text);
        reader->has_next = false;
        start(reader, reader->text, len);
    }
    while (reader->err == ZKT_OK && read_line(reader, &len)) {
        reader->text[len] = '\0';
        if (continues(reader, reader->text, len)) {
            continue;
        }
        if (has_option(reader)) {
            reader->has_next = true;
            return true;
        }
        start(reader, reader->text, len);
    }
    reader->at_end = true;
    return reader->err == ZKT_OK && has_option(reader);
}

// ---- To inih and back

static bool
is_plain(uint8_t byte)
{
    return isalnum(byte) || byte == '_' || byte == '-' || byte == '.';
}

static void
encode(struct bytes *out, const uint8_t *data, size_t len)
{
    for (size_t byte_index = 0; byte_index < len; byte_index++) {
        if (is_plain(data[byte_index])) {
            bytes_append_byte(out, data[byte_index]);
        } else {
            bytes_printf(out, "%%%02X", data[byte_index]);
        }
    }
}

static void
decode(struct bytes *out, const char *text)
{
    while (*text != '\0') {
        if (*text == '%') {
            char digits[3] = {text[1], text[2], '\0'};
            bytes_append_byte(out, (uint8_t)strtoul(digits, NULL, 16));
            text += 3;
        } else {
            bytes_append_byte(out, (uint8_t)*text++);
        }
    }
}

// The option that inih has handed back in parts goes to the sink.
static void
deliver(struct reader *reader)
{
    struct span value = bytes_span(&reader->got_value);
    while (value.len > 0 && is_blank((char)value.data[value.len - 1])) {
        value.len--;
    }
    reader->got_value.len = value.len;
    reader->err = reader->sink->option(
        reader->sink->user, bytes_text(&reader->got_section), bytes_text(&reader->got_option),
        bytes_text(&reader->got_value), reader->option_line, reader->problem);
    if (reader->err != ZKT_OK && reader->problem != NULL) {
        problem_in(reader->problem, "%s:%u: ", reader->name, reader->option_line);
    }
    bytes_clear(&reader->got_value);
    bytes_clear(&reader->option);
    reader->is_giving = false;
}

// Puts "[section]" or a part of the option into out; false: nothing is left of it.
static bool
give(struct reader *reader, struct bytes *out)
{
    if (!reader->is_giving) {
        bytes_append_byte(out, '[');
        encode(out, reader->section.data, reader->section.len);
        bytes_append_byte(out, ']');
        if (out->len > NAME_BYTES + 2) {
            refuse_at(reader, reader->option_line, "the name of the section is too long");
            return false;
        }
        reader->is_giving = true;
        reader->is_first_given = false;
        reader->given_len = 0;
        return true;
    }
    if (reader->is_first_given && reader->given_len == reader->value.len) {
        return false;
    }
    if (reader->is_first_given) {
        bytes_append_byte(out, ' ');
    } else {
        encode(out, reader->option.data, reader->option.len);
        if (out->len > NAME_BYTES) {
            refuse_at(reader, reader->option_line, "the name of the option is too long");
            return false;
        }
        bytes_append_byte(out, '=');
        reader->is_first_given = true;
    }
    size_t len = reader->value.len - reader->given_len;
    len = len < CHUNK_BYTES ? len : CHUNK_BYTES;
    if (len > 0) { // an empty value may have no bytes at all
        encode(out, reader->value.data + reader->given_len, len);
    }
    reader->given_len += len;
    return true;
}

// inih's reader, in the manner of fgets.
static char *
next_for_inih(char *text, int size, void *stream)
{
    struct reader *reader = stream;
    struct bytes out = {0};
    char *result = NULL;
    while (reader->err == ZKT_OK) {
        if (reader->is_giving || has_option(reader)) {
            if (give(reader, &out)) {
                break;
            }
            if (reader->err == ZKT_OK) {
                deliver(reader);
            }
        } else if (reader->at_end || !read_option(reader)) {
            break;
        }
    }
    if (reader->err == ZKT_OK && out.len > 0) {
        bytes_append_byte(&out, '\n');
        zkt_assert(out.len < (size_t)size);
        memcpy(text, bytes_text(&out), out.len + 1);
        result = text;
    }
    bytes_fini(&out);
    return result;
}

static int
take_from_inih(void *user, const char *section, const char *option, const char *value)
{
    struct reader *reader = user;
    bytes_clear(&reader->got_section);
    bytes_clear(&reader->got_option);
    decode(&reader->got_section, section);
    decode(&reader->got_option, option);
    decode(&reader->got_value, value);
    return 1;
}

enum zkt_err
ini_read(FILE *file, const char *name, const struct ini_sink *sink, struct problem *problem)
{
    struct reader reader = {.file = file, .name = name, .sink = sink, .problem = problem};
    reader.text_capacity = 256;
    reader.text = xmalloc(reader.text_capacity);
    int bad_line = ini_parse_stream(next_for_inih, &reader, take_from_inih, &reader);
    if (reader.err == ZKT_OK) {
        zkt_assert(bad_line == 0);
    }
    free(reader.text);
    bytes_fini(&reader.section);
    bytes_fini(&reader.option);
    bytes_fini(&reader.value);
    bytes_fini(&reader.got_section);
    bytes_fini(&reader.got_option);
    bytes_fini(&reader.got_value);
    return reader.err;
}
