// archive.h: folders as zip archives and back (B3, B4).
#pragma once
#include "base/problem.h"

// zip_directory zips everything below path (links followed, names relative) into an unlinked file
// made under temp_dir and returns its descriptor, or -1.
int
zip_directory(const char *path, const char *temp_dir, struct problem *problem);
// zip_extract unpacks into an existing empty folder. An entry that would leave it is INVALID. Links
// are never made: every entry becomes a plain file or a folder.
ZKT_MUST enum zkt_err
zip_extract(const char *zip_path, const char *folder, struct problem *problem);
