#!/bin/bash
# zkarton exec karton.extractor type=sample stage=recognized kind=archive -t 60s -- ./extract.sh {}
# Unpacks zip, tar (also compressed) and deb; every file inside becomes a raw sample. Depth, number
# and size are limited: archives are hostile.
set -euo pipefail

level_max=5
files_max=1000
bytes_max=$((256 << 20))

level=$((${ZKT_P_EXTRACTION_LEVEL:-0} + 1))
if [ "$level" -gt "$level_max" ]; then
    echo "<4>level $level: not unpacked" >&2
    exit 0
fi
mkdir files
ulimit -f $((bytes_max / 1024))
case ${ZKT_H_MIME:-} in
application/zip)
    unzip -qq -P '' "$1" -d files >&2 || {
        status=$?
        echo "unzip: not a whole zip file" >&2 # the last line is what trees show
        exit $status
    }
    ;;
application/vnd.debian.binary-package | application/x-debian-package) dpkg-deb --extract "$1" files ;;
*) tar --extract --file "$1" --directory files --no-same-owner ;;
esac
chmod -R u+rwX files
# Links of an archive lead anywhere: only plain files are samples.
find files -type f -print0 >list
count=$(tr -dc '\0' <list | wc -c)
size=$(du --bytes --summarize files | cut -f1)
if [ "$count" -gt "$files_max" ] || [ "$size" -gt "$bytes_max" ]; then
    echo "<3>$count files, $size bytes: over the limit" >&2
    exit 1
fi
zkarton send type=sample kind=raw --each0 sample -p extraction_level:="$level" <list
if [ "$count" = 1 ]; then echo "1 file"; else echo "$count files"; fi
