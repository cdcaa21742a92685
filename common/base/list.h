// list.h: intrusive doubly linked list with a sentinel. The list borrows its items.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list_link {
    struct list_link *prev;
    struct list_link *next;
};
struct list {
    struct list_link head; // sentinel: prev is the last, next the first
};

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

void
list_init(struct list *list);
bool
list_is_empty(const struct list *list);
void
list_append(struct list *list, struct list_link *link);
void
list_prepend(struct list *list, struct list_link *link);
// list_remove also marks the link as being in no list; removing a link in no list does nothing.
void
list_remove(struct list_link *link);
bool
list_is_linked(const struct list_link *link);
// list_first and list_next return NULL at the end.
struct list_link *
list_first(const struct list *list);
struct list_link *
list_next(const struct list *list, const struct list_link *link);
