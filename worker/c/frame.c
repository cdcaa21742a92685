#include "frame.h"

#include <stdlib.h>

#include "base/memory.h"

struct frame *
frame_new(void)
{
    struct frame *frame = xcalloc(1, sizeof *frame);
    atomic_init(&frame->references, 1);
    zmq_msg_init(&frame->message);
    arena_init(&frame->arena);
    return frame;
}

struct frame *
frame_ref(struct frame *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void
frame_unref(struct frame **frame_p)
{
    struct frame *frame = *frame_p;
    *frame_p = NULL;
    if (frame != NULL &&
        atomic_fetch_sub_explicit(&frame->references, 1, memory_order_acq_rel) == 1) {
        zmq_msg_close(&frame->message);
        arena_fini(&frame->arena);
        free(frame);
    }
}
