// object_client: PUTs or GETs one URL after the other, a line of stdin each, over kept connections:
//     object_client put|get FILE SIZE THREADS < URLs
// A PUT sends the first SIZE bytes of FILE; a GET must bring SIZE bytes. Prints the seconds that
// all of it took.
#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64 };

static struct {
    char **urls;
    size_t urls_count;
    atomic_size_t next;
    const char *data;
    size_t size;
    int is_put;
} job;

struct body {
    size_t done;
};

static size_t
on_read(char *data, size_t size, size_t items_count, void *arg)
{
    struct body *body = arg;
    size_t left = job.size - body->done;
    size_t len = size * items_count < left ? size * items_count : left;
    memcpy(data, job.data + body->done, len);
    body->done += len;
    return len;
}

static size_t
on_write(char *data, size_t size, size_t items_count, void *arg)
{
    (void)data;
    struct body *body = arg;
    body->done += size * items_count;
    return size * items_count;
}

static void
transfer(CURL *curl, const char *url, struct curl_slist *headers)
{
    struct body body = {0};
    struct body answer = {0};
    long status = 0;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 262144L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    if (job.is_put) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)job.size);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, &body);
    }
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    size_t done = job.is_put ? body.done : answer.done;
    if (result != CURLE_OK || status < 200 || status > 299 || done != job.size) {
        fprintf(stderr, "object_client: %s: %s, status %ld, %zu bytes\n", url,
                curl_easy_strerror(result), status, done);
        exit(1);
    }
}

static void *
run(void *arg)
{
    (void)arg;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    size_t at;
    while ((at = atomic_fetch_add(&job.next, 1)) < job.urls_count) {
        transfer(curl, job.urls[at], headers);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return NULL;
}

static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
read_urls(void)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) != -1) {
        line[strcspn(line, "\r\n")] = '\0';
        job.urls = realloc(job.urls, (job.urls_count + 1) * sizeof *job.urls);
        if (job.urls == NULL) {
            abort();
        }
        job.urls[job.urls_count++] = line;
        line = NULL;
        capacity = 0;
    }
    free(line);
}

int
main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: object_client put|get FILE SIZE THREADS < URLs\n");
        return 2;
    }
    job.is_put = strcmp(argv[1], "put") == 0;
    job.size = strtoul(argv[3], NULL, 10);
    size_t threads_count = strtoul(argv[4], NULL, 10);
    int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    void *mapped = mmap(NULL, job.size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (fd == -1 || mapped == MAP_FAILED || threads_count == 0 || threads_count > THREADS_MAX) {
        fprintf(stderr, "object_client: %s cannot be read, or THREADS is wrong\n", argv[2]);
        return 2;
    }
    job.data = mapped;
    read_urls();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    pthread_t threads[THREADS_MAX];
    double start_s = now_s();
    for (size_t i = 0; i < threads_count; i++) {
        if (pthread_create(&threads[i], NULL, run, NULL) != 0) {
            return 1;
        }
    }
    for (size_t i = 0; i < threads_count; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("%.6f\n", now_s() - start_s);
    return 0;
}
