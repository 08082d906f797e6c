#include "runtime/hip/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 64
#define CODE_MISSING "this build has no code for cards: build it where clang-19 and lld-19 are installed"

/* One number of a node's properties: lines of "name value". */
static bool property(const char *text, const char *name, uint64_t *out)
{
    size_t n = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, name, n) == 0 && line[n] == ' ') {
            *out = strtoull(line + n + 1, NULL, 10);
            return true;
        }
    return false;
}

static bool read_node(const char *nodes, int i, char *text, size_t room)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%d/properties", nodes, i);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(text, 1, room - 1, f);
    text[n] = 0;
    fclose(f);
    return true;
}

/* location_id: bus, device and function, 8, 5 and 3 bits. */
static void node_pci(const char *text, char *out, size_t room)
{
    uint64_t location = 0, domain = 0;
    property(text, "location_id", &location);
    property(text, "domain", &domain);
    snprintf(out, room, "%04x:%02x:%02x.%x", (unsigned)(domain & 0xffff), (unsigned)(location >> 8 & 0xff),
             (unsigned)(location >> 3 & 31), (unsigned)(location & 7));
}

/* 120001 is gfx1201: two digits of the major version, two of the minor, two of the step, the last one in hex. */
static void name_target(uint32_t gfx, char *out, size_t room)
{
    if (gfx == 0)
        snprintf(out, room, "unknown");
    else
        snprintf(out, room, "gfx%u%u%x", gfx / 10000, gfx / 100 % 100, gfx % 100);
}

static void ask_kfd(ash_device *d)
{
    const char *nodes = getenv("ASHLAR_KFD_NODES");
    if (!nodes || !*nodes)
        nodes = ASH_KFD_NODES;
    for (int i = 0; i < NODES_MAX; i++) {
        char text[8192], pci[24];
        uint64_t gfx = 0, simds = 0, per_unit = 0;
        if (!read_node(nodes, i, text, sizeof text))
            continue;
        node_pci(text, pci, sizeof pci);
        if (!property(text, "gfx_target_version", &gfx) || gfx == 0 || strcmp(pci, d->pci) != 0)
            continue;
        d->gfx = (uint32_t)gfx;
        if (property(text, "simd_count", &simds) && property(text, "simd_per_cu", &per_unit) && per_unit)
            d->compute_units = (uint32_t)(simds / per_unit);
    }
    name_target(d->gfx, d->target, sizeof d->target);
    size_t count;
    for (int t = 0; t < ASH_GFX_TARGETS; t++)
        if (strcmp(d->target, ash_gfx_target_name((ash_gfx_target)t)) == 0 &&
            ash_gfx_objects((ash_gfx_target)t, &count) && count) {
            d->usable = true;
            d->code = (ash_gfx_target)t;
        }
}

static ash_status ask_hip(const ash_hip *hip, ash_device *d, ash_error *err)
{
    size_t left, total;
    ASH_TRY(ash_hip_check(hip, hip->SetDevice(d->index), err, "choosing a card"));
    ASH_TRY(ash_hip_check(hip, hip->DeviceGetName(d->name, sizeof d->name, d->index), err, "the card's name"));
    ASH_TRY(ash_hip_check(hip, hip->DeviceGetPCIBusId(d->pci, sizeof d->pci, d->index), err, "the card's PCI address"));
    ASH_TRY(ash_hip_check(hip, hip->MemGetInfo(&left, &total), err, "the card's memory"));
    d->name[sizeof d->name - 1] = d->pci[sizeof d->pci - 1] = 0;
    for (char *c = d->pci; *c; c++)
        *c = *c >= 'A' && *c <= 'F' ? (char)(*c - 'A' + 'a') : *c;
    d->memory_free = left;
    d->memory_total = total;
    return ASH_OK;
}

ash_status ash_devices_find(const ash_hip *hip, ash_devices *out, ash_error *err)
{
    *out = (ash_devices){ 0 };
    int count = 0, code = hip->Init(0);
    if (code == ASH_HIP_SUCCESS)
        code = hip->GetDeviceCount(&count);
    if (code == ASH_HIP_NO_DEVICE || code == ASH_HIP_INVALID_DEVICE || (code == ASH_HIP_SUCCESS && count <= 0))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "%s finds no card: is the amdgpu driver loaded, and may you use /dev/kfd?", hip->path);
    ASH_TRY(ash_hip_check(hip, code, err, "asking for cards"));
    for (int i = 0; i < count && i < ASH_DEVICES_MAX; i++) {
        ash_device *d = &out->list[out->count];
        *d = (ash_device){ .index = i };
        ASH_TRY(ask_hip(hip, d, err));
        ask_kfd(d);
        out->count++;
    }
    return ASH_OK;
}

static ash_status refuse(const ash_device *d, ash_error *err)
{
    size_t count;
    ash_gfx_objects(ASH_GFX1201, &count);
    if (count == 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "card %d, %s: " CODE_MISSING, d->index, d->name);
    return ash_fail(err, ASH_E_UNSUPPORTED, "card %d, %s, is %s: there is code for gfx1200 and gfx1201", d->index,
                    d->name, d->target);
}

ash_status ash_devices_choose(const ash_devices *devices, int wanted, const ash_device **out, ash_error *err)
{
    *out = NULL;
    for (uint32_t i = 0; i < devices->count; i++) {
        const ash_device *d = &devices->list[i];
        if (wanted >= 0 ? d->index == wanted : d->usable && (!*out || d->memory_free > (*out)->memory_free))
            *out = d;
    }
    if (*out && (*out)->usable)
        return ASH_OK;
    const ash_device *other = *out ? *out : devices->count ? &devices->list[0] : NULL;
    *out = NULL;
    if (!other || wanted >= (int)devices->count)
        return ash_fail(err, ASH_E_UNSUPPORTED, "there is no card %d: %u found", wanted, devices->count);
    return refuse(other, err);
}
