// The file format of LMDB 0.9 on 64-bit little-endian machines: two meta pages, then a B+tree of
// free page lists and one of records; a page begins with its own number.
//
// What one flipped bit can do and how it shows: the newer meta page looks older (numbers of the two
// must be neighbours, each at its own place), a record disappears from a page (the tree counts its
// records), a node points elsewhere (keys stop ascending, or leave what their parent promised), a
// length changes (it leaves its page, or the record's checksum does not fit).
#include "store/local/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

enum {
    PAGE_HEAD = 16,
    NODE_HEAD = 8,
    META_MAGIC_AT = 16,
    META_ADDRESS_AT = 24,
    META_DBS_AT = 40,
    DB_BYTES = 48,
    META_LAST_AT = META_DBS_AT + 2 * DB_BYTES,
    META_TXN_AT = META_LAST_AT + 8,
    META_BYTES = META_TXN_AT + 8,
    DEPTH_MAX = 32,
    PAGE_IS_BRANCH = 1,
    PAGE_IS_LEAF = 2,
    PAGE_IS_OVERFLOW = 4,
    PAGE_IS_META = 8,
    NODE_IS_BIG = 1,
};
static const uint32_t magic = 0xbeefc0de;
static const uint64_t no_page = UINT64_MAX;

struct tree {
    uint64_t root;
    uint64_t entries_count;
    uint64_t pages_count; // of all kinds
    uint16_t flags;
    uint16_t depth;
};

struct walk {
    const struct pages_visitor *visitor;
    const uint8_t *data;
    uint64_t pages_count; // in the file
    size_t page_bytes;
    uint64_t last_page;
    uint64_t damages_count;
    uint8_t *seen; // a bit per page: part of a tree
    bool is_free_tree;
    uint64_t records_count;
    struct span previous;
    bool has_previous;
};

// What a branch promises of the keys below it: low ≤ key < high. data NULL: no bound.
struct bounds {
    struct span low, high;
};

static uint16_t
le16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t
le32(const uint8_t *at)
{
    return (uint32_t)le16(at) | (uint32_t)le16(at + 2) << 16;
}

static uint64_t
le64(const uint8_t *at)
{
    return (uint64_t)le32(at) | (uint64_t)le32(at + 4) << 32;
}

static void
damage(struct walk *walk, uint64_t page, const char *reason)
{
    walk->damages_count++;
    walk->visitor->damage(walk->visitor->arg, page, reason);
}

static const uint8_t *
page_at(const struct walk *walk, uint64_t page)
{
    return walk->data + page * walk->page_bytes;
}

static bool
is_seen(const struct walk *walk, uint64_t page)
{
    return (walk->seen[page / 8] >> (page % 8) & 1) != 0;
}

// Claims a page for a tree; false: it is out of the file or belongs to another place already.
static bool
claim(struct walk *walk, uint64_t page, const char **reason)
{
    if (page < 2 || page > walk->last_page || page >= walk->pages_count) {
        *reason = "its parent names a page outside the file";
        return false;
    }
    if (is_seen(walk, page)) {
        *reason = "two places name this page";
        return false;
    }
    walk->seen[page / 8] = (uint8_t)(walk->seen[page / 8] | 1 << (page % 8));
    return true;
}

// ---- Records

static void
check_free_list(struct walk *walk, uint64_t page, struct span value)
{
    if (value.len < 8 || value.len % 8 != 0) {
        damage(walk, page, "a list of free pages has a wrong length");
        return;
    }
    uint64_t count = le64(value.data);
    if (count > value.len / 8 - 1) {
        damage(walk, page, "a list of free pages is longer than its record");
        return;
    }
    for (uint64_t index = 1; index <= count; index++) {
        uint64_t number = le64(value.data + 8 * index);
        if (number < 2 || number > walk->last_page) {
            damage(walk, page, "a list of free pages names a page outside the file");
        } else if (is_seen(walk, number)) {
            damage(walk, number, "the page is in use and in a list of free pages");
        }
    }
}

