// The table of commands: one row each, in the order of the help.
#include "cli.h"

const struct cli_command cli_commands[] = {
    {"send",
     "send KEY=V… [-p K=V] [-r K=PATH [--as NAME]] [--object K=TOKEN|K=@FILE] [--each0 K]\n"
     "                    [--derive] [--persistent K] [--priority high|normal|low] [--jsonl] [--new-analysis] [--wait]",
     "submit tasks; prints the root uid of each once it is on disk", cmd_send},
    {"exec",
     "exec IDENTITY FILTER… [--or FILTER…] [--filters JSON|@FILE] [--in KEY] [--stdin KEY]\n"
     "                    [--emit KEY=V]… [-j N] [-t 60s] [--kill-after 5s] [--temporary]\n"
     "                    [--keep never|crashed|always] [--info TEXT] [--set-version V] [--join]\n"
     "                    -- COMMAND…",
     "make any command a consumer", cmd_exec},
    {"logs", "logs [IDENTITY] [--filter NAME] [--level LEVEL] [--root ROOT]",
     "print log lines of services as they come", cmd_logs},
    {"watch", "watch [TOPIC…] [--root ROOT]", "print events as they come, one a line", cmd_watch},
    {"list", "list [IDENTITY] [-n 100] [--after CURSOR]", "consumers; of one: its bind and workers",
     cmd_list},
    {"queues", "queues [IDENTITY] [-n 100] [--after CURSOR]",
     "what waits per priority (delayed: of these, given back for later), runs, crashed",
     cmd_queues},
    {"tasks", "tasks [--consumer IDENTITY] [--state STATE] [--root ROOT] [-n 100] [--after CURSOR]",
     "tasks: uid, state, age, consumer, headers", cmd_tasks},
    {"task", "task UID", "one task as Karton's JSON", cmd_task},
    {"tree", "tree ROOT [--logs FILE]",
     "an analysis as a tree; --logs: with the last line of each task in FILE, written by\n"
     "           zkarton logs -o json",
     cmd_tree},
    {"wait", "wait ROOT…", "wait for analyses; exit 1 if a task of them crashed", cmd_wait},
    {"match", "match KEY=V… [--consumer IDENTITY] | match --jsonl",
     "who would take such a task, and why not; --jsonl: offline, from stdin", cmd_match},
    {"retry", "retry UID", "queue a crashed task again; prints the new uid", cmd_retry},
    {"get", "get UID [KEY] [FILE] [-f]", "the bytes of a resource of a task", cmd_get},
    {"put", "put FILE [--as NAME]",
     "upload a file ahead of its task; prints a token for one send --object, good for an hour",
     cmd_put},
    {"delete", "delete IDENTITY [-y]", "remove a consumer with its queue", cmd_delete},
    {"store",
     "store check [--objects] DIR | store dump DIR | store copy DIR DEST | store migrate-objects",
     "verify, print or copy a task store; move objects from the directory to S3", cmd_store},
    {"version", "version", "of this client and of the broker", cmd_version},
};
const size_t cli_commands_count = sizeof(cli_commands) / sizeof(cli_commands[0]);
