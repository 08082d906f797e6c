/* ashlar verify: every checksum of a file. */
#include "format/reader.h"
#include "runtime/command/cache.h"
#include "runtime/command/command.h"

int verb_verify(int argc, char **argv)
{
    static const usage u = { "verify", "FILE", "Checks every checksum and every padding byte of an .ashlar file.",
                             "Exit code 1, and the name of the tensor, when something is wrong.", 1 };
    const char *path;
    int code;
    if (!options_parse(&u, NULL, 0, argc, argv, &path, &code))
        return code;
    ash_error err;
    ash_file *file;
    cached found;
    if (cache_open(path, &found, &err) != ASH_OK)
        return fail_with(&err);
    ash_status opened = ash_file_open(found.path, &file, &err);
    if (opened == ASH_OK && found.converted)
        fprintf(stderr, "%s has no checksums: this is about its conversion in the cache\n", path);
    cache_close(&found);
    if (opened != ASH_OK)
        return fail_with(&err);
    progress p;
    handle_interrupt();
    progress_start(&p, "verify");
    ash_status status = ash_file_verify(file, progress_update, &p, &err);
    progress_end(&p);
    char size[32];
    double spent = seconds_now() - p.started;
    if (status != ASH_OK && found.converted)
        code = fail("%s; 'ashlar cache clear %s' removes it, and what needs it next converts again", err.text, path);
    else if (status != ASH_OK)
        code = fail_with(&err);
    else
        printf("%s: %u tensors, %s, all checksums right (%.1f s)\n", ash_file_path(file), ash_file_tensor_count(file),
               bytes_text(ash_file_header(file)->file_bytes, size), spent), code = EXIT_OK;
    ash_file_close(file);
    return code;
}
