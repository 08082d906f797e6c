#include "tests/gfx12/card_model.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

static uint64_t address(const void *p) { return (uint64_t)(uintptr_t)p; }

card_model *card_model_open(const ashlar_model *model, const ash_hip_plan_options *options)
{
    card_model *m = calloc(1, sizeof *m);
    ash_error err;
    assert_non_null(m);
    m->options = *options;
    assert_ok(ash_hip_plan_new(model, options, &m->plan, &err), &err);
    ash_hip_plan_memory sizes = ash_hip_plan_sizes(m->plan);
    void *constants = card_buffer(&m->c, "constants", sizes.constants);
    void *workspace = card_buffer(&m->c, "workspace", sizes.workspace);
    void *cache = card_buffer(&m->c, "cache", sizes.cache); /* NaN: what no token has filled must not be read */
    memset(workspace, 0, sizes.workspace);
    uint8_t *weights = card_buffer(&m->c, "weights", sizes.weights);
    size_t data_bytes;
    const uint8_t *data = ash_file_section_bytes(model->file, ASH_SECTION_DATA, &data_bytes);
    uint32_t extents;
    const ash_hip_plan_extent *e = ash_hip_plan_extents(m->plan, &extents);
    for (uint32_t i = 0; i < extents; i++)
        memcpy(weights + e[i].to, data + e[i].from, e[i].bytes);
    ash_hip_plan_memory at = { address(weights), address(constants), address(workspace), address(cache) };
    ash_hip_plan_place(m->plan, &at, constants);
    m->io = ash_hip_plan_places(m->plan);
    return m;
}

void card_model_free(card_model *m)
{
    card_free(&m->c);
    ash_hip_plan_free(m->plan);
    free(m);
}

static void run_pass(card_model *m, const int32_t *ids, uint32_t count, ash_hip_plan_output output)
{
    ash_gfx_step *step = (ash_gfx_step *)(uintptr_t)m->io.step;
    step->pos = m->position;
    step->tokens = count;
    memcpy(step->ids, ids, count * sizeof *ids);
    ash_launches list;
    ash_error err;
    assert_ok(ash_hip_plan_pass(m->plan, count, output, &list, &err), &err);
    for (uint32_t i = 0; i < list.count; i++) {
        const ash_launch *l = &list.list[i];
        card_run(&m->c, l->kernel, l->grid[0], l->grid[1], l->grid[2], &l->args);
        for (int e = 0; e < GFX_EVENTS; e++)
            m->insns += m->c.stats.insns[e];
    }
    m->launches += list.count;
    m->position += count;
    ash_launches_free(&list);
}

const float *card_model_feed(card_model *m, const int32_t *ids, uint32_t count, ash_hip_plan_output output)
{
    for (uint32_t done = 0; done < count;) {
        uint32_t n = count - done < m->options.batch ? count - done : m->options.batch;
        run_pass(m, ids + done, n, output);
        done += n;
    }
    return (const float *)(uintptr_t)m->io.logits;
}
