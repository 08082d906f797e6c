/* One line from a terminal: editing, history, completion. libedit and its types stay behind this header. */
#ifndef ASHLAR_COMMAND_CHAT_EDITOR_H
#define ASHLAR_COMMAND_CHAT_EDITOR_H

#include <stdbool.h>

typedef struct chat_editor chat_editor;
typedef enum chat_line { CHAT_LINE, CHAT_LINE_INTERRUPTED, CHAT_LINE_END } chat_line;

/* `history`: lines are kept from one chat to the next, in $XDG_STATE_HOME/ashlar/history. NULL: no editor here. */
chat_editor *chat_editor_open(bool history);
/* CHAT_LINE: *line is what was typed, without the line end; pasted text may have some inside. CHAT_LINE_INTERRUPTED:
 * Ctrl+C, *line is what it dropped. CHAT_LINE_END: Ctrl+D, or no memory; *line is NULL. The caller frees. */
chat_line chat_editor_read(chat_editor *e, const char *prompt, char **line);
void chat_editor_close(chat_editor *e);

#endif
