/* What TAB adds to a line of ashlar chat. */
#ifndef ASHLAR_COMMAND_CHAT_COMPLETE_H
#define ASHLAR_COMMAND_CHAT_COMPLETE_H

/* `before` is the line up to the cursor: names of commands, of parameters after /params, of files after /save and /load
 * are completed. *more: what all of them go on with (may be empty), and a blank behind the only one; *choices: several of
 * them, for showing. Both are freed by the caller and NULL where there is nothing. */
void chat_complete(const char *before, char **more, char **choices);

#endif
