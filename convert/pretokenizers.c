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
