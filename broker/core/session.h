// session.h: sessions: who is connected, since when silent, with how much room.
#pragma once
#include "core/state.h"

// session_of_peer and session_of_instance return NULL when there is none.
struct session *
session_of_peer(const struct engine *engine, struct span peer);
struct session *
session_of_instance(const struct engine *engine, const struct uid *instance);
// session_new makes a session without peer and consumer.
struct session *
session_new(struct engine *engine, const struct uid *instance);
// session_renew gives it a new number: what was still to be answered is not sent any more; waits
// and requests end.
void
session_renew(struct engine *engine, struct session *session);
// session_describe takes identity, host, language, pid and role of a HELLO.
void
session_describe(struct session *session, const struct hello *hello);
void
session_attach(struct engine *engine, struct session *session, struct span peer);
// session_detach: the peer is gone, its process may come back with a HELLO before the expiry.
void
session_detach(struct engine *engine, struct session *session);
void
session_join(struct engine *engine, struct session *session, struct consumer *consumer);
void
session_leave(struct engine *engine, struct session *session);
// session_may_ask: ZKT_LIMIT while too many of its questions wait for their answers
// (requests_count, which who asks counts up).
enum zkt_err
session_may_ask(const struct session *session, struct problem *problem);
// session_heard: anything that was received is a sign of life.
void
session_heard(struct engine *engine, struct session *session);
// session_refresh_free computes its room again after any change of window, leases or state.
void
session_refresh_free(struct engine *engine, struct session *session);
// session_send sends now; a peer that cannot take it is detached, and false returned.
bool
session_send(struct engine *engine, struct session *session, const struct command *command);
// session_error answers (or tells) an ERROR now.
void
session_error(struct engine *engine, struct session *session, const struct command *at_fault,
              const struct problem *problem);
// peer_error does so to a peer that may have no session.
void
peer_error(struct engine *engine, struct span peer, const struct command *at_fault,
           const struct problem *problem);
// session_revoke tells a worker that deliveries are not its own any more, after what was said
// before.
void
session_revoke(struct engine *engine, struct session *session, const uint64_t *deliveries,
               size_t deliveries_count, const char *reason);

// LEFT: it said BYE; LOST: it was silent; MOVED: its process serves another consumer now.
enum session_end { SESSION_LEFT, SESSION_LOST, SESSION_MOVED };
// session_end gives back its leases (LOST: the first `concurrency` of them count an attempt), tells
// its consumer, and frees it.
void
session_end(struct engine *engine, struct session **session_p, enum session_end how);
// session_destroy_all frees every session, telling nobody; for the end of the engine.
void
session_destroy_all(struct engine *engine);
