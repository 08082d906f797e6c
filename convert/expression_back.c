/* The way back from an expression as a section has it to one that a tokenizer.json can have: what expression.c writes
 * for \s, \p{L} and so on becomes these again. The answer is right because it is tried: translated, it must be the
 * section's expression to the byte. */
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"

/* What pre-tokenizers are made of, where the translation is another text; each alone and inside a class. */
static const char *const atoms[] = {
    "\\s", "\\S", "\\w", "\\W", "\\d", "\\D", "\\h", "\\p{L}", "\\p{Lu}", "\\p{Ll}", "\\p{Lt}", "\\p{Lm}", "\\p{Lo}",
    "\\p{M}", "\\p{Mn}", "\\p{Mc}", "\\p{Me}", "\\p{N}", "\\p{Nd}", "\\p{Nl}", "\\p{No}", "\\p{P}", "\\p{Pc}",
    "\\p{Pd}", "\\p{Ps}", "\\p{Pe}", "\\p{Pi}", "\\p{Pf}", "\\p{Po}", "\\p{S}", "\\p{Sm}", "\\p{Sc}", "\\p{Sk}",
    "\\p{So}", "\\p{Z}", "\\p{Zs}", "\\p{C}", "\\p{Cc}", "\\p{Cf}", "\\P{L}", "\\P{M}", "\\P{N}", "\\P{P}", "\\P{S}",
    "\\P{Nd}", "\\p{Han}", "\\p{Hiragana}", "\\p{Katakana}", "\\p{Hangul}", "\\p{Thai}", "\\b", "\\B",
};
#define ATOMS (sizeof atoms / sizeof *atoms)

typedef struct form {
    char *text; /* NULL: the atom cannot stand there */
    size_t size;
} form;

static void free_forms(form *forms)
{
    for (size_t i = 0; i < 2 * ATOMS; i++)
        free(forms[i].text);
}

/* forms[i]: atom i alone; forms[ATOMS + i]: inside a class. */
static void make_forms(form *forms)
{
    ash_error err;
    for (size_t i = 0; i < ATOMS; i++) {
        char set[32];
        size_t n = strlen(atoms[i]);
        memcpy(set + 1, atoms[i], n);
        set[0] = '[', set[n + 1] = ']';
        form *alone = &forms[i], *inside = &forms[ATOMS + i];
        if (ash_expression_translate(atoms[i], n, &alone->text, &alone->size, &err) != ASH_OK)
            *alone = (form){ 0 };
        if (ash_expression_translate(set, n + 2, &inside->text, &inside->size, &err) != ASH_OK) {
            *inside = (form){ 0 };
        } else { /* without the brackets */
            inside->size -= 2;
            memmove(inside->text, inside->text + 1, inside->size);
        }
    }
}

/* The atom whose form begins here, the longest of several; ATOMS where there is none. */
static size_t match(const form *forms, const char *text, size_t size)
{
    size_t best = ATOMS;
    for (size_t i = 0; i < ATOMS; i++)
        if (forms[i].text && forms[i].size != 0 && forms[i].size <= size &&
            memcmp(text, forms[i].text, forms[i].size) == 0 && (best == ATOMS || forms[i].size > forms[best].size))
            best = i;
    return best;
}

/* `out` has room for size bytes: atoms are no longer than their forms. */
static size_t replace(const form *forms, const char *text, size_t size, char *out)
{
    size_t n = 0;
    bool class = false;
    for (size_t at = 0; at < size;) {
        const form *here = class ? forms + ATOMS : forms;
        size_t atom = match(here, text + at, size - at), length = atom < ATOMS ? strlen(atoms[atom]) : 0;
        if (atom < ATOMS && length <= here[atom].size) {
            memcpy(out + n, atoms[atom], length);
            n += length;
            at += here[atom].size;
            continue;
        }
        size_t copied = text[at] == '\\' && size - at > 1 ? 2 : 1;
        if (text[at] == '[' && !class)
            class = true;
        else if (text[at] == ']')
            class = false;
        memcpy(out + n, text + at, copied);
        n += copied;
        at += copied;
    }
    return n;
}

bool ash_expression_same(const char *text, size_t size, const char *stored, size_t stored_size)
{
    char *translated;
    size_t translated_size;
    ash_error err;
    if (ash_expression_translate(text, size, &translated, &translated_size, &err) != ASH_OK)
        return false;
    bool same = translated_size == stored_size && memcmp(translated, stored, stored_size) == 0;
    free(translated);
    return same;
}

char *ash_expression_back(const char *stored, size_t size)
{
    const char *known = ash_pretokenizer_split(stored, size);
    if (known)
        return strdup(known);
    form forms[2 * ATOMS];
    char *out = malloc(size + 1);
    if (!out)
        return NULL;
    make_forms(forms);
    size_t n = replace(forms, stored, size, out);
    free_forms(forms);
    out[n] = '\0';
    if (memchr(out, 0, n) || !ash_expression_same(out, n, stored, size)) {
        free(out);
        return NULL;
    }
    return out;
}