static void
visit_record(struct walk *walk, uint64_t page, struct span key, struct span value,
             const struct bounds *bounds)
{
    walk->records_count++;
    if (walk->is_free_tree) {
        check_free_list(walk, page, value);
        return;
    }
    if (walk->has_previous && span_compare(walk->previous, key) >= 0) {
        damage(walk, page, "its keys do not ascend");
    }
    if ((bounds->low.data != NULL && span_compare(key, bounds->low) < 0) ||
        (bounds->high.data != NULL && span_compare(key, bounds->high) >= 0)) {
        damage(walk, page, "a key lies outside of what its parent promises");
    }
    walk->previous = key;
    walk->has_previous = true;
    walk->visitor->record(walk->visitor->arg, key, value);
}

static bool
big_value(struct walk *walk, uint64_t page, uint64_t size, struct span *value)
{
    const char *reason;
    uint64_t count = (PAGE_HEAD + size + walk->page_bytes - 1) / walk->page_bytes;
    if (!claim(walk, page, &reason)) {
        damage(walk, page, reason);
        return false;
    }
    const uint8_t *at = page_at(walk, page);
    if (le64(at) != page || le16(at + 10) != PAGE_IS_OVERFLOW || le32(at + 12) != count ||
        count > walk->pages_count - page) {
        damage(walk, page, "the head of a large record is damaged");
        return false;
    }
    for (uint64_t index = 1; index < count; index++) {
        if (!claim(walk, page + index, &reason)) {
            damage(walk, page + index, reason);
            return false;
        }
    }
    *value = span_of(at + PAGE_HEAD, size);
    return true;
}

// ---- Pages

struct node {
    uint32_t size; // of the value
    uint16_t flags;
    uint64_t child; // of a branch
    struct span key;
    const uint8_t *value;
};

static bool
node_at(const struct walk *walk, const uint8_t *page, unsigned index, bool is_branch,
        struct node *node)
{
    size_t offset = le16(page + PAGE_HEAD + 2 * index);
    size_t upper = le16(page + 14);
    if (offset < upper || offset % 2 != 0 || offset + NODE_HEAD > walk->page_bytes) {
        return false;
    }
    const uint8_t *at = page + offset;
    size_t key_len = le16(at + 6);
    node->size = le32(at);
    node->flags = le16(at + 4);
    node->child = (uint64_t)node->size | (uint64_t)node->flags << 32;
    if (offset + NODE_HEAD + key_len > walk->page_bytes) {
        return false;
    }
    node->key = span_of(at + NODE_HEAD, key_len);
    node->value = at + NODE_HEAD + key_len;
    if (is_branch) {
        return true;
    }
    size_t room = walk->page_bytes - offset - NODE_HEAD - key_len;
    size_t used = (node->flags & NODE_IS_BIG) != 0 ? 8 : node->size;
    return (node->flags & ~NODE_IS_BIG) == 0 && used <= room;
}

static void
walk_leaf(struct walk *walk, uint64_t page, unsigned nodes_count, const struct bounds *bounds)
{
    for (unsigned index = 0; index < nodes_count; index++) {
        struct node node;
        if (!node_at(walk, page_at(walk, page), index, false, &node)) {
            damage(walk, page, "a record reaches out of its page");
            continue;
        }
        struct span value = span_of(node.value, node.size);
        if ((node.flags & NODE_IS_BIG) == 0 ||
            big_value(walk, le64(node.value), node.size, &value)) {
            visit_record(walk, page, node.key, value, bounds);
        }
    }
}

// Pages nest as deep as the tree is high, at most DEPTH_MAX.
static void
walk_page(struct walk *walk, uint64_t page, unsigned levels_left, const struct bounds *bounds)
{
    const char *reason = "the tree is deeper than it says";
    if (levels_left == 0 || !claim(walk, page, &reason)) {
        damage(walk, page, reason);
        return;
    }
    const uint8_t *at = page_at(walk, page);
    unsigned flags = le16(at + 10);
    size_t lower = le16(at + 12);
    size_t upper = le16(at + 14);
    bool is_leaf = flags == PAGE_IS_LEAF;
    if (le64(at) != page || flags != (levels_left == 1 ? PAGE_IS_LEAF : PAGE_IS_BRANCH) ||
        lower < PAGE_HEAD || lower > upper || upper > walk->page_bytes || lower % 2 != 0) {
        damage(walk, page, "its head is damaged");
        return;
    }
    unsigned nodes_count = (unsigned)((lower - PAGE_HEAD) / 2);
    if (is_leaf) {
        walk_leaf(walk, page, nodes_count, bounds);
        return;
    }
    for (unsigned index = 0; index < nodes_count; index++) {
        struct node node;
        struct node next;
        if (!node_at(walk, at, index, true, &node)) {
            damage(walk, page, "a branch reaches out of its page");
            continue;
        }
        struct bounds inner = *bounds;
        if (index > 0) { // the first one's key says nothing
            inner.low = node.key;
        }
        if (index + 1 < nodes_count && node_at(walk, at, index + 1, true, &next)) {
            inner.high = next.key;
        }
        walk_page(walk, node.child, levels_left - 1, &inner);
    }
}

