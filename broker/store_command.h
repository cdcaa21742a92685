// store_command.h: `store check DIR`, `store dump DIR`, `store copy DIR DEST`.
#pragma once

// store_command takes argv from "store" on. Exit code: 0 clean, 1 damage found, 2 usage, 5 no store
// there.
int
store_command(int argc, char **argv);
