"""Many requests at once. Pure: keys, rules, window, source, preview. Loops: batch, item."""
