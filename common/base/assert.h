// assert.h: assertions for our own bugs, on in release; never for input of a peer, a file or a
// flag.
#pragma once

// zkt_assert prints the condition and where it stands, and aborts. <assert.h> is banned.
#define zkt_assert(condition)                                                                      \
    ((condition) ? (void)0 : zkt_assert_failed(#condition, __FILE__, __LINE__, __func__))

_Noreturn void
zkt_assert_failed(const char *condition, const char *file, int line, const char *function);
