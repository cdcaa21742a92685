// Tasks hang below the task that sent them (parent), the initial ones below the analysis. A file
// that a task did not get from its parent stands on a line of its own above those who took it.
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/memory.h"
#include "output.h"
#include "rows.h"

enum { TREE_DEPTH_MAX = 256, STATE_WIDTH = 8 };

struct tree_node {
    char *uid; // all texts owned
    char *parent_uid;
    char *identity;
    char *state;
    char *headers;
    char *error;
    char *note;
    char *file_uid; // of the first resource, or NULL
    char *file_name;
    int64_t file_size;
    int64_t started_ms;
    int64_t changed_ms;
    // In memory of the drawing only.
    struct tree_node *first_child;
    struct tree_node *last_child;
    struct tree_node *next;
    struct tree_node *parent;
    bool is_grouped;
};

struct tree {
    struct tree_node **nodes; // owned
    size_t nodes_count;
    size_t nodes_capacity;
    struct map *by_uid;
};

struct tree *
tree_new(void)
{
    struct tree *tree = xcalloc(1, sizeof(*tree));
    tree->by_uid = map_new();
    return tree;
}

void
tree_destroy(struct tree **tree_p)
{
    struct tree *tree = *tree_p;
    *tree_p = NULL;
    if (tree == NULL) {
        return;
    }
    for (size_t i = 0; i < tree->nodes_count; i++) {
        struct tree_node *node = tree->nodes[i];
        char *texts[] = {node->uid,   node->parent_uid, node->identity,
                         node->state, node->headers,    node->error,
                         node->note,  node->file_uid,   node->file_name};
        for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
            free(texts[t]);
        }
        free(node);
    }
    map_destroy(&tree->by_uid);
    free(tree->nodes);
    free(tree);
}

static char *
copy_text(const zkt_value_t *row, const char *key)
{
    const char *text = row_text(row, key, NULL);
    return text != NULL ? xstrdup(text) : NULL;
}

// The name of a resource may hold any bytes, NUL too.
static char *
file_name(const zkt_value_t *file)
{
    const zkt_value_t *name = zkt_value_get(file, "name");
    const char *text = zkt_value_string(name, NULL);
    if (text == NULL) {
        return NULL;
    }
    struct bytes safe = {0};
    text_make_utf8(&safe, text, zkt_value_len(name));
    char *copy = xstrdup(bytes_text(&safe));
    bytes_fini(&safe);
    return copy;
}

void
tree_add(struct tree *tree, const zkt_value_t *row)
{
    struct tree_node *node = xcalloc(1, sizeof(*node));
    const zkt_value_t *file = zkt_value_at(zkt_value_get(row, "resources"), 0);
    struct bytes headers = {0};
    row_headers(zkt_value_get(row, "headers"), &headers);
    node->uid = xstrdup(row_uid(row_text(row, "uid", "")));
    node->parent_uid = copy_text(row, "parent");
    node->identity = xstrdup(row_text(row, "identity", "(not routed)"));
    node->state = xstrdup(row_text(row, "state", ""));
    node->headers = xstrdup(bytes_text(&headers));
    node->error = copy_text(row, "error");
    node->file_uid = copy_text(file, "uid");
    node->file_name = file_name(file);
    node->file_size = row_int(file, "size", -1);
    node->started_ms = row_int(row, "started_ms", 0);
    node->changed_ms = row_int(row, "changed_ms", 0);
    bytes_fini(&headers);
    if (tree->nodes_count == tree->nodes_capacity) {
        tree->nodes_capacity = tree->nodes_capacity == 0 ? 64 : tree->nodes_capacity * 2;
        tree->nodes = xrealloc(tree->nodes, tree->nodes_capacity * sizeof(struct tree_node *));
    }
    tree->nodes[tree->nodes_count++] = node;
    map_put(tree->by_uid, node->uid, strlen(node->uid), node);
}

void
tree_note(struct tree *tree, const char *uid, const char *text)
{
    uid = row_uid(uid);
    struct tree_node *node = map_get(tree->by_uid, uid, strlen(uid));
    if (node != NULL) {
        free(node->note);
        node->note = xstrdup(text);
    }
}

size_t
tree_len(const struct tree *tree)
{
    return tree->nodes_count;
}

static int
by_uid(const void *a, const void *b)
{
    return strcmp((*(struct tree_node *const *)a)->uid, (*(struct tree_node *const *)b)->uid);
}

