/* ashlar devices: the cards of this machine, and what is missing to use them. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/command/command.h"

#define CARDS 16

const char *driver_text(char out[256])
{
    char version[200] = ""; /* of a driver that is not the kernel's own */
    FILE *f = fopen("/sys/module/amdgpu/version", "r");
    if (f && fgets(version, sizeof version, f))
        version[strcspn(version, "\n")] = 0;
    if (f)
        fclose(f);
    bool loaded = access("/sys/module/amdgpu", F_OK) == 0;
    snprintf(out, 256, "amdgpu %s%s%s", loaded ? "loaded" : "not loaded", *version ? " " : "", version);
    return out;
}

static void print_json(const ashlar_device_info *list, size_t count, const char *library, const char *missing)
{
    cJSON *root = cJSON_CreateObject(), *cards = cJSON_AddArrayToObject(root, "devices");
    char driver[256];
    cJSON_AddStringToObject(root, "library", library);
    cJSON_AddStringToObject(root, "driver", driver_text(driver));
    if (missing)
        cJSON_AddStringToObject(root, "missing", missing);
    for (size_t i = 0; i < count; i++) {
        cJSON *card = cJSON_CreateObject();
        cJSON_AddNumberToObject(card, "index", list[i].index);
        cJSON_AddStringToObject(card, "name", list[i].name);
        cJSON_AddStringToObject(card, "target", list[i].target);
        cJSON_AddStringToObject(card, "pci", list[i].pci);
        cJSON_AddNumberToObject(card, "memory_free", (double)list[i].memory_free);
        cJSON_AddNumberToObject(card, "memory_total", (double)list[i].memory_total);
        cJSON_AddNumberToObject(card, "compute_units", list[i].compute_units);
        cJSON_AddBoolToObject(card, "usable", list[i].usable);
        cJSON_AddItemToArray(cards, card);
    }
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    free(text);
    cJSON_Delete(root);
}

int verb_devices(int argc, char **argv)
{
    bool json = false;
    const usage u = { "devices", "",
                      "lists the cards of this machine: name, target, memory free and in all, the driver, and what is "
                      "missing to use them",
                      "The processor is always there: --device cpu.", 0 };
    const option options[] = { { "--json", NULL, OPTION_FLAG, &json, 0, 0, "as JSON" } };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, NULL, &code))
        return code;
    ashlar_device_info list[CARDS];
    size_t count;
    char library[256];
    ashlar_error err;
    bool found = ashlar_devices(list, CARDS, &count, library, &err) == ASHLAR_OK;
    if (json) {
        print_json(list, count, library, found ? NULL : err.text);
        return EXIT_OK;
    }
    for (size_t i = 0; i < count; i++) {
        char left[32], all[32];
        printf("hip:%d  %s  %s  %s  %s free of %s  %s\n", list[i].index, list[i].name, list[i].target, list[i].pci,
               bytes_text(list[i].memory_free, left), bytes_text(list[i].memory_total, all),
               list[i].usable ? "usable" : "not usable: there is code for gfx1200 and gfx1201");
    }
    char driver[256];
    if (!found)
        printf("no card: %s\n", err.text);
    printf("driver %s; %s\n", driver_text(driver), *library ? library : "HIP is not loaded");
    return EXIT_OK;
}
