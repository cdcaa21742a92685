// classifier: what kind of file is a sample? Takes type=sample kind=raw, sends it on with
// stage=recognized, its kind and its MIME type (C1), and everything that the payload carried.
#include <string.h>

#include <magic.h>
#include <zkarton.h>

static const struct {
    const char *mime; // a beginning of it
    const char *kind;
} kinds[] = {
    {"application/zip", "archive"},
    {"application/x-tar", "archive"},
    {"application/gzip", "archive"},
    {"application/x-xz", "archive"},
    {"application/vnd.debian.binary-package", "archive"},
    {"application/x-debian-package", "archive"},
    {"application/x-pie-executable", "runnable"},
    {"application/x-executable", "runnable"},
    {"application/x-sharedlib", "runnable"},
    {"application/vnd.microsoft.portable-executable", "runnable"},
    {"application/x-dosexec", "runnable"},
    {"text/x-shellscript", "script"},
    {"text/x-script", "script"},
    {"text/", "document"},
    {"application/pdf", "document"},
    {"image/", "image"},
};

static const char *
kind_of(const char *mime)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strncmp(mime, kinds[i].mime, strlen(kinds[i].mime)) == 0) {
            return kinds[i].kind;
        }
    }
    return "other";
}

static enum zkt_err
process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    const char *path = NULL;
    const zkt_resource_t *sample = zkt_task_resource(task, "sample");
    if (sample == NULL) {
        return zkt_delivery_fail(delivery, "payload.sample: missing, or no resource");
    }
    enum zkt_err err = zkt_delivery_file(delivery, sample, &path);
    if (err != ZKT_OK) {
        return err;
    }
    // A magic cookie is not for several threads: each task opens its own.
    magic_t magic = magic_open(MAGIC_MIME_TYPE | MAGIC_ERROR);
    const char *mime = NULL;
    if (magic != NULL && magic_load(magic, NULL) == 0) {
        mime = magic_file(magic, path);
    }
    if (mime == NULL) {
        err = zkt_delivery_fail(delivery, "libmagic: %s",
                                magic != NULL ? magic_error(magic) : "out of memory");
    } else {
        zkt_task_t *child = zkt_task_derive(task, "type=sample stage=recognized");
        zkt_task_set_header(child, "kind", kind_of(mime));
        zkt_task_set_header(child, "mime", mime);
        zkt_log(delivery, ZKT_INFO, "kind=%s mime=%s", kind_of(mime), mime);
        err = zkt_delivery_send(delivery, &child);
    }
    if (magic != NULL) {
        magic_close(magic);
    }
    return err;
}

int
main(int argc, char **argv)
{
    return zkt_worker_main(argc, argv,
                           &(zkt_worker_options_t){
                               .identity = "karton.classifier",
                               .info = "Finds out what kind of file a sample is",
                               .service_version = ZKT_VERSION,
                               .filters = {"type=sample kind=raw"},
                               .process = process,
                           });
}
