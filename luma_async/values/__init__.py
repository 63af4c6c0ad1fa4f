"""What things are: requests, results, settings, events, errors."""
