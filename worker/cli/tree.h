// tree.h: the tasks of an analysis drawn as a tree.
#pragma once
#include "base/bytes.h"
#include <zkarton.h>

struct tree;

struct tree *
tree_new(void);
void
tree_destroy(struct tree **tree_p);
// tree_add takes what it needs from a row of the query "tree".
void
tree_add(struct tree *tree, const zkt_value_t *row);
// tree_note sets what stands beside a task instead of its headers; the last one counts.
void
tree_note(struct tree *tree, const char *uid, const char *text);
size_t
tree_len(const struct tree *tree);
// tree_render appends the head line and the branches. is_done: nothing runs or waits any more.
void
tree_render(struct tree *tree, const char *root_uid, bool is_done, struct bytes *out);
