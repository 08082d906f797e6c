/* The cards, and the stand-in's own beginning and end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/hip/state.h"

#define CARDS "gfx1201:AMD Radeon RX 9070 XT"
#define VERSION 60342134 /* as HIP 6.3 says it */
#define BUS_FIRST 3
#define UNITS 64
#define SIMDS_PER_UNIT 2

static __thread int current;

int standin_card(void) { return current < all.card_count ? current : -1; }

/* ---- from the environment ---- */

static void read_cards(void)
{
    const char *s = getenv("ASHLAR_STANDIN_CARDS");
    s = s ? s : CARDS;
    all.card_count = 0;
    while (*s) {
        size_t n = strcspn(s, ","), target = strcspn(s, ":");
        card_info *c = &all.cards[all.card_count];
        *c = (card_info){ 0 };
        if (target >= n || target >= sizeof c->target || all.card_count == CARDS_MAX) {
            standin_refuse(0, "ASHLAR_STANDIN_CARDS: %.*s is not understood", (int)n, s);
            return;
        }
        snprintf(c->target, sizeof c->target, "%.*s", (int)target, s);
        snprintf(c->name, sizeof c->name, "%.*s", (int)(n - target - 1), s + target + 1);
        snprintf(c->pci, sizeof c->pci, "0000:%02x:00.0", (unsigned)(BUS_FIRST + all.card_count));
        all.card_count++;
        s += n + (s[n] == ',');
    }
}

/* gfx1201 is 120001: the last two digits of a name are hexadecimal, a number each. */
static unsigned kfd_version(const char *target)
{
    size_t n = strlen(target);
    if (n < 6)
        return 0;
    char step[2] = { target[n - 1], 0 }, minor[2] = { target[n - 2], 0 };
    char major[3] = { 0 };
    memcpy(major, target + 3, n == 7 ? 2 : 1);
    return (unsigned)(strtoul(major, NULL, 10) * 10000 + strtoul(minor, NULL, 16) * 100 + strtoul(step, NULL, 16));
}

static void write_node(const char *nodes, int i, const card_info *c)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%d", nodes, i);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%d/properties", nodes, i);
    FILE *f = fopen(path, "w");
    if (!f) {
        standin_refuse(0, "%s: %s", path, strerror(errno));
        return;
    }
    fprintf(f, "cpu_cores_count %d\nsimd_count %d\n", c ? 0 : 8, c ? UNITS * SIMDS_PER_UNIT : 0);
    fprintf(f, "simd_per_cu %d\ngfx_target_version %u\n", c ? SIMDS_PER_UNIT : 0, c ? kfd_version(c->target) : 0);
    fprintf(f, "location_id %d\ndomain 0\n", c ? (BUS_FIRST + i - 1) << 8 : 0);
    fclose(f);
}

/* Node 0 is the host's processor. */
static void write_nodes(void)
{
    const char *nodes = getenv("ASHLAR_KFD_NODES");
    if (!nodes || !*nodes)
        return;
    if (mkdir(nodes, 0777) != 0) {
        if (errno != EEXIST)
            standin_refuse(0, "%s: %s", nodes, strerror(errno));
        return;
    }
    write_node(nodes, 0, NULL);
    for (int i = 0; i < all.card_count; i++)
        write_node(nodes, i + 1, &all.cards[i]);
}

/* ---- beginning and end ---- */

__attribute__((constructor)) static void begin(void)
{
    pthread_mutex_lock(&all.lock);
    standin_read_environment();
    read_cards();
    write_nodes();
    pthread_mutex_unlock(&all.lock);
}

__attribute__((destructor)) static void end(void)
{
    pthread_mutex_lock(&all.lock);
    standin_write_report();
    pthread_mutex_unlock(&all.lock);
}

static void end_objects(void)
{
    static const handle_kind kinds[] = { STREAM, EVENT, GRAPH, GRAPH_EXEC, FUNCTION, MODULE };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        void *object;
        for (size_t i = 0; (object = standin_handle_next(&i, kinds[k], true)) != NULL;) {
            if (kinds[k] == STREAM)
                standin_stream_end(object);
            else if (kinds[k] == EVENT)
                standin_event_drop(object);
            else if (kinds[k] == GRAPH || kinds[k] == GRAPH_EXEC)
                standin_graph_drop(object);
            else
                free(object);
        }
    }
}

