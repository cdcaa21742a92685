#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/value.h"

enum { PROGRESS_BYTES_MIN = 8 << 20 };

// The first failure of a write: a later call that has nothing to write forgets its reason.
static int write_errno;

static bool
is_written(void)
{
    if (ferror(stdout) != 0 && write_errno == 0) {
        write_errno = errno != 0 ? errno : EIO;
    }
    return write_errno == 0;
}

bool
output_flush(void)
{
    errno = 0;
    fflush(stdout);
    return is_written();
}

static int
output_failed(void)
{
    if (write_errno == EPIPE) {
        return EXIT_YES;
    }
    fprintf(stderr, "zkarton: cannot write: %s (IO)\n", strerror(write_errno));
    return EXIT_NO;
}

int
output_close(int code)
{
    bool is_whole = output_flush();
    if (is_whole && fclose(stdout) == EOF && errno != EBADF) {
        write_errno = errno;
        is_whole = false;
    }
    return is_whole ? code : output_failed();
}

void
output_line(const char *text, bool now)
{
    errno = 0;
    fputs(text, stdout);
    fputc('\n', stdout);
    if (now) {
        output_flush();
    }
    if (!is_written()) {
        _exit(output_failed());
    }
}

static bool
is_control(unsigned char byte)
{
    return byte < 0x20 || byte == 0x7f;
}

void
text_sanitise(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (is_control((unsigned char)*at) && *at != '\n') {
            *at = '?';
        }
    }
}

// A byte that was no UTF-8, as Python's surrogateescape has it (U+DC80…U+DCFF); 0: none.
static unsigned
escaped_byte(const unsigned char *at)
{
    bool is_escaped = at[0] == 0xed && (at[1] == 0xb2 || at[1] == 0xb3) && (at[2] & 0xc0) == 0x80;
    return is_escaped ? (at[1] & 3u) << 6 | (at[2] & 0x3fu) : 0;
}

void
output_text(struct bytes *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        // C1 control characters (U+0080 to U+009F) move terminals as well.
        bool is_c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;
        if (escaped_byte(at) != 0) {
            bytes_printf(out, "\\x%02x", escaped_byte(at));
            at += 2;
        } else if (is_control(*at) || is_c1) {
            bytes_printf(out, "\\x%02x", is_c1 ? at[1] : at[0]);
            at += is_c1 ? 1 : 0;
        } else {
            bytes_append_byte(out, *at);
        }
    }
}

static size_t
utf8_len(const unsigned char *at)
{
    size_t len = *at < 0x80 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < len; i++) {
        if (at[i] == '\0') {
            return 0;
        }
    }
    return text_is_utf8(at, len) ? len : 0;
}

void
text_make_utf8(struct bytes *out, const void *data, size_t len)
{
    char *text = xmemdup(data, len); // ends with a NUL, so utf8_len stays inside
    const unsigned char *at = (const unsigned char *)text;
    while (at < (const unsigned char *)text + len) {
        size_t char_len = *at == '\0' ? 0 : utf8_len(at);
        if (escaped_byte(at) != 0) {
            bytes_printf(out, "\\x%02x", escaped_byte(at));
            at += 3;
        } else if (char_len == 0) {
            bytes_printf(out, "\\x%02x", *at);
            at++;
        } else {
            bytes_append(out, at, char_len);
            at += char_len;
        }
    }
    free(text);
}

void
json_quote(struct bytes *out, const char *text)
{
    bytes_append_byte(out, '"');
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0';) {
        size_t len = utf8_len(at);
        if (*at == '"' || *at == '\\') {
            bytes_append_byte(out, '\\');
            bytes_append_byte(out, *at);
        } else if (is_control(*at)) {
            bytes_printf(out, "\\u%04x", *at);
        } else if (len == 0) {
            bytes_printf(out, "\\udc%02x", *at);
        } else {
            bytes_append(out, at, len);
        }
        at += len == 0 ? 1 : len;
    }
    bytes_append_byte(out, '"');
}

static void
indent_break(struct bytes *out, unsigned depth)
{
    bytes_append_byte(out, '\n');
    for (unsigned i = 0; i < depth; i++) {
        bytes_append_text(out, "  ");
    }
}

