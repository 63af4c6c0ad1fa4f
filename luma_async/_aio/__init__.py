"""What asyncio lacks: clocks, tasks with an owner, a semaphore with priorities."""
