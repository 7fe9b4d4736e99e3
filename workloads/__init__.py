"""Which program runs: models, the passes a generation takes, and the tracer that turns a pass into an OpGraph."""
