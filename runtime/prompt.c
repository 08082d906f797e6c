/* Prompts that begin like the one before: how much of what a session has been fed stands for the beginning of what is
 * wanted next.
 *
 * Token by token would be too strict: the model may have written an answer in other tokens than the tokenizer cuts the
 * same text into. So ordinary tokens are compared by their bytes, and the two sequences meet wherever both have a token's
 * end at the same byte. A special token equals itself alone: not its spelling in ordinary tokens.
 */
#include <string.h>

#include "runtime/api.h"
#include "runtime/session.h"

typedef struct meeting {
    size_t fed, wanted; /* tokens of each before it */
} meeting;

/* A token that has no bytes of its own (an id beyond the tokenizer's) is compared like a special one. */
static bool compared_by_id(const ash_tokenizer *t, int32_t id, const char **bytes, size_t *size)
{
    *bytes = t ? ash_tokenizer_bytes(t, id, size) : NULL;
    return !*bytes || *size == 0 || ash_tokenizer_special(t, id);
}

static meeting last_meeting(const ash_tokenizer *t, const int32_t *fed, size_t fed_count, const int32_t *wanted,
                            size_t wanted_count)
{
    meeting last = { 0 };
    size_t f = 0, w = 0;
    const char *fed_bytes = NULL, *wanted_bytes = NULL;
    size_t fed_left = 0, wanted_left = 0; /* of the tokens before f and w: not compared yet; one of them is 0 */
    while ((fed_left || f < fed_count) && (wanted_left || w < wanted_count)) {
        bool by_id = false;
        if (!fed_left)
            by_id = compared_by_id(t, fed[f++], &fed_bytes, &fed_left);
        if (!wanted_left)
            by_id |= compared_by_id(t, wanted[w++], &wanted_bytes, &wanted_left);
        if (by_id) {
            if (fed[f - 1] != wanted[w - 1])
                break;
            fed_left = wanted_left = 0;
        } else {
            size_t same = fed_left < wanted_left ? fed_left : wanted_left;
            if (memcmp(fed_bytes, wanted_bytes, same) != 0)
                break;
            fed_bytes += same, wanted_bytes += same;
            fed_left -= same, wanted_left -= same;
        }
        if (!fed_left && !wanted_left)
            last = (meeting){ f, w };
    }
    return last;
}

int ashlar_session_prompt(ashlar_session *s, const int32_t *ids, size_t count, size_t *kept, ashlar_error *err)
{
    ash_error local;
    if (count == 0)
        return ashlar_session_feed(s, ids, 0, 0, err); /* its error */
    meeting at = last_meeting(s->model->tokenizer, s->ids, s->position, ids, count);
    if (at.wanted == count) /* all of it is there: its last token again, for the logits */
        at = last_meeting(s->model->tokenizer, s->ids, s->position, ids, count - 1);
    if (kept)
        *kept = at.fed;
    if (count - at.wanted > s->context - at.fed) {
        ash_fail(&local, ASH_E_LIMIT, "the prompt has %zu tokens and the context %u: give a larger context or less text",
                 at.fed + count - at.wanted, s->context);
        return ash_public_error(&local, err);
    }
    int status = ashlar_session_rewind(s, (uint32_t)at.fed, err);
    return status == ASHLAR_OK ? ashlar_session_feed(s, ids + at.wanted, count - at.wanted, 0, err) : status;
}
