"""The command line: over the package, touching no sockets and no files of the journal.

Data goes to stdout, everything else to stderr. The only request that this package sends itself is the HEAD request with
which `doctor` reads the service's clock.
"""