// Uids of routed tasks grow, so that this is the order of routing.
static void
link_nodes(struct tree *tree, struct tree_node *top)
{
    qsort(tree->nodes, tree->nodes_count, sizeof(struct tree_node *), by_uid);
    for (size_t i = 0; i < tree->nodes_count; i++) {
        struct tree_node *node = tree->nodes[i];
        const char *parent_uid = node->parent_uid != NULL ? row_uid(node->parent_uid) : "";
        struct tree_node *parent = map_get(tree->by_uid, parent_uid, strlen(parent_uid));
        node->parent = parent != NULL && parent != node ? parent : top;
        node->next = NULL;
        if (node->parent->last_child != NULL) {
            node->parent->last_child->next = node;
        } else {
            node->parent->first_child = node;
        }
        node->parent->last_child = node;
    }
}

// The last line of the error with the first: "exit status 9: unzip: cannot find …".
static void
append_error(struct bytes *out, const char *error)
{
    size_t end = strlen(error);
    while (end > 0 && error[end - 1] == '\n') {
        end--;
    }
    size_t start = end;
    while (start > 0 && error[start - 1] != '\n') {
        start--;
    }
    while (start < end && error[start] == ' ') {
        start++;
    }
    size_t first_len = strcspn(error, "\n");
    struct bytes text = {0};
    bytes_append(&text, error, first_len);
    if (start > first_len) {
        bytes_append_text(&text, ": ");
        bytes_append(&text, error + start, end - start);
    }
    output_text(out, bytes_text(&text));
    bytes_fini(&text);
}

static size_t
column_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += (*text & 0xc0) != 0x80;
    }
    return width;
}

struct drawing {
    struct bytes *out;
    size_t name_width; // from the left edge to the states
};

static void
draw_task(struct drawing *drawing, const char *lead, const struct tree_node *node)
{
    struct bytes name = {0};
    char duration[FORMAT_TEXT_SIZE] = "";
    bytes_append_text(&name, lead);
    output_text(&name, node->identity);
    bytes_append(drawing->out, name.data, name.len);
    for (size_t at = column_of(bytes_text(&name)); at < drawing->name_width; at++) {
        bytes_append_byte(drawing->out, ' ');
    }
    bytes_append_byte(drawing->out, ' ');
    output_state(drawing->out, node->state, STATE_WIDTH);
    bool has_ended = strcmp(node->state, "Finished") == 0 || strcmp(node->state, "Crashed") == 0;
    if (has_ended && node->started_ms > 0 && node->changed_ms >= node->started_ms) {
        format_ms(node->changed_ms - node->started_ms, duration);
    }
    bytes_printf(drawing->out, " %8s  ", duration);
    if (strcmp(node->state, "Crashed") == 0 && node->error != NULL) {
        append_error(drawing->out, node->error);
    } else {
        output_text(drawing->out, node->note != NULL ? node->note : node->headers);
    }
    bytes_append_byte(drawing->out, '\n');
    bytes_fini(&name);
}

// Does this task bring a file that its parent did not have?
static bool
has_own_file(const struct tree_node *node)
{
    const struct tree_node *parent = node->parent;
    return node->file_uid != NULL && node->file_name != NULL && parent->uid != NULL &&
           (parent->file_uid == NULL || strcmp(parent->file_uid, node->file_uid) != 0);
}

static bool
is_same_file(const struct tree_node *a, const struct tree_node *b)
{
    return a->file_uid != NULL && b->file_uid != NULL && strcmp(a->file_uid, b->file_uid) == 0;
}

// The next sibling that is not drawn yet and, with `like`, has its file.
static struct tree_node *
next_open(struct tree_node *node, const struct tree_node *like)
{
    while (node != NULL && (node->is_grouped || (like != NULL && !is_same_file(node, like)))) {
        node = node->next;
    }
    return node;
}

static void
draw_children(struct drawing *drawing, struct tree_node *parent, const char *lead, unsigned depth);

static void
draw_one(struct drawing *drawing, struct tree_node *node, const char *lead, bool is_last,
         unsigned depth)
{
    char *own = xasprintf("%s%s ", lead, is_last ? "└─" : "├─");
    char *below = xasprintf("%s%s ", lead, is_last ? "  " : "│ ");
    node->is_grouped = true;
    draw_task(drawing, own, node);
    draw_children(drawing, node, below, depth + 1);
    free(own);
    free(below);
}

