// migrate_command.h: `zkarton-broker store migrate-objects`: moves the objects of the directory
// store to the S3 store of the configuration, beside a running broker that has [object] kind = s3
// and migrate_from = dir, or without one.
#pragma once

// argv[0] is "migrate-objects". Returns the exit code: 0 all were moved, 1 some were not, 2 usage
// or configuration.
int
migrate_command(int argc, char **argv);
