"""One POST for each paid intent. Pure: verdict. Loops: submitter, attempt, throttle."""
