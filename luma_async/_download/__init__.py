"""Files, complete or not at all. Pure: links, response, validate, names. I/O: the rest."""