static void
walk_tree(struct walk *walk, const struct tree *tree, uint64_t meta_page)
{
    walk->records_count = 0;
    walk->has_previous = false;
    if (tree->root == no_page) {
        if (tree->entries_count != 0 || tree->depth != 0) {
            damage(walk, meta_page, "an empty tree says that it has records");
        }
        return;
    }
    if (tree->depth == 0 || tree->depth > DEPTH_MAX) {
        damage(walk, meta_page, "the depth of a tree is impossible");
        return;
    }
    walk_page(walk, tree->root, tree->depth, &(struct bounds){0});
    if (walk->records_count != tree->entries_count) {
        damage(walk, meta_page, "there are more or fewer records than the tree says");
    }
}

// ---- Meta pages

static struct tree
tree_of(const uint8_t *meta, unsigned index)
{
    const uint8_t *at = meta + META_DBS_AT + index * DB_BYTES;
    return (struct tree){.flags = le16(at + 4),
                         .depth = le16(at + 6),
                         .pages_count = le64(at + 8) + le64(at + 16) + le64(at + 24),
                         .entries_count = le64(at + 32),
                         .root = le64(at + 40)};
}

static bool
tree_is_sane(const struct tree *tree, uint64_t last_page)
{
    bool is_empty = tree->root == no_page;
    return tree->depth <= DEPTH_MAX && (tree->depth == 0) == is_empty &&
           (is_empty || (tree->root >= 2 && tree->root <= last_page)) &&
           tree->pages_count <= last_page;
}

static bool
meta_is_whole(const uint8_t *meta, uint64_t page)
{
    struct tree free_pages = tree_of(meta, 0);
    struct tree records = tree_of(meta, 1);
    uint64_t last_page = le64(meta + META_LAST_AT);
    return le64(meta) == page && le16(meta + 10) == PAGE_IS_META &&
           le32(meta + META_MAGIC_AT) == magic && le32(meta + META_MAGIC_AT + 4) == 1 &&
           le64(meta + META_ADDRESS_AT) == 0 && tree_is_sane(&free_pages, last_page) &&
           tree_is_sane(&records, last_page) && records.flags == 0;
}

// Both meta pages must be whole and belong together, for nothing else tells which is the newer.
static bool
read_meta(struct walk *walk, size_t file_bytes, const uint8_t **meta, uint64_t *meta_page)
{
    const uint8_t *first = walk->data;
    size_t page_bytes = file_bytes >= META_BYTES ? le32(first + META_DBS_AT) : 0;
    bool is_size = page_bytes >= 512 && page_bytes <= 65536 && (page_bytes & (page_bytes - 1)) == 0;
    if (!is_size || file_bytes < 2 * page_bytes || !meta_is_whole(first, 0)) {
        damage(walk, 0, "the meta page is damaged");
        return false;
    }
    const uint8_t *second = first + page_bytes;
    if (!meta_is_whole(second, 1) || le32(second + META_DBS_AT) != page_bytes) {
        damage(walk, 1, "the meta page is damaged");
        return false;
    }
    uint64_t first_txn = le64(first + META_TXN_AT);
    uint64_t second_txn = le64(second + META_TXN_AT);
    bool is_new = first_txn == 0 && second_txn == 0;
    bool is_pair = first_txn % 2 == 0 && second_txn % 2 == 1 &&
                   (first_txn == second_txn + 1 || second_txn == first_txn + 1);
    if (!is_new && !is_pair) {
        damage(walk, 0, "the two meta pages do not belong together");
        return false;
    }
    *meta_page = second_txn > first_txn;
    *meta = second_txn > first_txn ? second : first;
    walk->page_bytes = page_bytes;
    walk->pages_count = file_bytes / page_bytes;
    walk->last_page = le64(*meta + META_LAST_AT);
    return true;
}

