// err_table.h: the rows behind zkarton_err.h.
#pragma once
#include "base/zkarton_err.h"

struct err_row {
    const char *name;
    bool is_retryable;
    int http_status;
};

extern const struct err_row err_table[ZKT_ERR_COUNT];

// err_http_status answers the HTTP status that stands for err.
int
err_http_status(enum zkt_err err);
// err_parse finds a code by its wire number; false: no such number.
bool
err_parse(unsigned number, enum zkt_err *err);
