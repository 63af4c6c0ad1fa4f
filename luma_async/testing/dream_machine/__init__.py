"""The dialect of Luma's Dream Machine API, as the fake gateway speaks it."""
