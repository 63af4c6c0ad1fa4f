"""The relay dialect (RixAPI) of the fake gateway."""
