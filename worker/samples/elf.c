// elf: what an ELF file says about itself: class, machine, type, interpreter and how many sections,
// as a task of type elf. Every offset in the file is somebody else's claim and is checked.
#include <elf.h>
#include <string.h>

#include <zkarton.h>

struct image {
    const unsigned char *data;
    size_t size;
    bool is_64;
    bool is_big; // big-endian
};

// A number of 2, 4 or 8 bytes at this offset; 0 beyond the end.
static uint64_t
number_at(const struct image *image, uint64_t offset, size_t width)
{
    if (offset > image->size || width > image->size - offset) {
        return 0;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++) {
        size_t at = image->is_big ? i : width - 1 - i;
        number = number << 8 | image->data[offset + at];
    }
    return number;
}

static const char *
machine_name(uint64_t machine)
{
    static const struct {
        uint64_t machine;
        const char *name;
    } rows[] = {{EM_386, "i386"},        {EM_X86_64, "x86-64"}, {EM_ARM, "arm"},
                {EM_AARCH64, "aarch64"}, {EM_RISCV, "riscv"},   {EM_MIPS, "mips"},
                {EM_PPC64, "ppc64"},     {EM_S390, "s390"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].machine == machine) {
            return rows[i].name;
        }
    }
    return "other";
}

static const char *
type_name(uint64_t type)
{
    static const char *const names[] = {"none", "relocatable", "executable", "shared", "core"};
    return type < sizeof(names) / sizeof(names[0]) ? names[type] : "other";
}

// The path in PT_INTERP into text; false: static, or damaged.
static bool
find_interpreter(const struct image *image, char *text, size_t text_size)
{
    uint64_t table = number_at(image, image->is_64 ? 32 : 28, image->is_64 ? 8 : 4);
    uint64_t entry_size = number_at(image, image->is_64 ? 54 : 42, 2);
    uint64_t entries_count = number_at(image, image->is_64 ? 56 : 44, 2);
    if (entry_size < (image->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
        table > image->size) {
        return false;
    }
    for (uint64_t i = 0; i < entries_count; i++) {
        uint64_t entry = table + i * entry_size;
        if (number_at(image, entry, 4) != PT_INTERP) {
            continue;
        }
        uint64_t offset = number_at(image, entry + (image->is_64 ? 8 : 4), image->is_64 ? 8 : 4);
        if (offset >= image->size) {
            return false;
        }
        size_t room = image->size - offset < text_size ? image->size - offset : text_size;
        const unsigned char *end = memchr(image->data + offset, '\0', room);
        if (end == NULL) {
            return false;
        }
        memcpy(text, image->data + offset, (size_t)(end - image->data) - offset + 1);
        return true;
    }
    return false;
}

static enum zkt_err
process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    const void *data = NULL;
    size_t size = 0;
    char interpreter[256] = "";
    const zkt_resource_t *sample = zkt_task_resource(task, "sample");
    if (sample == NULL) {
        return zkt_delivery_fail(delivery, "payload.sample: missing, or no resource");
    }
    enum zkt_err err = zkt_delivery_data(delivery, sample, &data, &size);
    if (err != ZKT_OK) {
        return err;
    }
    if (size < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG) != 0) {
        zkt_log(delivery, ZKT_INFO, "no ELF");
        return ZKT_OK;
    }
    struct image image = {.data = data, .size = size};
    image.is_64 = image.data[EI_CLASS] == ELFCLASS64;
    image.is_big = image.data[EI_DATA] == ELFDATA2MSB;
    const char *type = type_name(number_at(&image, 16, 2));
    const char *machine = machine_name(number_at(&image, 18, 2));
    zkt_task_t *child = zkt_task_new("type=elf");
    zkt_task_set_resource(child, "sample", sample);
    zkt_task_set_int(child, "bits", image.is_64 ? 64 : 32);
    zkt_task_set_string(child, "type", type);
    zkt_task_set_string(child, "machine", machine);
    zkt_task_set_int(child, "sections", (int64_t)number_at(&image, image.is_64 ? 60 : 48, 2));
    if (find_interpreter(&image, interpreter, sizeof(interpreter))) {
        zkt_task_set_string(child, "interpreter", interpreter);
    }
    zkt_log(delivery, ZKT_INFO, "%s %s %s", machine, type,
            interpreter[0] != '\0' ? interpreter : "static");
    return zkt_delivery_send(delivery, &child);
}

int
main(int argc, char **argv)
{
    return zkt_worker_main(argc, argv,
                           &(zkt_worker_options_t){
                               .identity = "karton.elf",
                               .info = "What an ELF file says about itself",
                               .service_version = ZKT_VERSION,
                               .filters = {"type=sample stage=recognized kind=runnable"},
                               .process = process,
                           });
}
