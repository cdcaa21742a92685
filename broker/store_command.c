#include "store_command.h"

#include <stdio.h>

int
store_command(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fprintf(stderr, "usage: zkarton-broker store check|dump DIR\n");
    return 2;
}
