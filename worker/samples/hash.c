// hash: MD5, SHA-1 and SHA-256 of every recognized sample, as a task of type hash.
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <zkarton.h>

enum { CHUNK_BYTES = 64 << 10, DIGESTS_COUNT = 3, HEX_SIZE = 2 * EVP_MAX_MD_SIZE + 1 };

static void
to_hex(const unsigned char *digest, unsigned len, char hex[HEX_SIZE])
{
    for (unsigned i = 0; i < len; i++) {
        snprintf(hex + 2 * (size_t)i, 3, "%02x", digest[i]);
    }
}

// One pass over the file for all digests. False: reading failed.
static bool
hash_file(const char *path, EVP_MD_CTX *const *contexts, int64_t *size)
{
    static const size_t chunk_size = CHUNK_BYTES;
    unsigned char chunk[CHUNK_BYTES];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    size_t len;
    while ((len = fread(chunk, 1, chunk_size, file)) > 0) {
        *size += (int64_t)len;
        for (size_t i = 0; i < DIGESTS_COUNT; i++) {
            EVP_DigestUpdate(contexts[i], chunk, len);
        }
    }
    bool is_good = ferror(file) == 0;
    fclose(file);
    return is_good;
}

static enum zkt_err
process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    static const char *const names[DIGESTS_COUNT] = {"md5", "sha1", "sha256"};
    const EVP_MD *const methods[DIGESTS_COUNT] = {EVP_md5(), EVP_sha1(), EVP_sha256()};
    EVP_MD_CTX *contexts[DIGESTS_COUNT];
    const char *path = NULL;
    const zkt_resource_t *sample = zkt_task_resource(task, "sample");
    if (sample == NULL) {
        return zkt_delivery_fail(delivery, "payload.sample: missing, or no resource");
    }
    enum zkt_err err = zkt_delivery_file(delivery, sample, &path);
    if (err != ZKT_OK) {
        return err;
    }
    for (size_t i = 0; i < DIGESTS_COUNT; i++) {
        contexts[i] = EVP_MD_CTX_new();
        EVP_DigestInit_ex(contexts[i], methods[i], NULL);
    }
    int64_t size = 0;
    bool is_good = hash_file(path, contexts, &size);
    zkt_task_t *child = zkt_task_new("type=hash");
    zkt_task_set_resource(child, "sample", sample);
    zkt_task_set_int(child, "size", size);
    for (size_t i = 0; i < DIGESTS_COUNT; i++) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned len = 0;
        char hex[HEX_SIZE] = "";
        EVP_DigestFinal_ex(contexts[i], digest, &len);
        EVP_MD_CTX_free(contexts[i]);
        to_hex(digest, len, hex);
        zkt_task_set_string(child, names[i], hex);
        if (strcmp(names[i], "sha256") == 0 && is_good) {
            zkt_log(delivery, ZKT_INFO, "sha256 %.8s…", hex);
        }
    }
    if (!is_good) {
        zkt_task_destroy(&child);
        return zkt_delivery_fail(delivery, "%s: cannot read", path);
    }
    return zkt_delivery_send(delivery, &child);
}

int
main(int argc, char **argv)
{
    return zkt_worker_main(argc, argv,
                           &(zkt_worker_options_t){
                               .identity = "karton.hash",
                               .info = "MD5, SHA-1 and SHA-256 of every recognized sample",
                               .service_version = ZKT_VERSION,
                               .filters = {"type=sample stage=recognized"},
                               .process = process,
                           });
}
