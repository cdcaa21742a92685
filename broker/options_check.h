// options_check.h: options that are right one by one and cannot work together.
#pragma once
#include "options.h"

// options_check looks at what needs no start to be seen: times that contradict each other, the
// addresses and names of the object store. CONFIG_INVALID names file, section and option.
ZKT_MUST enum zkt_err
options_check(const struct broker_options *options, struct problem *problem);
