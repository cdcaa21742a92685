// store_command.h: `store check DIR`, `store dump DIR`, `store copy DIR DEST`.
#pragma once

// store_command takes argv from "store" on; program is the name it was started under: `zkarton
// store` starts it as "zkarton", which its usage then shows. Exit code: 0 clean, 1 damage found, 2
// usage, 5 no store there.
int
store_command(const char *program, int argc, char **argv);
