/* The names that GGUF files use for pre-tokenizers (tokenizer.ggml.pre), with the steps they stand for. A name covers
 * the contractions' case, how digits group, and whether a piece that is a token skips the merges. Expressions are those
 * of the models' own tokenizers. */
#include <stdio.h>
#include <string.h>

#include "convert/tokenizer_internal.h"

#define CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define WORDS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define TAIL "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL
#define LLAMA3 CONTRACTIONS WORDS "|\\p{N}{1,3}" REST
/* Words that change from small to capital letters are cut there; `ending` may follow a word. */
#define CASED(upper, lower, ending)                                                                                    \
    "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" ending "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower "*" ending
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define UPPER_NOT_HAN "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define LOWER_NOT_HAN "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define ANY_CASE_ENDING "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define SYMBOLS_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL
#define CJK "[一-龥ࠀ-一가-퟿]+"
#define DEEPSEEK_LETTERS                                                                                               \
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼ" \
    "ιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟" \
    "𞤀-𞥃]+"
#define DEEPSEEK3_KANA "[一-龥぀-ゟ゠-ヿ]+"
#define DEEPSEEK3                                                                                                      \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"                  \
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
#define BLOOM " ?[^(\\s|.,!?…。，、।۔،)]+"

#define SPLITS_MAX 6
static const struct pretokenizer {
    const char *names; /* separated by commas; the first is the one that errors list */
    const char *splits[SPLITS_MAX + 1]; /* one after another, each Isolated; NULL: no more */
    uint32_t flags;
} table[] = {
    { "llama-bpe,llama3,llama-v3,falcon3,falcon-h1,pixtral,midm-2.0,lfm2", { LLAMA3 },
      ASH_VOCAB_IGNORE_MERGES | ASH_VOCAB_ADD_BOS },
    { "dbrx,smaug-bpe,glm4,chatglm-bpe", { LLAMA3 }, 0 },
    { "qwen2,deepseek-r1-qwen,stablelm2,hunyuan,megrez", { CONTRACTIONS WORDS "|\\p{N}" REST }, 0 },
    { "gpt-2,phi-2,mpt,olmo,jais,trillion,exaone4,gigachat,a.x-4.0,mellum", { ASH_GPT2_EXPRESSION }, 0 },
    { "smollm,starcoder,refact,command-r,codeshell,exaone,minerva-7b", { "\\p{N}", ASH_GPT2_EXPRESSION }, 0 },
    { "deepseek-llm",
      { "[\r\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", CJK, "\\p{N}+" }, 0 },
    { "deepseek-coder", { "[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}" }, 0 },
    { "deepseek-v3,hunyuan-dense", { "\\p{N}{1,3}", DEEPSEEK3_KANA, DEEPSEEK3 }, 0 },
    { "falcon", { "[\\p{P}\\$\\+<=>\\^~\\|`]+", ASH_GPT2_EXPRESSION, "[0-9][0-9][0-9]" }, 0 },
    { "default", { "[\\p{P}\\$\\+<=>\\^~\\|]+", ASH_GPT2_EXPRESSION, "\\p{N}+", "[0-9][0-9][0-9]" }, 0 },
    { "tekken", { CASED(UPPER, LOWER, "") "|\\p{N}" SYMBOLS_SLASH }, ASH_VOCAB_IGNORE_MERGES | ASH_VOCAB_ADD_BOS },
    { "gpt-4o,llama4", { CASED(UPPER, LOWER, ANY_CASE_ENDING) "|\\p{N}{1,3}" SYMBOLS_SLASH }, 0 },
    { "kimi-k2", { "[\\p{Han}]+|" CASED(UPPER_NOT_HAN, LOWER_NOT_HAN, ANY_CASE_ENDING) "|\\p{N}{1,3}" REST }, 0 },
    { "bailingmoe",
      { "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]"
        "|\\s+(?!\\S)|\\s+" }, 0 },
    { "seed-coder", { CONTRACTIONS WORDS "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" TAIL }, 0 },
    { "bloom,poro-chat,gpt3-finnish", { BLOOM }, 0 },
    { "viking", { BLOOM, "\\p{N}" }, 0 },
    { "superbpe", { "\\p{N}+", "(?=(\\d{3})+(?!\\d))" }, 0 },
    { "chameleon",
      { "<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
        "[\\p{P}!-/:-@\\[-`{-~]", ASH_GPT2_EXPRESSION }, ASH_VOCAB_ADD_BOS },
};

/* Splits as tokenizer.json files write them, where the table above spells them another way. (?i:'s) also takes the long
 * s of U+017F, which the names do not: llama.cpp's own answer to such text. */
static const struct { const char *name, *split; } spellings[] = {
    { "llama-bpe", "(?i:'s|'t|'re|'ve|'m|'ll|'d)" WORDS "|\\p{N}{1,3}" REST },
    { "qwen2", "(?i:'s|'t|'re|'ve|'m|'ll|'d)" WORDS "|\\p{N}" REST },
    { "dbrx", "(?i:'s|'t|'re|'ve|'m|'ll|'d)" WORDS "|\\p{N}{1,3}" REST },
};

static bool listed(const char *names, const char *name, size_t size)
{
    while (*names) {
        size_t n = strcspn(names, ",");
        if (n == size && memcmp(names, name, n) == 0)
            return true;
        names += n + (names[n] == ',');
    }
    return false;
}

