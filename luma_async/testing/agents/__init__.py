"""The dialect of Luma's Agents API, as the fake gateway speaks it."""