// A line for the file, then everybody who took it.
static void
draw_file(struct drawing *drawing, struct tree_node *first, const char *lead, bool is_last,
          unsigned depth)
{
    char size[FORMAT_TEXT_SIZE];
    bytes_printf(drawing->out, "%s%s ", lead, is_last ? "└─" : "├─");
    output_text(drawing->out, first->file_name);
    if (first->file_size >= 0) {
        bytes_printf(drawing->out, "  %s", format_size(first->file_size, size));
    }
    bytes_append_byte(drawing->out, '\n');
    char *below = xasprintf("%s%s ", lead, is_last ? "  " : "│ ");
    struct tree_node *node = first;
    while (node != NULL) {
        struct tree_node *next = next_open(node->next, first);
        draw_one(drawing, node, below, next == NULL, depth + 1);
        node = next;
    }
    free(below);
}

static bool
has_more(struct tree_node *first, const struct tree_node *not_like)
{
    struct tree_node *node = next_open(first->next, NULL);
    while (node != NULL && not_like != NULL && is_same_file(node, not_like)) {
        node = next_open(node->next, NULL);
    }
    return node != NULL;
}

static void
draw_children(struct drawing *drawing, struct tree_node *parent, const char *lead, unsigned depth)
{
    if (depth > TREE_DEPTH_MAX) {
        bytes_printf(drawing->out, "%s└─ …\n", lead);
        return;
    }
    struct tree_node *node = next_open(parent->first_child, NULL);
    while (node != NULL) {
        if (has_own_file(node)) {
            draw_file(drawing, node, lead, !has_more(node, node), depth);
        } else {
            draw_one(drawing, node, lead, !has_more(node, NULL), depth);
        }
        node = next_open(node->next, NULL);
    }
}

static size_t
depth_of(const struct tree_node *node)
{
    size_t depth = 0;
    while (node->parent != NULL && depth < TREE_DEPTH_MAX) {
        depth += has_own_file(node) ? 2 : 1;
        node = node->parent;
    }
    return depth;
}

static void
draw_head(struct drawing *drawing, const struct tree *tree, const struct tree_node *top,
          const char *root_uid, bool is_done)
{
    const struct tree_node *first = top->first_child;
    char text[FORMAT_TEXT_SIZE];
    size_t crashed_count = 0;
    int64_t begin_ms = INT64_MAX;
    int64_t end_ms = 0;
    for (size_t i = 0; i < tree->nodes_count; i++) {
        const struct tree_node *node = tree->nodes[i];
        crashed_count += strcmp(node->state, "Crashed") == 0;
        begin_ms =
            node->started_ms > 0 && node->started_ms < begin_ms ? node->started_ms : begin_ms;
        end_ms = node->changed_ms > end_ms ? node->changed_ms : end_ms;
    }
    if (first != NULL && first->file_name != NULL) {
        output_text(drawing->out, first->file_name);
        if (first->file_size >= 0) {
            bytes_printf(drawing->out, "  %s", format_size(first->file_size, text));
        }
        bytes_append_text(drawing->out, "  ");
    }
    bytes_printf(drawing->out, "analysis %s  ", root_uid);
    bytes_append_text(drawing->out, !is_done ? "running" : crashed_count > 0 ? "CRASHED" : "done");
    bytes_printf(drawing->out, "  %zu task%s", tree->nodes_count,
                 tree->nodes_count == 1 ? "" : "s");
    if (end_ms >= begin_ms) {
        bytes_printf(drawing->out, "  %s", format_ms(end_ms - begin_ms, text));
    }
    bytes_append_byte(drawing->out, '\n');
}

void
tree_render(struct tree *tree, const char *root_uid, bool is_done, struct bytes *out)
{
    struct tree_node top = {0};
    struct drawing drawing = {.out = out};
    link_nodes(tree, &top);
    for (size_t i = 0; i < tree->nodes_count; i++) {
        size_t width = depth_of(tree->nodes[i]) * 3 + column_of(tree->nodes[i]->identity);
        drawing.name_width = width > drawing.name_width ? width : drawing.name_width;
    }
    draw_head(&drawing, tree, &top, root_uid, is_done);
    draw_children(&drawing, &top, "", 0);
}
