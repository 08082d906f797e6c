/* ashlar imatrix: how much each input column of a model's matrices carries, over a text. */
#include <stdlib.h>
#include <string.h>

#include "convert/arch.h"
#include "quant/imatrix.h"
#include "runtime/command/windows.h"
#include "runtime/session.h"

typedef struct collector {
    ash_imatrix *imatrix;
    bool tied;
    ash_status status; /* of the first failure */
    ash_error err;
} collector;

/* The matrices that take the same inputs. */
static size_t roles_of(const collector *c, ash_role operation, ash_role out[3])
{
    switch (operation) {
    case ASH_ROLE_QKV: return out[0] = ASH_ROLE_Q, out[1] = ASH_ROLE_K, out[2] = ASH_ROLE_V, 3;
    case ASH_ROLE_GATE_UP: return out[0] = ASH_ROLE_GATE, out[1] = ASH_ROLE_UP, 2;
    case ASH_ROLE_OUTPUT: return out[0] = c->tied ? ASH_ROLE_EMBED : ASH_ROLE_OUTPUT, 1;
    default: return out[0] = operation, 1;
    }
}

static void collect(void *context, const ash_observation *o)
{
    collector *c = context;
    ash_role roles[3];
    size_t count = roles_of(c, o->role, roles);
    for (size_t i = 0; i < count && c->status == ASH_OK; i++) {
        char name[128];
        if (ash_arch_name(ash_arch_tensor_of(roles[i])->gguf, o->layer, name, sizeof name))
            c->status = ash_imatrix_add(c->imatrix, name, i == 0, o->x, o->tokens, o->cols, o->stride, &c->err);
    }
}

static int run(engine *e, const windows *w, collector *c, uint32_t *chunks)
{
    size_t at = 0, n, done = 0;
    ashlar_error err;
    progress p;
    if (!windows_fit(w, e->session))
        return EXIT_FAILED;
    int32_t *ids = malloc(w->size * sizeof *ids);
    if (!ids)
        return fail("out of memory");
    handle_interrupt();
    progress_start(&p, "imatrix");
    int status = ASHLAR_OK;
    while (status == ASHLAR_OK && c->status == ASH_OK && !interrupted && (n = windows_next(w, &at, ids)) != 0) {
        status = ashlar_session_rewind(e->session, 0, &err);
        for (size_t fed = 0; status == ASHLAR_OK && fed < n;) {
            size_t part = n - fed < ASHLAR_ALL_LOGITS_MAX ? n - fed : ASHLAR_ALL_LOGITS_MAX;
            status = ashlar_session_feed(e->session, ids + fed, part, ASHLAR_FEED_ALL_LOGITS, &err);
            fed += part;
        }
        done += n;
        ++*chunks;
        if (p.terminal)
            fprintf(stderr, "\r\033[Kimatrix: %zu of %zu tokens", done, w->count), p.shown = true;
    }
    free(ids);
    progress_end(&p);
    if (status != ASHLAR_OK)
        return fail_public(&err);
    if (c->status != ASH_OK)
        return fail_with(&c->err);
    if (interrupted)
        return fail("interrupted after %zu tokens", done);
    if (done == 0)
        return fail("the text has too few tokens to measure");
    fprintf(stderr, "measured %zu tokens in %.1f s\n", done, seconds_now() - p.started);
    return EXIT_OK;
}

int verb_imatrix(int argc, char **argv)
{
    engine e;
    engine_defaults(&e);
    const char *path, *text_path = NULL, *output = NULL;
    uint32_t tokens = 1u << 30, window = 1024, chunks = 0;
    bool force = false;
    const option options[] = {
        { "--text", "FILE", OPTION_STRING, &text_path, 0, 0, "the text; - is standard input" },
        { "-o", "OUT", OPTION_STRING, &output, 0, 0, "the file to write" },
        { "--tokens", "N", OPTION_U32, &tokens, 2, 1 << 30, "only the first N ids of the text" },
        { "--window", "W", OPTION_U32, &window, 2, 1 << 20, "ids a window, BOS included" },
        { "--force", NULL, OPTION_FLAG, &force, 0, 0, "replace OUT when it exists" },
        ENGINE_OPTIONS(e),
    };
    static const usage u = { "imatrix", "FILE --text FILE -o OUT",
                             "Measures which input columns of the matrices matter, for ashlar convert --imatrix.",
                             "OUT is llama.cpp's imatrix GGUF: llama-quantize --imatrix reads it too.", 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    if (!text_path)
        return usage_error(&u, "--text FILE is missing");
    if (!output)
        return usage_error(&u, "-o OUT is missing");
    if (!engine_open(&e, &u, path, &code))
        return code;
    windows w = { 0 };
    collector c = { .tied = e.model->meta.h.tied_output };
    ash_error err;
    code = EXIT_FAILED;
    const ash_blas *blas;
    if (ash_blas_load(&blas, &err) != ASH_OK)
        fprintf(stderr, "ashlar imatrix: measures less, without libopenblas0: %s\n", err.text);
    if (ash_imatrix_new(blas, &c.imatrix, &err) != ASH_OK) {
        fail_with(&err);
    } else if (windows_open(&w, e.model, text_path, 0, tokens, window)) {
        e.session->observer = collect;
        e.session->observer_context = &c;
        code = run(&e, &w, &c, &chunks);
        const char *slash = strrchr(text_path, '/');
        if (code == EXIT_OK && ash_imatrix_write(c.imatrix, output, force, slash ? slash + 1 : text_path, chunks,
                                                 window, &err) != ASH_OK)
            code = fail_with(&err);
        windows_close(&w);
    }
    ash_imatrix_free(c.imatrix);
    engine_close(&e);
    return code;
}
