#include "base/list.h"

void
list_init(struct list *list)
{
    list->head.prev = &list->head;
    list->head.next = &list->head;
}

bool
list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}

static void
insert_between(struct list_link *link, struct list_link *prev, struct list_link *next)
{
    link->prev = prev;
    link->next = next;
    prev->next = link;
    next->prev = link;
}

void
list_append(struct list *list, struct list_link *link)
{
    insert_between(link, list->head.prev, &list->head);
}

void
list_prepend(struct list *list, struct list_link *link)
{
    insert_between(link, &list->head, list->head.next);
}

void
list_remove(struct list_link *link)
{
    if (link->next == NULL) {
        return;
    }
    link->prev->next = link->next;
    link->next->prev = link->prev;
    *link = (struct list_link){0};
}

bool
list_is_linked(const struct list_link *link)
{
    return link->next != NULL;
}

struct list_link *
list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

struct list_link *
list_next(const struct list *list, const struct list_link *link)
{
    return link->next == &list->head ? NULL : link->next;
}