void standin_reset(void)
{
    pthread_mutex_lock(&all.lock);
    all.held = false;
    pthread_cond_broadcast(&all.changed);
    standin_wait_idle(-1);
    end_objects();
    standin_free_memory();
    memset(&all.counts, 0, sizeof all.counts);
    standin_forget_errors();
    standin_read_environment();
    read_cards();
    write_nodes();
    pthread_mutex_unlock(&all.lock);
}

/* ---- calls ---- */

int hipInit(unsigned flags)
{
    int code = standin_enter(STANDIN_Init);
    if (code == STANDIN_SUCCESS)
        code = flags ? STANDIN_INVALID_VALUE : all.card_count ? STANDIN_SUCCESS : STANDIN_NO_DEVICE;
    return standin_leave(STANDIN_Init, code);
}

int hipRuntimeGetVersion(int *version)
{
    int code = standin_enter(STANDIN_RuntimeGetVersion);
    if (code == STANDIN_SUCCESS)
        *version = VERSION;
    return standin_leave(STANDIN_RuntimeGetVersion, code);
}

int hipDriverGetVersion(int *version)
{
    int code = standin_enter(STANDIN_DriverGetVersion);
    if (code == STANDIN_SUCCESS)
        *version = VERSION;
    return standin_leave(STANDIN_DriverGetVersion, code);
}

int hipGetDeviceCount(int *count)
{
    int code = standin_enter(STANDIN_GetDeviceCount);
    if (code == STANDIN_SUCCESS) {
        *count = all.card_count;
        code = all.card_count ? STANDIN_SUCCESS : STANDIN_NO_DEVICE;
    }
    return standin_leave(STANDIN_GetDeviceCount, code);
}

int hipSetDevice(int device)
{
    int code = standin_enter(STANDIN_SetDevice);
    if (code == STANDIN_SUCCESS && (device < 0 || device >= all.card_count))
        code = STANDIN_INVALID_DEVICE;
    if (code == STANDIN_SUCCESS)
        current = device;
    return standin_leave(STANDIN_SetDevice, code);
}

/* A name or a PCI address. */
static int tell(standin_call call, char *to, int bytes, int device, bool pci)
{
    int code = standin_enter(call);
    if (code == STANDIN_SUCCESS && (device < 0 || device >= all.card_count))
        code = STANDIN_INVALID_DEVICE;
    if (code == STANDIN_SUCCESS && (!to || bytes <= 0))
        code = STANDIN_INVALID_VALUE;
    if (code == STANDIN_SUCCESS)
        snprintf(to, (size_t)bytes, "%s", pci ? all.cards[device].pci : all.cards[device].name);
    return standin_leave(call, code);
}

int hipDeviceGetName(char *name, int bytes, int device)
{
    return tell(STANDIN_DeviceGetName, name, bytes, device, false);
}

int hipDeviceGetPCIBusId(char *id, int bytes, int device)
{
    return tell(STANDIN_DeviceGetPCIBusId, id, bytes, device, true);
}

const char *hipGetErrorString(int code)
{
    static const struct { int code; const char *text; } texts[] = {
        { STANDIN_SUCCESS, "no error" },
        { STANDIN_INVALID_VALUE, "invalid argument" },
        { STANDIN_OUT_OF_MEMORY, "out of memory" },
        { STANDIN_NO_DEVICE, "no ROCm-capable device is detected" },
        { STANDIN_INVALID_DEVICE, "invalid device ordinal" },
        { STANDIN_INVALID_IMAGE, "device kernel image is invalid" },
        { STANDIN_NO_BINARY, "no kernel image is available for execution on the device" },
        { STANDIN_INVALID_HANDLE, "invalid resource handle" },
        { STANDIN_ILLEGAL_STATE, "the operation cannot be performed in the present state" },
        { STANDIN_NOT_FOUND, "named symbol not found" },
        { STANDIN_NOT_READY, "device not ready" },
        { STANDIN_ILLEGAL_ADDRESS, "an illegal memory access was encountered" },
        { STANDIN_LAUNCH_FAILURE, "unspecified launch failure" },
        { STANDIN_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing" },
        { STANDIN_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture" },
        { STANDIN_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream" },
        { STANDIN_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream" },
        { STANDIN_CAPTURE_WRONG_THREAD, "attempt to terminate a thread-local capture sequence from another thread" },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].code == code)
            return texts[i].text;
    return "unknown error";
}
