/* ashlar doctor: what a user with a card runs first, and what to send back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "format/fileio.h"
#include "kernels/kernels.h"
#include "runtime/command/doctor.h"
#include "runtime/hip/bandwidth.h"
#include "runtime/hip/devices.h"
#include "runtime/model.h"

#define COPY_BYTES (UINT64_C(256) << 20) /* four times the largest Infinity Cache of these cards */
#define TIMEOUT_MS 60000
#define RATED 640e9 /* bytes a second of an RX 9070 XT and of the R9700, and twice those of an RX 9060 XT */
#define DECODED 32

/* ---- the report: to the file, and what matters to the terminal ---- */

typedef struct report {
    char *text;
    size_t bytes;
    FILE *out; /* into text */
    bool bad;  /* something is wrong with the card */
} report;

static bool report_open(report *r)
{
    *r = (report){ 0 };
    r->out = open_memstream(&r->text, &r->bytes);
    return r->out != NULL;
}

/* ---- the machine ---- */

/* The value of a "name<separator>value" line. */
static void value_of(const char *path, const char *name, char separator, char out[256])
{
    char line[1024];
    FILE *f = fopen(path, "r");
    snprintf(out, 256, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        char *at = strchr(line, separator);
        if (!at)
            continue;
        at += 1 + strspn(at + 1, " \t\"");
        at[strcspn(at, "\"\n")] = 0;
        snprintf(out, 256, "%.255s", at);
        break;
    }
    if (f)
        fclose(f);
}

