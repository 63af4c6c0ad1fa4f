"""Files, complete or not at all. Pure: links, response, validate, names. I/O: client, part_file, and the downloader."""
