// finisher.h: threads that wait for the disk. A request whose bytes are all there is handed to one
// of them while its connection is suspended, so that the HTTP thread serves others meanwhile.
#pragma once
#include <microhttpd.h>
#include <stdbool.h>

#include "base/problem.h"

struct finishers;

// How long a thread has to do with it: the long ones never take all threads.
enum finish_kind { FINISH_SHORT, FINISH_LONG };

// One request's work; a member of the request. Between finishers_take and the next call of MHD's
// handler, or the end of the request, all of it and all that run touches is the finisher's.
struct finish {
    enum finish_kind kind;
    void (*run)(void *arg);
    void *arg;
    bool is_done; // run has returned
    struct MHD_Connection *connection;
    struct finish *next;
};

// finishers_start: IO, no thread.
ZKT_MUST enum zkt_err
finishers_start(struct finishers **finishers, struct problem *problem);
// finishers_take suspends the connection and lets a thread run it; MHD's handler is called again
// behind that. False: nothing was done, since they are closed or have too many long ones.
ZKT_MUST bool
finishers_take(struct finishers *finishers, struct MHD_Connection *connection,
               struct finish *finish);
// finishers_close: none is taken any more, and none is under way when it returns.
void
finishers_close(struct finishers *finishers);
// finishers_stop closes and frees; NULL: nothing.
void
finishers_stop(struct finishers **finishers_p);
