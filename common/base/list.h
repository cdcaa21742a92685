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

static inline void
list_init(struct list *list)
{
    list->head.prev = &list->head;
    list->head.next = &list->head;
}

static inline bool
list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}

static inline void
list_insert_between(struct list_link *link, struct list_link *prev, struct list_link *next)
{
    link->prev = prev;
    link->next = next;
    prev->next = link;
    next->prev = link;
}

static inline void
list_append(struct list *list, struct list_link *link)
{
    list_insert_between(link, list->head.prev, &list->head);
}

static inline void
list_prepend(struct list *list, struct list_link *link)
{
    list_insert_between(link, &list->head, list->head.next);
}

// list_remove also marks the link as being in no list; removing a link in no list does nothing.
static inline void
list_remove(struct list_link *link)
{
    if (link->next == NULL) {
        return;
    }
    link->prev->next = link->next;
    link->next->prev = link->prev;
    *link = (struct list_link){0};
}

static inline bool
list_is_linked(const struct list_link *link)
{
    return link->next != NULL;
}

// list_first and list_next return NULL at the end.
static inline struct list_link *
list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_link *
list_next(const struct list *list, const struct list_link *link)
{
    return link->next == &list->head ? NULL : link->next;
}
