// handle.h: one function a verb. They check, say to the store what changes, and answer; what they
// decide about leases and matching is in settle.c and route.c.
#pragma once
#include "core/state.h"

// handle_hello may find no session and makes one.
void
handle_hello(struct engine *engine, struct span peer, const struct command *command);
// handle_bye ends the session.
void
handle_bye(struct engine *engine, struct session *session, const struct command *command);
void
handle_submit(struct engine *engine, struct session *session, const struct command *command);
void
handle_credit(struct engine *engine, struct session *session, const struct command *command);
void
handle_report(struct engine *engine, struct session *session, const struct command *command);
void
handle_log(struct engine *engine, struct session *session, const struct command *command);
void
handle_upload(struct engine *engine, struct session *session, const struct command *command);
void
handle_download(struct engine *engine, struct session *session, const struct command *command);
void
handle_parts(struct engine *engine, struct session *session, const struct command *command);
void
handle_complete(struct engine *engine, struct session *session, const struct command *command);
// parts_size is the size of the parts in which an object of this size may come; 0: only in one.
int64_t
parts_size(const struct engine *engine, int64_t size);
void
handle_wait(struct engine *engine, struct session *session, const struct command *command);
void
handle_query(struct engine *engine, struct session *session, const struct command *command);
void
handle_control(struct engine *engine, struct session *session, const struct command *command);

// The answers of the store.
void
handle_resumed(struct engine *engine, uint64_t request, struct hold *hold);
void
handle_retried(struct engine *engine, uint64_t request, const struct uid *retried);
void
handle_result(struct engine *engine, uint64_t request, enum zkt_err code, const struct value *rows,
              struct span next);
void
handle_parts_begun(struct engine *engine, uint64_t request, struct span upload,
                   const struct problem *problem);
void
handle_parts_completed(struct engine *engine, uint64_t request, const struct problem *problem);
// handle_release matches a held child whose parent is Finished.
void
handle_release(struct engine *engine, const struct task *task, uint64_t release);
