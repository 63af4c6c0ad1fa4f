"""One module a command, named like it. `add_arguments()` declares its arguments and sets the coroutine `run`."""
