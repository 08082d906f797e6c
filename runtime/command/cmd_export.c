/* ashlar export: an .ashlar file to what other runtimes read. */
#include <string.h>
#include <sys/stat.h>

#include "convert/convert.h"
#include "runtime/command/cache.h"
#include "runtime/command/command.h"

/* The output is FILE, or the folder that FILE is in: with --force a model would be replaced by what was made of it. */
static bool is_source(const char *path, const char *output)
{
    char folder[4096];
    struct stat a, b;
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    if (stat(output, &b) != 0)
        return false;
    return (stat(path, &a) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino) ||
           (S_ISDIR(b.st_mode) && stat(folder, &a) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

int verb_export(int argc, char **argv)
{
    const char *path, *to = NULL, *output = NULL;
    bool force = false;
    const option options[] = {
        { "--to", "FORMAT", OPTION_STRING, &to, 0, 0, "gguf or safetensors" },
        { "-o", "OUT", OPTION_STRING, &output, 0, 0, "the file, or for safetensors the folder, to write" },
        { "--force", NULL, OPTION_FLAG, &force, 0, 0, "replace OUT when it exists" },
    };
    static const usage u = { "export", "FILE --to gguf|safetensors -o OUT",
                             "Writes a GGUF that llama.cpp loads, or a Hugging Face folder that transformers loads.",
                             "gguf, FILE came from a GGUF: the same tensor bytes, order and metadata.\n"
                             "gguf, from a Hugging Face folder: names, keys and types as llama.cpp's converter has\n"
                             "them.\n"
                             "safetensors: f32, f16, bf16 and FP8 keep their bytes, other types become bf16; FP8 as a\n"
                             "compressed-tensors checkpoint.", 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    if (!to || !output)
        return usage_error(&u, "%s is missing", to ? "-o OUT" : "--to gguf|safetensors");
    bool folder = strcmp(to, "safetensors") == 0;
    if (!folder && strcmp(to, "gguf") != 0)
        return usage_error(&u, "--to %s is not known; gguf and safetensors are", to);
    if (is_source(path, output))
        return fail("%s: is the source itself, or holds it; choose another name for the output", output);
    ash_error err;
    cached file;
    if (cache_open(path, &file, &err) != ASH_OK)
        return fail_with(&err);
    progress p;
    handle_interrupt();
    progress_start(&p, "export");
    ash_export_options opts = { .force = force, .progress = progress_update, .note = progress_note, .context = &p };
    ash_status status = (folder ? ash_export_hf : ash_export_gguf)(file.path, output, &opts, &err);
    progress_end(&p);
    cache_close(&file);
    if (status != ASH_OK)
        return fail_with(&err);
    fprintf(stderr, "wrote %s (%.1f s)\n", output, seconds_now() - p.started);
    return EXIT_OK;
}