ash_status ash_draft_pretokenizer(ash_draft *d, const char *name, size_t size, ash_error *err)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!listed(table[i].names, name, size))
            continue;
        d->flags |= table[i].flags;
        for (const char *const *split = table[i].splits; *split; split++)
            ASH_TRY(ash_draft_split(d, *split, false, ASH_SPLIT_ISOLATED, false, err));
        d->byte_level = true;
        return ASH_OK;
    }
    char known[400] = "";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%.*s", i ? ", " : "", (int)strcspn(table[i].names, ","),
                 table[i].names);
    }
    return ash_fail(err, ASH_E_UNSUPPORTED,
                    "tokenizer.ggml.pre names the pre-tokenizer \"%.*s\", which is not known; known are %s",
                    size < 64 ? (int)size : 64, name, known);
}

/* ---- the way back ---- */

/* Whether the section's steps, but for NFC, are those of the draft. */
static bool same_steps(const ash_vocab *v, const ash_draft *d)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < v->header->step_count; i++) {
        const ash_vocab_step *s = &v->steps[i];
        if (s->kind == ASH_STEP_NFC || ash_step_decodes(s->kind))
            continue;
        const ash_vocab_source_step *x = at < d->step_count ? &d->steps[at++] : NULL;
        if (!x || s->kind != x->kind || s->behaviour != x->behaviour || s->flags != x->flags ||
            s->second_bytes != 0 || s->text_bytes != x->size ||
            (x->size != 0 && memcmp(v->pool + s->text_offset, x->text, x->size) != 0))
            return false;
    }
    return at == d->step_count;
}

/* Whether `name` stands for the section; *steps_alone where its steps do and its flags do not. */
static ash_status stands_for(const ash_vocab *v, const char *name, size_t size, const char *split, bool *out,
                             bool *steps_alone, ash_error *err)
{
    ash_draft d, steps;
    ASH_TRY(ash_draft_init(&d, 1, 0, err)); /* no vocabulary: steps and flags alone */
    ash_status status = ash_draft_pretokenizer(&d, name, size, err);
    bool same = status == ASH_OK && !split && same_steps(v, &d);
    if (status == ASH_OK && split && (status = ash_draft_init(&steps, 1, 0, err)) == ASH_OK) {
        status = ash_draft_split(&steps, split, false, ASH_SPLIT_ISOLATED, false, err);
        same = status == ASH_OK && same_steps(v, &steps);
        ash_draft_free(&steps);
    }
    *out = same && !((v->header->flags ^ d.flags) & ASH_VOCAB_IGNORE_MERGES);
    *steps_alone |= same && !*out;
    ash_draft_free(&d);
    return status;
}

/* What is in the way, for the error: the first step that llama.cpp has in no pre-tokenizer at all, or the split. */
static ash_status no_name(const ash_vocab *v, bool steps_alone, ash_error *err)
{
    static const struct { uint16_t kind; const char *name; } kinds[] = {
        { ASH_STEP_PREFIX_SPACE, "a space in front of the text (add_prefix_space)" }, { ASH_STEP_NFD, "NFD" },
        { ASH_STEP_NFKC, "NFKC" }, { ASH_STEP_NFKD, "NFKD" },
    };
    if (steps_alone)
        return ash_fail(err, ASH_E_UNSUPPORTED, "no tokenizer.ggml.pre stands for these splits with ignore_merges = %s",
                        v->header->flags & ASH_VOCAB_IGNORE_MERGES ? "true" : "false");
    const ash_vocab_step *split = NULL;
    for (uint32_t i = 0; i < v->header->step_count; i++) {
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            if (v->steps[i].kind == kinds[k].kind)
                return ash_fail(err, ASH_E_UNSUPPORTED, "no tokenizer.ggml.pre has the tokenizer's step %s",
                                kinds[k].name);
        if (!split && v->steps[i].kind == ASH_STEP_SPLIT)
            split = &v->steps[i];
    }
    if (!split)
        return ash_fail(err, ASH_E_UNSUPPORTED, "no tokenizer.ggml.pre stands for a pre-tokenizer without a split");
    char text[81];
    uint32_t n = split->text_bytes < sizeof text - 1 ? split->text_bytes : sizeof text - 1;
    for (uint32_t i = 0; i < n; i++) { /* the expression comes from a file */
        unsigned char c = v->pool[split->text_offset + i];
        text[i] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    text[n] = '\0';
    return ash_fail(err, ASH_E_UNSUPPORTED, "no tokenizer.ggml.pre is known for the pre-tokenizer that splits at %s%s",
                    text, split->text_bytes > n ? "..." : "");
}

ash_status ash_pretokenizer_name(const ash_vocab *v, char out[ASH_PRE_NAME_MAX], ash_error *err)
{
    bool found = false, steps_alone = false;
    for (size_t i = 0; i < sizeof table / sizeof *table && !found; i++) {
        size_t n = strcspn(table[i].names, ",");
        ASH_TRY(stands_for(v, table[i].names, n, NULL, &found, &steps_alone, err));
        snprintf(out, ASH_PRE_NAME_MAX, "%.*s", (int)n, table[i].names);
    }
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings && !found; i++) {
        const char *name = spellings[i].name;
        ASH_TRY(stands_for(v, name, strlen(name), spellings[i].split, &found, &steps_alone, err));
        snprintf(out, ASH_PRE_NAME_MAX, "%s", name);
    }
    return found ? ASH_OK : no_name(v, steps_alone, err);
}

const char *ash_pretokenizer_split(const char *stored, size_t size)
{
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (ash_expression_same(spellings[i].split, strlen(spellings[i].split), stored, size))
            return spellings[i].split;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (const char *const *split = table[i].splits; *split; split++)
            if (ash_expression_same(*split, strlen(*split), stored, size))
                return *split;
    return NULL;
}
