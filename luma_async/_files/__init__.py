"""Files of requests at a service: uploads, and large pictures. Pure: limits. I/O: content, storage, files, pictures."""
