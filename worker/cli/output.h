// output.h: what reaches people and programs: safe text, JSON lines, progress, colour.
#pragma once
#include "base/bytes.h"
#include "cli.h"

// output_flush pushes stdout out; false: something was not written, now or earlier.
bool
output_flush(void);
// output_close closes stdout, once, at the end. It returns code when all was written and 0 when the
// reader went away; else it says why and returns EXIT_NO.
int
output_close(int code);
// output_line prints one line of data and flushes it when `now`; ends the process with 0 when the
// reader is gone, with 1 and the reason when it cannot write.
void
output_line(const char *text, bool now);
// text_sanitise replaces control characters in place, so that no task writes to the terminal.
void
text_sanitise(char *text);
// output_text appends text for people: control characters as \xNN.
void
output_text(struct bytes *out, const char *text);
// text_make_utf8 appends bytes as text: what is not UTF-8, and NUL, as \xNN.
void
text_make_utf8(struct bytes *out, const void *data, size_t len);
// json_quote appends text as a JSON string; bytes that are not UTF-8 become the lone surrogates
// that Python's file names use.
void
json_quote(struct bytes *out, const char *text);
// json_indent appends JSON text with line breaks and two spaces a level.
void
json_indent(struct bytes *out, const char *json);
// output_is_coloured: stdout is a terminal and NO_COLOR is not set.
bool
output_is_coloured(void);
// output_state appends the name of a task state, coloured if wanted, padded to width.
void
output_state(struct bytes *out, const char *state, size_t width);
// format_size: "1.4 KiB". format_ms: "38 ms", "2.1 s", "3 h 12 m". The buffer is `text`.
enum { FORMAT_TEXT_SIZE = 32 };
const char *
format_size(int64_t size, char text[FORMAT_TEXT_SIZE]);
const char *
format_ms(int64_t duration_ms, char text[FORMAT_TEXT_SIZE]);

// output_progress is a zkt_progress_fn for terminals: arg is the cli. Nothing is drawn for short
// transfers, with -q, or when stderr is no terminal. It takes itself away at the end of each
// transfer.
void
output_progress(void *arg, const char *name, int64_t done_bytes, int64_t total_bytes);
// output_end_progress takes away what a transfer that failed left.
void
output_end_progress(struct cli *cli);
