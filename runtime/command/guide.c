#include "runtime/command/guide.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/source.h"
#include "format/fileio.h"
#include "format/hash.h"
#include "quant/calibrate.h"

/* "imatrix NAME HASH": of the file that was read. */
static bool read_imatrix(guide *g)
{
    ash_error err;
    char *bytes, hash[33], *name;
    size_t size;
    if (ash_imatrix_read(g->imatrix_path, &g->imatrix, &err) != ASH_OK ||
        ash_read_whole(g->imatrix_path, (size_t)1 << 32, &bytes, &size, &err) != ASH_OK) {
        fail_with(&err);
        return false;
    }
    ash_hash_text(ash_hash(bytes, size), hash);
    free(bytes);
    name = utf8_clean(ash_base_name(g->imatrix_path), strlen(ash_base_name(g->imatrix_path)));
    snprintf(g->provenance, sizeof g->provenance, "imatrix %.300s, xxh3-128 %s", name ? name : "", hash);
    free(name);
    g->convert.imatrix = g->imatrix;
    return true;
}

static bool is_ashlar(const char *path)
{
    char magic[8] = "";
    FILE *f = fopen(path, "rb");
    bool yes = f && fread(magic, 1, sizeof magic, f) == sizeof magic && memcmp(magic, ASH_MAGIC, sizeof magic) == 0;
    if (f)
        fclose(f);
    return yes;
}

/* The calibrator runs .ashlar files: another source becomes one first, for as long as it is needed. */
static bool calibrate(guide *g, const char *source, const char *output, const ash_convert_options *o,
                      calibrator_options *how)
{
    ash_error err;
    char *path = NULL, *name;
    if (!is_ashlar(source)) {
        ash_convert_options keep = *o;
        keep.type = ASH_TYPE_KEEP;
        keep.recipe = NULL;
        keep.matrix = NULL;
        keep.dry_run = false;
        if (asprintf(&path, "%s.%ld.float.tmp", output, (long)getpid()) < 0) {
            fail("out of memory");
            return false;
        }
        if (ash_convert(source, path, &keep, NULL, &err) != ASH_OK) {
            free(path);
            fail_with(&err);
            return false;
        }
    }
    how->model = path ? path : source;
    how->unlink_model = path != NULL;
    g->calibration = calibrate_model(how);
    if (path)
        unlink(path); /* where loading failed before it did */
    free(path);
    if (!g->calibration)
        return false;
    name = utf8_clean(ash_base_name(g->text_path), strlen(ash_base_name(g->text_path)));
    snprintf(g->provenance, sizeof g->provenance, "calibrated with %.300s, %s", name ? name : "",
             calibrator_summary(g->calibration));
    free(name);
    g->convert.encoded = calibrator_row;
    g->convert.scales = calibrator_scales;
    g->convert.context = g->calibration;
    return true;
}

/* ---- what each matrix will be ---- */

static void on_matrix(void *context, const ash_convert_matrix *m)
{
    guide *g = context;
    if (g->type_count == g->type_room) {
        size_t room = g->type_room ? 2 * g->type_room : 256;
        void *more = realloc(g->types, room * sizeof *g->types);
        if (!more)
            return; /* that matrix is then not calibrated */
        g->types = more;
        g->type_room = room;
    }
    g->types[g->type_count++] = (struct guide_type){ m->role, m->layer, m->kept ? ASH_TYPE_KEEP : m->dtype };
}

static uint32_t type_of(void *context, uint32_t role, uint32_t layer)
{
    const guide *g = context;
    for (size_t i = 0; i < g->type_count; i++)
        if (g->types[i].role == role && g->types[i].layer == layer)
            return g->types[i].dtype;
    return ASH_TYPE_KEEP;
}

static bool any_calibratable(const guide *g)
{
    for (size_t i = 0; i < g->type_count; i++)
        if (ash_calibratable(g->types[i].dtype))
            return true;
    return false;
}

int guide_open(const usage *u, guide *g, const char *source, const char *output, const ash_convert_options *o)
{
    if (g->imatrix_path && !read_imatrix(g))
        return EXIT_FAILED;
    if (g->text_path) {
        ash_error err;
        ash_convert_options check = *o;
        check.dry_run = true;
        check.note = NULL;
        check.progress = NULL;
        check.matrix = on_matrix;
        check.context = g;
        if (ash_convert(source, output, &check, NULL, &err) != ASH_OK)
            return fail_with(&err);
        if (!any_calibratable(g))
            return usage_error(u, "--calibrate works with --type q4_k, q5_k, q6_k and fp8, and mixes of them");
        calibrator_options how = { .text = g->text_path, .beside = output, .tokens = g->tokens, .threads = o->threads,
                                   .fp8_row = o->recipe && o->recipe->fp8_row,
                                   .type_of = type_of, .context = g };
        if (!o->dry_run && !calibrate(g, source, output, o, &how))
            return EXIT_FAILED;
    }
    g->convert.provenance = g->provenance[0] ? g->provenance : NULL;
    return EXIT_OK;
}

void guide_close(guide *g)
{
    ash_imatrix_free(g->imatrix);
    calibrator_free(g->calibration);
    g->imatrix = NULL;
    g->calibration = NULL;
    free(g->types);
    g->types = NULL;
}