static void tell_machine(report *r)
{
    char text[256];
    struct utsname u;
    fprintf(r->out, "ashlar     %s, kernels of this processor: %s\n", ashlar_version(), ash_level_name(ash_level_detect()));
    value_of("/proc/cpuinfo", "model name", ':', text);
    fprintf(r->out, "processor  %s, %u threads\n", text, (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
    value_of("/etc/os-release", "PRETTY_NAME", '=', text);
    if (uname(&u) == 0)
        fprintf(r->out, "system     %s, %s %s\n", text, u.sysname, u.release);
    fprintf(r->out, "driver     %s\n", driver_text(text));
    fprintf(r->out, "device     /dev/kfd %s\n",
            access("/dev/kfd", F_OK) != 0         ? "is not there"
            : access("/dev/kfd", R_OK | W_OK) == 0 ? "may be used"
                                                   : "may not be used: join the groups render and video");
}

static void tell_cards(report *r, const ash_hip *hip, const ash_devices *found)
{
    char version[32];
    fprintf(r->out, "library    %s, HIP %s\n", hip->path, ash_hip_version(hip, version));
    for (uint32_t i = 0; i < found->count; i++) {
        const ash_device *d = &found->list[i];
        char left[32], all[32];
        fprintf(r->out, "card       hip:%d, %s, %s, %s, %u compute units, %s free of %s, %s\n", d->index, d->name, d->target,
                d->pci, d->compute_units, bytes_text(d->memory_free, left), bytes_text(d->memory_total, all),
                d->usable ? "usable" : "not usable");
    }
}

/* ---- kernels ---- */

static const char *op_name(ash_gfx_op op)
{
    static const char *const names[] = { "decode", "prefill", "inputs", "attention", "attention of a prompt", "cache",
                                         "embedding", "arg-max", "top-k", "softmax" };
    return (size_t)op < sizeof names / sizeof *names ? names[op] : "?";
}

static void tell_kernels(report *r, const doctor *d)
{
    size_t count, idle = 0;
    const ash_gfx_kernel *all = ash_gfx_kernels(&count);
    fprintf(r->out, "\npasses of small models, card beside CPU: how far the logits are from each other\n");
    for (size_t i = 0; i < d->pass_count; i++) {
        const doctor_pass *p = &d->passes[i];
        fprintf(r->out, "  %-40s %3u tokens  %8.4f%s\n", p->model, p->tokens, p->off, p->off <= p->allowed ? "" : "  WRONG");
    }
    fprintf(r->out, "\nkernels: launches, those in wrong passes, and the fastest in microseconds\n");
    for (size_t i = 0; i < d->kernel_count; i++) {
        const doctor_kernel *k = &d->kernels[i];
        const char *type = all[i].dtype < ASH_DTYPE_COUNT ? ash_dtype_name(all[i].dtype) : "-";
        idle += k->launches == 0;
        if (k->launches)
            fprintf(r->out, "  %-22s %-8s %3u  %-36s %5u %5u %9.1f\n", op_name(all[i].op), type, all[i].variant, all[i].symbol,
                    k->launches, k->failed, k->seconds * 1e6);
        else
            fprintf(r->out, "  %-22s %-8s %3u  %-36s not run\n", op_name(all[i].op), type, all[i].variant, all[i].symbol);
    }
    fprintf(r->out, "%zu of %zu kernels run, %zu of %zu passes wrong\n", d->kernel_count - idle, d->kernel_count, d->wrong,
            d->pass_count);
    r->bad = r->bad || d->wrong;
}

/* ---- a model of the user's ---- */

static double decode_rate(ashlar_session *s, int32_t id, ash_error *err)
{
    ashlar_error public_err;
    double started = 0;
    for (int i = 0; i <= DECODED; i++) {
        if (i == 1)
            started = seconds_now(); /* the first captures the graph, and waits for the weights */
        if (ashlar_session_feed(s, &id, 1, ASHLAR_FEED_CHOOSE, &public_err) != ASHLAR_OK) {
            ash_fail(err, ASH_E_IO, "%s", public_err.text);
            return 0;
        }
        id = ashlar_session_choice(s);
    }
    return DECODED / (seconds_now() - started);
}

static ash_status tell_model(report *r, const char *path, ashlar_model *model, int index, double on_card,
                             ash_error *err)
{
    char device[32];
    ashlar_session *s;
    ashlar_error public_err;
    snprintf(device, sizeof device, "hip:%d", index);
    ashlar_session_options o = { .context = 1024, .device = device };
    if (ashlar_session_new(model, &o, &s, &public_err) != ASHLAR_OK)
        return ash_fail(err, ASH_E_IO, "%s", public_err.text);
    *err = (ash_error){ 0 };
    double rate = decode_rate(s, 1, err), bytes = rate * (double)model->token_bytes;
    if (rate > 0) {
        fprintf(r->out, "\n%s on %s\n", path, ashlar_session_device(s));
        fprintf(r->out, "  decode %.1f tok/s: %.0f GB/s of weights, %.1f%% of 640 GB/s%s", rate, bytes * 1e-9,
                100 * bytes / RATED, on_card > 0 ? "" : "\n");
        if (on_card > 0)
            fprintf(r->out, ", %.1f%% of what copies move\n", 100 * bytes / on_card);
    }
    if (ashlar_card_hangs())
        return ASH_E_LIMIT;
    ashlar_session_free(s);
    return rate > 0 ? ASH_OK : ASH_E_IO;
}

/* ---- all of it ---- */

static void tell_error(report *r, const char *what, const ash_error *err)
{
    fprintf(r->out, "\n%s failed: %s\n", what, err->text);
    r->bad = true;
}

static void tell_bandwidth(report *r, const ash_hip *hip, int index, uint64_t bytes, double *on_card)
{
    ash_bandwidth b;
    ash_error err;
    *on_card = 0;
    if (ash_hip_bandwidth(hip, index, bytes, TIMEOUT_MS, &b, &err) != ASH_OK) {
        tell_error(r, "measuring copies", &err);
        return;
    }
    *on_card = b.on_card;
    fprintf(r->out, "\ncopies of %u MiB: to the card %.1f GB/s, back %.1f GB/s, within the card %.0f GB/s (read and written)\n",
            (unsigned)(bytes >> 20), b.up * 1e-9, b.down * 1e-9, b.on_card * 1e-9);
}

/* Everything that needs a card; a hang ends it early. model: the user's, of the file at `path`; NULL: none. */
static void examine(report *r, const ash_hip *hip, const ash_device *card, const char *folder, const char *path,
                    ashlar_model *model, uint64_t copy_bytes)
{
    doctor d;
    ash_error err;
    double on_card;
    tell_bandwidth(r, hip, card->index, copy_bytes, &on_card);
    if (ashlar_card_hangs())
        return;
    ash_status status = doctor_run(&d, card->index, folder, &err);
    tell_kernels(r, &d);
    if (status != ASH_OK)
        tell_error(r, "the self-test", &err);
    doctor_free(&d);
    if (model && !ashlar_card_hangs() && tell_model(r, path, model, card->index, on_card, &err) != ASH_OK)
        tell_error(r, path, &err);
}

static bool remove_folder(const char *folder)
{
    static const char *const names[] = { "config.json", "tokenizer.json", "model.safetensors", "model.ashlar" };
    char path[600];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder) == 0;
}

static void run_doctor(report *r, int wanted, const char *path, ashlar_model *model, uint64_t copy_bytes)
{
    ash_hip hip;
    ash_devices found;
    const ash_device *card;
    ash_error err;
    char folder[512];
    const char *tmp = getenv("TMPDIR");
    tell_machine(r);
    ash_status status = ash_hip_load(&hip, &err);
    if (status == ASH_OK)
        status = ash_devices_find(&hip, &found, &err);
    if (status == ASH_OK) {
        tell_cards(r, &hip, &found);
        status = ash_devices_choose(&found, wanted, &card, &err);
    }
    if (status != ASH_OK) {
        tell_error(r, "finding a card", &err);
        return;
    }
    snprintf(folder, sizeof folder, "%s/ashlar-doctor-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        fprintf(r->out, "\n%s: %s\n", folder, strerror(errno));
        r->bad = true;
        return;
    }
    examine(r, &hip, card, folder, path, model, copy_bytes);
    remove_folder(folder);
}

int verb_doctor(int argc, char **argv)
{
    const char *output = "ashlar-doctor.txt";
    const char *arguments[64] = { 0 };
    uint32_t wanted = UINT32_MAX, mib = COPY_BYTES >> 20;
    bool force = false;
    const usage u = { "doctor", "[FILE.ashlar]",
                      "Tries every kernel on the card beside the CPU, measures copies and, with FILE, decoding, and writes a "
                      "report.",
                      "Run it first on a new card. When something is wrong, send the report with what you saw.\n"
                      "Exit code: 1 where a card is missing or wrong.", ANY_ARGUMENTS };
    const option options[] = { { "-o", "OUT.txt", OPTION_STRING, &output, 0, 0, "the report; default: ashlar-doctor.txt" },
                               { "--card", "N", OPTION_U32, &wanted, 0, ASH_DEVICES_MAX - 1, "hip:N; default: the best one" },
                               { "--copy", "MIB", OPTION_U32, &mib, 1, 4096, "size of the copies that are measured" },
                               { "--force", NULL, OPTION_FLAG, &force, 0, 0, "replace OUT when it exists" } };
    int code;
    report r;
    if (argc > 64)
        return usage_error(&u, "too many arguments");
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, arguments, &code))
        return code;
    if (arguments[0] && arguments[1])
        return usage_error(&u, "one FILE at most");
    if (!force && access(output, F_OK) == 0)
        return fail("%s exists: give another name with -o, or --force", output);
    ashlar_model *model = NULL; /* before minutes are spent on the card */
    ashlar_error public_err;
    if (arguments[0] && ashlar_model_load(arguments[0], &model, &public_err) != ASHLAR_OK)
        return fail("%s", public_err.text);
    if (!report_open(&r)) {
        ashlar_model_free(model);
        return fail("out of memory");
    }
    run_doctor(&r, wanted == UINT32_MAX ? -1 : (int)wanted, arguments[0], model, (uint64_t)mib << 20);
    if (!ashlar_card_hangs())
        ashlar_model_free(model);
    fprintf(r.out, "\n%s\n", r.bad ? "something is wrong: send this report" : "all is well");
    fclose(r.out);
    ash_error err;
    if (ash_write_whole(output, true, r.text, r.bytes, &err) != ASH_OK)
        return fail_with(&err);
    fputs(r.text, stdout);
    fprintf(stderr, "wrote %s\n", output);
    code = r.bad ? EXIT_FAILED : EXIT_OK;
    free(r.text);
    if (ashlar_card_hangs()) {
        fflush(NULL);
        _exit(code);
    }
    return code;
}
