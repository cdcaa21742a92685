#include "exec.h"

#include <string.h>

#include "output.h"

enum { LINE_BYTES_MAX = 16 << 10 };

// "<4>text" as systemd and the kernel write levels.
static enum zkt_level
line_level(const char **text)
{
    const char *at = *text;
    if (at[0] != '<' || at[1] < '0' || at[1] > '7' || at[2] != '>') {
        return ZKT_INFO;
    }
    *text += 3;
    return at[1] <= '3'   ? ZKT_ERROR
           : at[1] == '4' ? ZKT_WARNING
           : at[1] == '7' ? ZKT_DEBUG
                          : ZKT_INFO;
}

static void
end_line(struct exec_lines *lines)
{
    struct exec_task *exec = lines->exec;
    struct bytes text = {0};
    text_make_utf8(&text, lines->line.data, lines->line.len);
    const char *line = bytes_text(&text);
    enum zkt_level level = line_level(&line);
    const zkt_source_t source = {exec->plan->command[0], 0, lines->stream};
    zkt_log_at(exec->delivery, level, &source, "%s", line);
    if (lines->is_tail) {
        struct bytes *kept = &exec->tail[exec->tail_count++ % EXEC_TAIL_LINES];
        bytes_clear(kept);
        bytes_append_text(kept, line);
    }
    bytes_fini(&text);
    bytes_clear(&lines->line);
    lines->is_cut = false;
}

void
exec_lines_add(struct exec_lines *lines, const char *data, size_t size)
{
    while (size > 0) {
        const char *end = memchr(data, '\n', size);
        size_t len = end != NULL ? (size_t)(end - data) : size;
        size_t room = LINE_BYTES_MAX - lines->line.len;
        bytes_append(&lines->line, data, len < room ? len : room);
        lines->is_cut = lines->is_cut || len > room;
        if (end == NULL) {
            return;
        }
        if (lines->is_cut) {
            bytes_append_text(&lines->line, " [cut]");
        }
        end_line(lines);
        data += len + 1;
        size -= len + 1;
    }
}

void
exec_lines_end(struct exec_lines *lines)
{
    if (lines->line.len > 0) {
        end_line(lines);
    }
    bytes_fini(&lines->line);
}

void
exec_tail_append(const struct exec_task *exec, struct bytes *out)
{
    size_t kept_count = exec->tail_count < EXEC_TAIL_LINES ? exec->tail_count : EXEC_TAIL_LINES;
    for (size_t i = exec->tail_count - kept_count; i < exec->tail_count; i++) {
        const struct bytes *line = &exec->tail[i % EXEC_TAIL_LINES];
        bytes_append_byte(out, '\n');
        bytes_append(out, line->data, line->len);
    }
}
