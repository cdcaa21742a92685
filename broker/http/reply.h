// reply.h: answers of the HTTP port. Each queues one response and gives MHD's verdict back.
#pragma once
#include <microhttpd.h>

#include "base/bytes.h"
#include "base/problem.h"

// reply_add adds one header; the value is copied.
void
reply_add(struct MHD_Response *response, const char *name, const char *value);
// reply_send queues and lets go of the response, with the headers that every answer has.
enum MHD_Result
reply_send(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response);
// reply_new makes an answer with a body, which is copied, for reply_send; NULL: no memory.
struct MHD_Response *
reply_new(const char *type, struct span text);
// reply_text is both.
enum MHD_Result
reply_text(struct MHD_Connection *connection, unsigned status, const char *type, struct span text);
// reply_problem answers with an error document as S3 writes it; status 0: that of the code.
enum MHD_Result
reply_problem(struct MHD_Connection *connection, unsigned status, const struct problem *problem);
