#include "runtime/hip/bandwidth.h"

#include <string.h>

#define TRIES 5

typedef struct bench {
    const ash_hip *hip;
    uint32_t timeout_ms;
    size_t bytes;
    void *card[2], *host;
    ash_hip_stream *stream;
    ash_hip_event *event[2];
} bench;

static ash_status prepare(bench *b, ash_error *err)
{
    const ash_hip *hip = b->hip;
    const char *what = "memory to measure copies with";
    for (int i = 0; i < 2; i++)
        ASH_TRY(ash_hip_check(hip, hip->Malloc(&b->card[i], b->bytes), err, what));
    ASH_TRY(ash_hip_check(hip, hip->HostMalloc(&b->host, b->bytes, 0), err, what));
    ASH_TRY(ash_hip_check(hip, hip->StreamCreateWithFlags(&b->stream, ASH_HIP_STREAM_NON_BLOCKING), err, "a stream"));
    for (int i = 0; i < 2; i++)
        ASH_TRY(ash_hip_check(hip, hip->EventCreateWithFlags(&b->event[i], ASH_HIP_EVENT_TIMING), err, "an event"));
    memset(b->host, 0x5a, b->bytes);
    return ash_hip_check(hip, hip->MemsetAsync(b->card[0], 0x5a, b->bytes, b->stream), err, what);
}

static ash_status measure(bench *b, void *to, const void *from, int kind, double *out, ash_error *err)
{
    const ash_hip *hip = b->hip;
    const char *what = "measuring copies";
    float best = 0;
    for (int i = 0; i < TRIES; i++) {
        float ms = 0;
        ASH_TRY(ash_hip_check(hip, hip->EventRecord(b->event[0], b->stream), err, what));
        ASH_TRY(ash_hip_check(hip, hip->MemcpyAsync(to, from, b->bytes, kind, b->stream), err, what));
        ASH_TRY(ash_hip_check(hip, hip->EventRecord(b->event[1], b->stream), err, what));
        ASH_TRY(ash_hip_wait(hip, b->event[1], b->timeout_ms, what, err));
        ASH_TRY(ash_hip_check(hip, hip->EventElapsedTime(&ms, b->event[0], b->event[1]), err, what));
        if (ms > 0 && (best == 0 || ms < best))
            best = ms;
    }
    *out = best > 0 ? (double)b->bytes / ((double)best * 1e-3) : 0;
    return ASH_OK;
}

static ash_status measure_all(bench *b, ash_bandwidth *out, ash_error *err)
{
    ASH_TRY(prepare(b, err));
    ASH_TRY(measure(b, b->card[0], b->host, ASH_HIP_TO_DEVICE, &out->up, err));
    ASH_TRY(measure(b, b->host, b->card[0], ASH_HIP_TO_HOST, &out->down, err));
    ASH_TRY(measure(b, b->card[1], b->card[0], ASH_HIP_ON_DEVICE, &out->on_card, err));
    out->on_card *= 2;
    return ASH_OK;
}

ash_status ash_hip_bandwidth(const ash_hip *hip, int device, size_t bytes, uint32_t timeout_ms, ash_bandwidth *out,
                             ash_error *err)
{
    bench b = { .hip = hip, .timeout_ms = timeout_ms, .bytes = bytes };
    *out = (ash_bandwidth){ 0 };
    ASH_TRY(ash_hip_check(hip, hip->SetDevice(device), err, "choosing the card"));
    ash_status status = measure_all(&b, out, err);
    if (ash_hip_hangs())
        return status;
    if (b.stream)
        hip->StreamDestroy(b.stream); /* ends what is under way */
    for (int i = 0; i < 2; i++)
        if (b.event[i])
            hip->EventDestroy(b.event[i]);
    if (b.host)
        hip->HostFree(b.host);
    for (int i = 0; i < 2; i++)
        if (b.card[i])
            hip->Free(b.card[i]);
    return status;
}
