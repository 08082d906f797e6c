#include "tests/support/read_back.h"

#include <stdlib.h>
#include <string.h>

#include "format/tile.h"

bool read_back_find(const ash_file *file, const char *source_name, const ash_tensor_record **tensor,
                    const ash_member_record **member)
{
    for (uint32_t i = 0; i < ash_file_tensor_count(file); i++) {
        const ash_tensor_record *t = ash_file_tensor(file, i);
        for (uint32_t m = 0; m < t->member_count; m++) {
            const ash_member_record *r = ash_file_member(file, t->member_first + m);
            if (strcmp(ash_file_member_name(file, r), source_name) == 0) {
                *tensor = t;
                *member = r;
                return true;
            }
        }
    }
    return false;
}

/* Where row `i` of a member goes in its source, written from the format's definition and not with the converter's code:
 * pair p of a head lies in source rows p and p + rope / 2. */
static uint64_t place_in_source(const ash_member_record *m, uint64_t i)
{
    if (m->row_order == ASH_ROWS_SAME)
        return i;
    uint64_t head = i / m->row_order_head, inside = i % m->row_order_head;
    if (inside >= m->row_order_rope)
        return i;
    uint64_t pair = inside / 2;
    return head * m->row_order_head + (inside % 2 == 0 ? pair : pair + m->row_order_rope / 2);
}

uint8_t *read_back(const ash_file *file, const ash_tensor_record *t, const ash_member_record *m, size_t *size)
{
    const uint8_t *data = ash_file_data(file, t);
    uint64_t row;
    assert_true(ash_row_bytes(t->dtype, t->dims[0], &row));
    if (t->layout == ASH_LAYOUT_LINEAR) {
        uint64_t units = t->dim_count == 1 ? t->dims[0] : t->dims[1] * t->dims[2] * t->dims[3], unit = t->size / units;
        uint8_t *out = malloc(t->size);
        assert_non_null(out);
        *size = t->size;
        if (m->row_order == ASH_ROWS_SAME) {
            memcpy(out, data, t->size);
            return out;
        }
        for (uint64_t i = 0; i < units; i++)
            memcpy(out + place_in_source(m, i) * unit, data + i * unit, unit);
        return out;
    }
    uint8_t *out = malloc(m->row_count * row);
    assert_non_null(out);
    *size = m->row_count * row;
    for (uint64_t i = 0; i < m->row_count; i++) {
        uint8_t *rows[ASH_PANEL_ROWS] = { NULL };
        rows[i % ASH_PANEL_ROWS] = out + place_in_source(m, i) * row;
        uint64_t panel = m->row_first / ASH_PANEL_ROWS + i / ASH_PANEL_ROWS * m->panel_step;
        ash_tile_unpack(t->dtype, t->dims[0], data + panel * t->panel_bytes, rows);
    }
    return out;
}

ash_file *read_back_open(const char *path)
{
    ash_error err;
    ash_file *file = NULL;
    assert_ok(ash_file_open(path, &file, &err), &err);
    assert_ok(ash_file_verify(file, NULL, NULL, &err), &err);
    return file;
}
