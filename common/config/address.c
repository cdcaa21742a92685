#include "config/address.h"

#include <string.h>
#include <strings.h>

enum { PORT_DIGITS_MAX = 5, PORT_MAX = 65535 };

static bool
is_port(const char *text, bool may_be_free)
{
    if (may_be_free && strcmp(text, "*") == 0) {
        return true;
    }
    size_t len = strspn(text, "0123456789");
    unsigned port = 0;
    for (size_t i = 0; i < len && i < PORT_DIGITS_MAX; i++) {
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return len > 0 && len <= PORT_DIGITS_MAX && text[len] == '\0' && port <= PORT_MAX;
}

static bool
is_host_port(const char *text, bool may_be_free)
{
    const char *colon = strrchr(text, ':');
    bool has_host = colon != NULL && colon != text && strpbrk(text, " /?#@") == NULL;
    return has_host && is_port(colon + 1, may_be_free);
}

const char *
address_peer_form(const char *text)
{
    if (strncmp(text, "ipc://", 6) == 0 || strncmp(text, "inproc://", 9) == 0) {
        return NULL;
    }
    bool is_tcp = strncmp(text, "tcp://", 6) == 0;
    return is_tcp && is_host_port(text + 6, true) ? NULL
                                                  : "tcp://HOST:PORT with a port up to 65535";
}

const char *
address_http_form(const char *text)
{
    return is_host_port(text, false) ? NULL : "HOST:PORT with a port up to 65535";
}

const char *
address_url_form(const char *text)
{
    size_t scheme_len = strncasecmp(text, "http://", 7) == 0    ? 7
                        : strncasecmp(text, "https://", 8) == 0 ? 8
                                                                : 0;
    const char *host = text + scheme_len;
    size_t host_len = strcspn(host, "/");
    const char *colon = strrchr(host, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL && colon < host + host_len;
    bool is_whole = scheme_len > 0 && host_len > 0 && host[0] != ':' &&
                    strspn(host + host_len, "/") == strlen(host + host_len) &&
                    strpbrk(host, " ?#@") == NULL;
    if (is_whole && has_port) {
        char port[PORT_DIGITS_MAX + 2] = "";
        size_t len = (size_t)(host + host_len - colon - 1);
        memcpy(port, colon + 1, len < sizeof port ? len : sizeof port - 1);
        is_whole = is_port(port, false);
    }
    return is_whole ? NULL : "http://HOST:PORT with a port up to 65535";
}
