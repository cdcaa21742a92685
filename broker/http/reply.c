#include "http/reply.h"

#include <string.h>

#include "base/err_table.h"
#include "object/xml.h"

void
reply_add(struct MHD_Response *response, const char *name, const char *value)
{
    MHD_add_response_header(response, name, value);
}

enum MHD_Result
reply_send(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
    if (response == NULL) {
        return MHD_NO;
    }
    // What is served is often hostile: no browser may guess a type and run it here.
    reply_add(response, "X-Content-Type-Options", "nosniff");
    reply_add(response, "Content-Security-Policy", "default-src 'none'; sandbox");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

struct MHD_Response *
reply_new(const char *type, struct span text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        text.len, (void *)(uintptr_t)text.data, MHD_RESPMEM_MUST_COPY);
    if (response != NULL) {
        reply_add(response, "Content-Type", type);
        reply_add(response, "Cache-Control", "no-store");
    }
    return response;
}

enum MHD_Result
reply_text(struct MHD_Connection *connection, unsigned status, const char *type, struct span text)
{
    return reply_send(connection, status, reply_new(type, text));
}

// S3's words for our codes.
static const char *
s3_code(enum zkt_err code)
{
    switch (code) {
    case ZKT_DENIED:
        return "AccessDenied";
    case ZKT_NOT_FOUND:
        return "NoSuchKey";
    case ZKT_TOO_LARGE:
        return "EntityTooLarge";
    case ZKT_INVALID:
        return "InvalidRequest";
    case ZKT_IN_USE:
        return "OperationAborted";
    case ZKT_BUSY:
    case ZKT_DISK_FULL:
        return "SlowDown";
    default:
        return "InternalError";
    }
}

enum MHD_Result
reply_problem(struct MHD_Connection *connection, unsigned status, const struct problem *problem)
{
    struct bytes out = {0};
    bytes_printf(&out,
                 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>",
                 s3_code(problem->code));
    xml_escape(&out, problem->text);
    bytes_printf(&out, "</Message><Reason>%s</Reason></Error>\n", zkt_err_name(problem->code));
    if (status == 0) {
        status = (unsigned)err_http_status(problem->code);
    }
    enum MHD_Result result = reply_text(connection, status, "application/xml", bytes_span(&out));
    bytes_fini(&out);
    return result;
}
