#include "base/err_table.h"

#include <stddef.h>

static const struct err_row *
row(enum zkt_err err)
{
    return (size_t)err < ZKT_ERR_COUNT ? &err_table[err] : NULL;
}

const char *
zkt_err_name(enum zkt_err err)
{
    const struct err_row *found = row(err);
    return found != NULL ? found->name : "UNKNOWN";
}

bool
zkt_err_is_retryable(enum zkt_err err)
{
    const struct err_row *found = row(err);
    return found != NULL && found->is_retryable;
}

int
err_http_status(enum zkt_err err)
{
    const struct err_row *found = row(err);
    return found != NULL ? found->http_status : 500;
}

bool
err_parse(unsigned number, enum zkt_err *err)
{
    if (number >= ZKT_ERR_COUNT) {
        return false;
    }
    *err = (enum zkt_err)number;
    return true;
}
