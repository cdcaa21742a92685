// command_line.h: reads a command line as a sequence of options and words, in any order up to "--".
#pragma once
#include "cli.h"

struct option {
    const char *name; // without "--"
    char letter;      // 0: none
    int id;           // > 0
    bool has_value;
};

enum {
    OPTION_END = 0,    // nothing is left, or "--" was read: the rest starts at argv[at]
    OPTION_WORD = -1,  // value is a word that is no option
    OPTION_WRONG = -2, // the mistake was printed; leave with EXIT_USAGE
    OPTION_HELP = -3,  // help was printed; leave with EXIT_YES
};

struct option_parser {
    struct cli *cli;
    const char *command; // NULL: before the command's name
    const struct option *options;
    size_t options_count;
    int argc;
    char **argv;
    int at;              // next word to read
    const char *cluster; // the rest of "-abc", or NULL
    const char *value;   // of the last option or word
    bool has_rest;       // "--" was read
};

// option_next returns the id of the next option of the command. Global options (-c -o -q -v
// --broker --timeout) are stored in the cli on the way.
int
option_next(struct option_parser *parser);
// option_words reads a command line that has no options of its own: the words (borrowed) go to
// words, at most words_max. -1: leave with *code.
int
option_words(struct option_parser *parser, const char **words, size_t words_max, int *code);
// option_root returns the uid of an analysis out of the value of --root; NULL: the mistake was
// printed.
const char *
option_root(const struct option_parser *parser);
// parse_duration reads "500ms", "5s", "2m", "1h"; a bare number is seconds. false: none of these.
bool
parse_duration(const char *text, int64_t *duration_ms);
// parse_count reads a decimal number up to max.
bool
parse_count(const char *text, uint64_t max, uint64_t *count);
