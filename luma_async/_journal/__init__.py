"""What was paid. Pure: lifecycle, fingerprint. I/O: the journals."""
