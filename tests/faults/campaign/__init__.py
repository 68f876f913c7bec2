"""The fault campaign on the real stores: `make faults`, see `__main__`."""
