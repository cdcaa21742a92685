// options.h: what stands behind zkt_config_t.
#pragma once
#include "base/problem.h"
#include "config/config.h"
#include "zkarton.h"

struct zkt_config {
    struct config *config;
    struct problem problem; // the first mistake
};