// The page number and the kind of a root; what lies below it is not looked at.
static void
look_at_root(struct walk *walk, const struct tree *tree)
{
    if (tree->root == no_page) {
        return;
    }
    const uint8_t *at = page_at(walk, tree->root);
    if (le64(at) != tree->root ||
        le16(at + 10) != (tree->depth == 1 ? PAGE_IS_LEAF : PAGE_IS_BRANCH)) {
        damage(walk, tree->root, "its head is damaged");
    }
}

// is_whole false: only what LMDB trusts when it opens the file.
static void
walk_file(struct walk *walk, size_t file_bytes, bool is_whole)
{
    const uint8_t *meta;
    uint64_t meta_page;
    if (!read_meta(walk, file_bytes, &meta, &meta_page)) {
        return;
    }
    bool is_short = walk->last_page >= walk->pages_count;
    if (!is_whole && !is_short) {
        struct tree trees[] = {tree_of(meta, 1), tree_of(meta, 0)};
        look_at_root(walk, &trees[0]);
        look_at_root(walk, &trees[1]);
        return;
    }
    walk->seen = xcalloc(walk->pages_count / 8 + 1, 1);
    struct tree records = tree_of(meta, 1);
    walk_tree(walk, &records, meta_page);
    struct tree free_pages = tree_of(meta, 0);
    walk->is_free_tree = true;
    walk_tree(walk, &free_pages, meta_page);
    free(walk->seen);
    // Pages at the end that LMDB gave back in the transaction that took them were never written;
    // then the file is whole without them.
    if (is_short && walk->damages_count > 0) {
        damage(walk, meta_page, "the file is shorter than its meta page says");
    }
}

static enum zkt_err
walk_path(const char *path, const struct pages_visitor *visitor, bool is_whole,
          struct problem *problem)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1 || fstat(fd, &status) == -1) {
        enum zkt_err err = errno == ENOENT || errno == ENOTDIR ? ZKT_NOT_FOUND : ZKT_IO;
        problem_set(problem, err, "%s: %s", path, strerror(errno));
        if (fd != -1) {
            close(fd);
        }
        return err;
    }
    size_t file_bytes = (size_t)status.st_size;
    struct walk walk = {.visitor = visitor};
    if (file_bytes < META_BYTES) {
        close(fd);
        damage(&walk, 0, "the file is too short for a meta page");
        return ZKT_OK;
    }
    void *map = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        return problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno));
    }
    walk.data = map;
    walk_file(&walk, file_bytes, is_whole);
    munmap(map, file_bytes);
    return ZKT_OK;
}

enum zkt_err
pages_walk(const char *path, const struct pages_visitor *visitor, struct problem *problem)
{
    return walk_path(path, visitor, true, problem);
}

// ---- The first damage

struct verify {
    const char *path;
    struct problem *problem;
};

static void
pass_record(void *arg, struct span key, struct span value)
{
    (void)arg;
    (void)key;
    (void)value;
}

static void
note_damage(void *arg, uint64_t page, const char *reason)
{
    const struct verify *verify = arg;
    if (verify->problem->code == ZKT_OK) {
        problem_set(verify->problem, ZKT_STORE_CORRUPT,
                    "%.240s: page %" PRIu64 ": %s. Nothing was changed; put a copy back, or see "
                    "`zkarton-broker store check`",
                    verify->path, page, reason);
    }
}

enum zkt_err
pages_verify(const char *path, bool is_whole, struct problem *problem)
{
    struct problem found = {.code = ZKT_OK};
    struct verify verify = {path, &found};
    const struct pages_visitor visitor = {&verify, pass_record, note_damage};
    enum zkt_err err = walk_path(path, &visitor, is_whole, problem);
    if (err == ZKT_OK && found.code != ZKT_OK) {
        *problem = found;
        err = found.code;
    }
    return err;
}