void
json_indent(struct bytes *out, const char *json)
{
    unsigned depth = 0;
    bool is_in_string = false;
    for (const char *at = json; *at != '\0'; at++) {
        if (is_in_string) {
            bytes_append_byte(out, (uint8_t)*at);
            if (*at == '\\' && at[1] != '\0') {
                bytes_append_byte(out, (uint8_t) * ++at);
            } else if (*at == '"') {
                is_in_string = false;
            }
            continue;
        }
        if ((*at == '}' || *at == ']') && depth > 0) {
            depth--;
            if (at[-1] != '{' && at[-1] != '[') {
                indent_break(out, depth);
            }
        }
        if (*at != ' ') {
            bytes_append_byte(out, (uint8_t)*at);
        }
        is_in_string = *at == '"';
        if (*at == ':') {
            bytes_append_byte(out, ' ');
        } else if (*at == ',') {
            indent_break(out, depth);
        } else if (*at == '{' || *at == '[') {
            depth++;
            if (at[1] != '}' && at[1] != ']') {
                indent_break(out, depth);
            }
        }
    }
}

bool
output_is_coloured(void)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) == 1 && (no_color == NULL || no_color[0] == '\0');
}

void
output_state(struct bytes *out, const char *state, size_t width)
{
    const char *colour = strcmp(state, "Crashed") == 0    ? "\033[31m"
                         : strcmp(state, "Finished") == 0 ? "\033[32m"
                         : strcmp(state, "Started") == 0  ? "\033[36m"
                                                          : NULL;
    bool is_coloured = colour != NULL && output_is_coloured();
    if (is_coloured) {
        bytes_append_text(out, colour);
    }
    output_text(out, state);
    if (is_coloured) {
        bytes_append_text(out, "\033[0m");
    }
    for (size_t len = strlen(state); len < width; len++) {
        bytes_append_byte(out, ' ');
    }
}

const char *
format_size(int64_t size, char text[FORMAT_TEXT_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (size < 1024) {
        snprintf(text, FORMAT_TEXT_SIZE, "%" PRId64 " B", size);
        return text;
    }
    double number = (double)size / 1024;
    size_t unit = 0;
    while (number >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        number /= 1024;
        unit++;
    }
    snprintf(text, FORMAT_TEXT_SIZE, "%.1f %s", number, units[unit]);
    return text;
}

const char *
format_ms(int64_t duration_ms, char text[FORMAT_TEXT_SIZE])
{
    int64_t seconds = duration_ms / 1000;
    if (duration_ms < 1000) {
        snprintf(text, FORMAT_TEXT_SIZE, "%" PRId64 " ms", duration_ms);
    } else if (seconds < 60) {
        snprintf(text, FORMAT_TEXT_SIZE, "%.1f s", (double)duration_ms / 1000);
    } else if (seconds < 3600) {
        snprintf(text, FORMAT_TEXT_SIZE, "%" PRId64 " m %" PRId64 " s", seconds / 60, seconds % 60);
    } else if (seconds < 86400) {
        snprintf(text, FORMAT_TEXT_SIZE, "%" PRId64 " h %" PRId64 " m", seconds / 3600,
                 seconds / 60 % 60);
    } else {
        snprintf(text, FORMAT_TEXT_SIZE, "%" PRId64 " d %" PRId64 " h", seconds / 86400,
                 seconds / 3600 % 24);
    }
    return text;
}

void
output_progress(void *arg, const char *name, int64_t done_bytes, int64_t total_bytes)
{
    struct cli *cli = arg;
    bool is_long = total_bytes >= PROGRESS_BYTES_MIN || done_bytes >= PROGRESS_BYTES_MIN;
    if (cli->is_quiet || !is_long || isatty(STDERR_FILENO) != 1) {
        return;
    }
    if (done_bytes == total_bytes) {
        output_end_progress(cli);
        return;
    }
    struct bytes line = {0};
    char done[FORMAT_TEXT_SIZE];
    char total[FORMAT_TEXT_SIZE];
    output_text(&line, name);
    bytes_printf(&line, "  %s", format_size(done_bytes, done));
    if (total_bytes > 0) {
        bytes_printf(&line, " of %s  %d %%", format_size(total_bytes, total),
                     (int)(done_bytes * 100 / total_bytes));
    }
    fprintf(stderr, "\r\033[K%s", bytes_text(&line));
    fflush(stderr);
    bytes_fini(&line);
    cli->has_progress = true;
}

void
output_end_progress(struct cli *cli)
{
    if (cli->has_progress) {
        fputs("\r\033[K", stderr);
        cli->has_progress = false;
    }
}
