// frame.h: a message of the broker, shared by the tasks that it delivered.
#pragma once
#include <stdatomic.h>
#include <zmq.h>

#include "base/arena.h"

struct frame {
    atomic_uint references;
    zmq_msg_t message;
    struct arena arena; // what the decoder made of it
};

struct frame *
frame_new(void);
struct frame *
frame_ref(struct frame *frame);
void
frame_unref(struct frame **frame_p);
